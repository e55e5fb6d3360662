import BerthDefaults
import FoundationEssentials
import Glibc
import LinuxSystem

/// `oci-hook -- PROGRAM ARGUMENTS...`: becomes PROGRAM as a hook of the runtime, with the container's state filled into its arguments and environment.
/// A specification that names `containerd oci-hook` works with this program in containerd's place.
///
/// `{{id}}`, `{{pid}}`, `{{status}}`, `{{bundle}}`, `{{rootfs}}` and `{{annotation "KEY"}}` are replaced. Runs before anything of the supervisor does.
enum OCIHook {
    /// What the runtime writes to a hook's standard input.
    struct State: Decodable {
        var id: String
        var pid: Int?
        var status: String
        var bundle: String
        var annotations: [String: String]?
    }

    private struct Spec: Decodable {
        struct Root: Decodable { var path: String }
        var root: Root?
    }

    static func run(_ arguments: [String]) -> Never {
        do {
            let words = arguments.first == "--" ? Array(arguments.dropFirst()) : arguments
            let input = try Files.readAll(OwnedFD(adopting: dup(STDIN_FILENO)), name: "standard input", limit: 10 << 20)
            let state = try JSONDecoder().decode(State.self, from: Data(input))
            let spec = try JSONDecoder().decode(Spec.self, from: Data(try Files.readAll("\(state.bundle)/config.json", limit: 64 << 20)))
            let path = spec.root?.path ?? ""
            let rootfs = path.isAbsolutePath ? path : "\(state.bundle)/\(path)"
            let rendered = try words.map { try render($0, state, rootfs: rootfs) }
            guard let program = rendered.first else { throw SupervisorError(.invalidArgument, "no program is named") }
            try execute(program, rendered, try ProgramArguments.environment.map { try render($0, state, rootfs: rootfs) })
        } catch {
            var line = "berth-supervisor: oci-hook: \(error)\n"
            line.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
            exit(1)
        }
    }

    /// - Throws: invalidArgument for an action that is not one of the above.
    static func render(_ text: String, _ state: State, rootfs: String) throws(SupervisorError) -> String {
        var result = ""
        var rest = text[...]
        while let start = rest.firstRange(of: "{{") {
            result += rest[..<start.lowerBound]
            guard let end = rest[start.upperBound...].firstRange(of: "}}") else { throw SupervisorError(.invalidArgument, "unclosed action in \"\(text)\"") }
            let words = rest[start.upperBound..<end.lowerBound].split(separator: " ", maxSplits: 1).map(\.trimmingSpaces)
            switch (words.first, words.count) {
            case ("id", 1): result += state.id
            case ("pid", 1): result += String(state.pid ?? 0)
            case ("status", 1): result += state.status
            case ("bundle", 1): result += state.bundle
            case ("rootfs", 1): result += rootfs
            case ("annotation", 2) where words[1].count >= 2 && words[1].hasPrefix("\"") && words[1].hasSuffix("\""):
                result += state.annotations?[String(words[1].dropFirst().dropLast())] ?? ""
            default: throw SupervisorError(.invalidArgument, "unknown action \(rest[start.lowerBound..<end.upperBound]) in \"\(text)\"")
            }
            rest = rest[end.upperBound...]
        }
        return result + rest
    }

    private static func execute(_ program: String, _ arguments: [String], _ environment: [String]) throws(SystemError) -> Never {
        let (argv, envp) = (arguments.map { strdup($0) } + [nil], environment.map { strdup($0) } + [nil])
        execve(program, argv, envp)
        throw SystemError(call: "execve", subject: program, errno: Errno(rawValue: errno))
    }
}
