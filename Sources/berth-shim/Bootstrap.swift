import CLinux
import Glibc
import LinuxSystem
import TaskAPI

/// `berth-shim start`: binds the shim's socket, goes on as the server in a child, prints the socket's address.
///
/// containerd up to 2.2 passes flags, environment variables and a `google.protobuf.Any` of runtime options on standard input, and reads the address as
/// text. From 2.3 on everything is in one message, and so is the answer.
struct Bootstrap {
    let arguments: ShimArguments
    let bundle: String
    let options: RuntimeOptions
    let ttrpcAddress: String
    let socketDirectory: String
    /// The caller speaks the protocol of 2.3.
    let isStructured: Bool

    struct Failure: Error { let message: String }

    /// - Parameter input: what standard input held.
    init(_ arguments: ShimArguments, input: [UInt8], environment: (String) -> String?) throws {
        self.arguments = arguments
        bundle = try Files.currentDirectory()
        // Options alone can look like parameters; what names this very container is the latter.
        if !input.isEmpty, let parameters = try? BootstrapParameters(decoding: input), parameters.instanceID == arguments.id,
            parameters.namespace == arguments.namespace
        {
            isStructured = true
            ttrpcAddress = parameters.ttrpcAddress.isEmpty ? environment("TTRPC_ADDRESS") ?? "" : parameters.ttrpcAddress
            socketDirectory = parameters.socketDirectory
            options = try parameters.extensions.first(where: RuntimeOptions.accepts).map { try RuntimeOptions($0) } ?? RuntimeOptions()
        } else {
            isStructured = false
            ttrpcAddress = environment("TTRPC_ADDRESS") ?? ""
            socketDirectory = ""
            let message = input.isEmpty ? nil : try AnyMessage(decoding: input)
            options = if let message, RuntimeOptions.accepts(message) { try RuntimeOptions(message) } else { RuntimeOptions() }
        }
    }

    var target: EventPublisher.Target {
        if !ttrpcAddress.isEmpty { return .ttrpc(path: ttrpcAddress.hasPrefix("unix://") ? String(ttrpcAddress.dropFirst(7)) : ttrpcAddress) }
        if !arguments.publishBinary.isEmpty { return .program(path: arguments.publishBinary, grpcAddress: arguments.grpcAddress) }
        return .nobody
    }

    /// Returns in the parent, with the address printed; does not return in the child.
    func start() throws {
        let sockets = try SocketPaths(bundle: bundle, directory: socketDirectory)
        let path = try sockets.path(for: "shim")
        let listener = try listen(at: path)
        let score = oomScore()
        // A supervisor that has died takes no answer; that must come back as an error, for the child has to go then.
        signal(SIGPIPE, SIG_IGN)
        let child = try Fork.split()
        if child == 0 {
            do {
                try becomeServer(oomScore: score)
                try ShimProcess(bootstrap: self, sockets: sockets, listener: aloneWith(listener)).run()
                _exit(0)
            } catch {
                ShimLog.error("serve: \(error)")
                _exit(1)
            }
        }
        do {
            try Files.replace("\(bundle)/shim.pid", with: Array("\(child)".utf8))
            try Files.replace("\(bundle)/address", with: Array("unix://\(path)".utf8))
            let answer = isStructured ? BootstrapResult(version: 3, address: "unix://\(path)").encoded() : Array("unix://\(path)".utf8)
            try Files.writeAll(answer, to: OwnedFD(adopting: dup(1)), name: "standard output")
        } catch {
            kill(child, SIGKILL)
            unlink(path)
            throw error
        }
    }

    /// A socket that nobody listens on any more is in the way; one that somebody does is another shim's for this very bundle.
    private func listen(at path: String) throws -> OwnedFD {
        do throws(SystemError) { return try UnixSocket.listen(at: path) } catch {
            guard error.errno.rawValue == EADDRINUSE else { throw error }
            if (try? UnixSocket.connect(to: path)) != nil { throw Failure(message: "a shim serves \(path) already") }
            unlink(path)
        }
        return try UnixSocket.listen(at: path)
    }

    /// One more than the supervisor's: when memory runs out, a shim goes before it, and long before that the containers.
    private func oomScore() -> Int {
        let text = (try? Files.readText("/proc/\(getppid())/oom_score_adj")) ?? "0"
        return min(1000, (Int(text.fields(by: "\n").first ?? "0") ?? 0) + 1)
    }

    /// Closes what the supervisor has left open in its child; a shim lives longer than whatever that is for.
    private func aloneWith(_ listener: consuming OwnedFD) -> OwnedFD {
        let old = listener.release()
        if old == 3 {
            closeFrom(4)
            return OwnedFD(adopting: 3)
        }
        dup2(old, 3)
        _ = fcntl(3, F_SETFD, FD_CLOEXEC)
        closeFrom(4)
        return OwnedFD(adopting: 3)
    }

    private func closeFrom(_ first: UInt32) { _ = berth_close_range(first, UInt32.max, 0) }

    private func becomeServer(oomScore: Int) throws {
        setsid()
        // Lowering the score needs a privilege, raising it does not; neither is worth a container's start.
        try? Files.write("\(oomScore)", toExisting: "/proc/self/oom_score_adj")
        if !options.shimCgroup.isEmpty { try ShimCgroup.join(options.shimCgroup) }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        for number in CInt(0)...2 { dup2(null, number) }
        if null > 2 { close(null) }
        ShimLog.attachToBundle()
    }
}

extension Bootstrap {
    /// All of standard input, unless that is a terminal.
    static func readInput() throws -> [UInt8] {
        guard isatty(0) == 0 else { return [] }
        return try Files.readAll(OwnedFD(adopting: dup(0)), name: "standard input", limit: 10 << 20)
    }

    static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
}
