import BerthDefaults
import ContainerdAPI
import Glibc
import LinuxSystem
import SwiftProtobuf

/// Starts shims and cleans up after dead ones, by containerd's shim protocol: `PROGRAM -namespace NS -address SOCKET -publish-binary SELF -id ID start`
/// in the bundle, options on stdin, the address on stdout.
///
/// Spec: containerd, core/runtime/v2/README.md.
struct ShimLauncher: Sendable {
    /// The supervisor's API socket; the event socket is `<address>.ttrpc`.
    let address: String
    /// A shim that has not answered by then is given up.
    let timeout: Duration

    let logs: ShimLogs

    init(address: String, logs: ShimLogs, timeout: Duration = .seconds(30)) {
        self.address = address
        self.logs = logs
        self.timeout = timeout
    }

    var eventAddress: String { address + ".ttrpc" }

    // MARK: Which program

    /// The program behind a runtime's name: a path, or `io.containerd.runc.v2` for `containerd-shim-runc-v2`, beside this program or on PATH. Our own
    /// shim is also found under its name in the build.
    static func binary(forRuntime name: String) throws(SupervisorError) -> String {
        if name.isAbsolutePath {
            guard Files.exists(name) else { throw SupervisorError(.notFound, "runtime \"\(name)\": no such program") }
            return name
        }
        guard let program = programName(forRuntime: name) else {
            throw SupervisorError(
                .invalidArgument, "invalid runtime name \"\(name)\": expected a form like io.containerd.runc.v2 or a full path: invalid argument")
        }
        let own = ownDirectory
        var candidates = ["\(own)/\(program)"]
        if name == Defaults.shimRuntime { candidates.insert("\(own)/berth-shim", at: 0) }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        candidates += path.split(separator: ":").map { "\($0)/\(program)" }
        for candidate in candidates where access(candidate, X_OK) == 0 { return candidate }
        throw SupervisorError(.notFound, "runtime \"\(name)\": \(program) is not installed")
    }

    /// "io.containerd.runc.v2" → "containerd-shim-runc-v2"; nil when the name has no such form.
    static func programName(forRuntime name: String) -> String? {
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count >= 2, !name.contains("/"), parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        return "containerd-shim-\(parts[parts.count - 2])-\(parts[parts.count - 1])"
    }

    private static let ownDirectory: String = {
        let program = (try? Files.readLink("/proc/self/exe")) ?? "/usr/bin/berth-supervisor"
        return program.lastSlash.map { String(program[..<$0]) } ?? "/usr/bin"
    }()

    private static let ownProgram = (try? Files.readLink("/proc/self/exe")) ?? "berth-supervisor"

    // MARK: Running it

    /// Makes the bundle and starts the shim in it. Blocks.
    /// - Parameter options: the runtime's options, for the shim's stdin.
    func start(_ bundle: Bundle, spec: [UInt8], binary: String, options: Google_Protobuf_Any?) throws -> Bundle.Bootstrap {
        try bundle.create(spec: spec)
        logs.follow(bundle)
        do {
            // Before the start: when we are killed in the middle of it, our next life finds out which program cleans up.
            try bundle.save(binary: binary)
            let output = try run(bundle, binary: binary, arguments: ["-id", bundle.key.id, "start"], input: options.map { try $0.serializedBytes() } ?? [])
            let bootstrap = try Bundle.Bootstrap(output: output)
            try bundle.save(bootstrap)
            return bootstrap
        } catch {
            logs.forget(bundle.key)
            try? bundle.remove()
            throw error
        }
    }

    /// Cleans up after a shim that is gone: what it left running, its mounts, its state. Blocks. The bundle is removed in any case.
    /// - Returns: what the shim's program knows of the exit.
    func delete(_ bundle: Bundle) throws -> Shim_DeleteResponse {
        defer {
            do { try bundle.remove() } catch {
                Log.error("cannot remove a bundle", ["container": bundle.key.id, "namespace": bundle.key.namespace, "error": "\(error)"])
            }
        }
        let output = try run(bundle, binary: try bundle.loadBinary(), arguments: ["-id", bundle.key.id, "-bundle", bundle.path, "delete"], input: [])
        return try Shim_DeleteResponse(serializedBytes: output)
    }

