import DockerAPI
import Glibc
import LinuxSystem

/// What every command stands on: where to write, the user's configuration, and the engine once somebody asks for it.
final class Client {
    let program: String
    let environment: Environment
    let out = OutputStream(descriptor: 1)
    /// Values of the flags before the command's name.
    private let global: ParsedFlags
    private var connected: EngineClient?
    private(set) lazy var config = ClientConfig.load(directory: configDirectory, warn: { [unowned self] in err($0 + "\n") })

    init(program: String, environment: Environment, global: ParsedFlags) {
        self.program = program
        self.environment = environment
        self.global = global
    }

    var isDebug: Bool { global.bool("debug") }

    var configDirectory: String {
        if global.changed("config") { return global.string("config") }
        return environment["DOCKER_CONFIG"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(environment["HOME"] ?? "")/.docker"
    }

    /// Writes to standard error at once, after what standard output holds back.
    func err(_ text: String) {
        out.flush()
        try? Array(text.utf8).withUnsafeBytesThrowing { (bytes) throws(SystemError) in try writeAll(2, bytes) }
    }

    /// The engine named by flags, environment or default.
    func engine() throws -> EngineClient {
        if let connected { return connected }
        try refuseUnsupported()
        let host = try EngineHost.choose(flag: global.list("host").last, environment: environment["DOCKER_HOST"])
        if global.list("host").count > 1 { throw CommandFailure("Specify only one -H") }
        let fixed = environment["DOCKER_API_VERSION"].flatMap { $0.isEmpty ? nil : String($0.drop { $0 == "v" }) }
        let engine = EngineClient(host: host, fixedVersion: fixed, extraHeaders: config.httpHeaders)
        connected = engine
        return engine
    }

    /// Refuses what would otherwise be ignored silently: contexts and TLS.
    private func refuseUnsupported() throws {
        let context = global.string("context")
        let named = context.isEmpty ? (global.changed("host") || !(environment["DOCKER_HOST"] ?? "").isEmpty ? "" : environment["DOCKER_CONTEXT"] ?? "") : context
        if !context.isEmpty, global.changed("host") {
            throw CommandFailure("conflicting options: cannot specify both --host and --context")
        }
        if !named.isEmpty, named != "default" {
            throw CommandFailure("context \(GoText.quoted(named)): contexts other than \"default\" are not supported; use -H or DOCKER_HOST")
        }
        let flags = ["tls", "tlsverify", "tlscacert", "tlscert", "tlskey"]
        if let flag = flags.first(where: { global.changed($0) && global.string($0) != "false" }) {
            throw CommandFailure("--\(flag): this build of the client has no TLS; use a unix socket, or tcp:// without TLS")
        }
        if !(environment["DOCKER_TLS_VERIFY"] ?? "").isEmpty || !(environment["DOCKER_TLS"] ?? "").isEmpty {
            throw CommandFailure("DOCKER_TLS_VERIFY: this build of the client has no TLS; use a unix socket, or tcp:// without TLS")
        }
    }

    /// Asks a yes-or-no question; only `y` or `Y` is a yes.
    func confirm(_ question: String) -> Bool {
        out.write("\(question) [y/N] ")
        out.flush()
        let answer = readLine(strippingNewline: true)
        return answer?.trimmingBlanks().lowercased() == "y"
    }

    /// `--detach-keys`, or the configured ones.
    func detachKeys(_ given: String) -> String { given.isEmpty ? config.detachKeys : given }
}

/// Bytes for standard output, gathered until there is a reason to write: the buffer is full, somebody waits, or the program ends.
final class OutputStream {
    let descriptor: CInt
    private var pending: [UInt8] = []

    init(descriptor: CInt) { self.descriptor = descriptor }

    var isTerminal: Bool { isatty(descriptor) == 1 }

    func write(_ text: String) { write(bytes: Array(text.utf8)[...]) }

    func write(bytes: ArraySlice<UInt8>) {
        pending += bytes
        if pending.count >= 65536 { flush() }
    }

    /// Past the buffer, for streams: no copy.
    /// - Throws: `SystemError`, above all EPIPE when the reader has gone.
    func writeNow(_ bytes: ArraySlice<UInt8>) throws(SystemError) {
        flush()
        do throws(SystemError) { try bytes.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(descriptor, raw) } } catch {
            endIfReaderIsGone(error)
            throw error
        }
    }

    func flush() {
        guard !pending.isEmpty else { return }
        do throws(SystemError) { try pending.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(descriptor, raw) } } catch {
            // Of any other failure there is nobody to tell; the exit status of the command stands
            endIfReaderIsGone(error)
        }
        pending.removeAll(keepingCapacity: true)
    }

    /// `berth logs web | head`: ends as any program does whose reader went away.
    private func endIfReaderIsGone(_ error: SystemError) {
        guard error.errno == .brokenPipe else { return }
        signal(SIGPIPE, SIG_DFL)
        raise(SIGPIPE)
    }
}

/// The variables the program was started with.
struct Environment {
    /// In the order of environ(7).
    let all: [(name: String, value: String)]

    static func current() -> Environment {
        var all: [(name: String, value: String)] = []
        for text in ProgramArguments.environment {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { all.append((String(parts[0]), String(parts[1]))) }
        }
        return Environment(all: all)
    }

    subscript(_ name: String) -> String? { all.first { $0.name == name }?.value }
}