    /// - Returns: the program's stdout.
    /// - Throws: with its stderr when it fails.
    private func run(_ bundle: Bundle, binary: String, arguments: [String], input: [UInt8]) throws -> [UInt8] {
        var request = SpawnRequest(
            binary, ["-namespace", bundle.key.namespace, "-address", address, "-publish-binary", Self.ownProgram] + arguments)
        request.workingDirectory = bundle.path
        request.environment = Self.environment + ["TTRPC_ADDRESS=\(eventAddress)", "GRPC_ADDRESS=\(address)", "NAMESPACE=\(bundle.key.namespace)"]
        let (bytes, messages) = try output(of: request, binary, input: input)
        if !messages.isEmpty { Log.warn("shim said", ["container": bundle.key.id, "namespace": bundle.key.namespace, "stderr": messages]) }
        return bytes
    }

    /// What a runtime and its shim can do: a RuntimeInfo, as the shim's program prints it. Blocks.
    /// - Parameter options: the runtime's options; for runtimes with runc's command line they say which program is meant.
    func info(binary: String, options: Google_Protobuf_Any?) throws -> [UInt8] {
        var request = SpawnRequest(binary, ["-info"])
        request.environment = Self.environment
        return try output(of: request, binary, input: options.map { try $0.serializedBytes() } ?? []).bytes
    }

    private func output(of request: SpawnRequest, _ binary: String, input: [UInt8]) throws -> (bytes: [UInt8], messages: String) {
        var request = request
        let stdin = try Pipes.memoryFile(named: "shim-options", holding: input)
        let (outputEnd, outputStart) = try Pipes.make()
        let output = OwnedFD(adopting: outputEnd)
        let childOutput = OwnedFD(adopting: outputStart)
        let errorFile = try Pipes.memoryFile(named: "shim-stderr", holding: [])
        request.descriptors = [(0, stdin.rawValue), (1, childOutput.rawValue), (2, errorFile.rawValue)]
        let pid = try request.start()
        try childOutput.close()

        var bytes: [UInt8] = []
        let deadline = ContinuousClock.now + timeout
        var isLate = false
        while true {
            let left = deadline - ContinuousClock.now
            let milliseconds = CInt(clamping: left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000)
            let ready = milliseconds > 0 ? try Processes.poll([output.rawValue], timeoutMilliseconds: milliseconds) : []
            if ready.isEmpty, ContinuousClock.now >= deadline {
                isLate = true
                kill(pid, SIGKILL)
                break
            }
            if ready.isEmpty { continue }
            var chunk = [UInt8](repeating: 0, count: 4096)
            let raw = output.rawValue
            let count = try syscall("read", on: "output of \(binary)") { read(raw, &chunk, chunk.count) }
            if count == 0 { break }
            bytes += chunk[..<count]
            guard bytes.count <= 1 << 20 else {
                kill(pid, SIGKILL)
                isLate = true
                break
            }
        }
        let status = try Processes.wait(for: pid)
        let messages = Self.text(of: errorFile)
        guard !isLate else { throw SupervisorError(.deadlineExceeded, "shim \(binary) did not answer within \(timeout): \(messages)") }
        guard status == .exited(0) else {
            let said = [String(decoding: bytes.prefix(4096), as: UTF8.self).trimmingSpaces, messages].filter { !$0.isEmpty }.joined(separator: " ")
            throw SupervisorError(.internalError, "shim \(binary) failed with \(status): \(said)")
        }
        return (bytes, messages)
    }

    private static func text(of file: borrowing OwnedFD) -> String {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = pread(file.rawValue, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: "\n").joined(separator: "; ")
    }

    /// Ours, without what is only for us, and with what containerd sets.
    private static let environment: [String] = {
        let own: Set<Substring> = ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "TTRPC_ADDRESS", "GRPC_ADDRESS", "NAMESPACE"]
        return ProgramArguments.environment.filter { variable in !own.contains(variable.prefix { $0 != "=" }) } + ["GOMAXPROCS=2", "MAX_SHIM_VERSION=3"]
    }()
}
