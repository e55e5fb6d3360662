import Glibc
import LinuxSystem
import TaskAPI
import Testing

/// The programs under test: `bin/` of the repository, or what BERTH_BIN names.
enum Programs {
    static let directory = getenv("BERTH_BIN").map { String(cString: $0) } ?? #filePath.split(separator: "/").dropLast(4).reduce("") { $0 + "/" + $1 } + "/bin"
    static var missing: String? {
        if geteuid() != 0 { return "needs root" }
        for program in ["berth-shim", "berth-runtime"] where !Files.exists("\(directory)/\(program)") { return "\(directory)/\(program) is not built" }
        return Files.exists("/bin/busybox") ? nil : "needs /bin/busybox"
    }
}

/// A shim in a bundle of its own below /tmp, with busybox as the container's root filesystem.
final class ShimUnderTest {
    let id: String
    let directory: String
    let bundle: String
    private(set) var events: EventRecorder
    private var socket: CInt = -1
    private var nextStream: UInt32 = 1
    private var decoder = TTRPCFrameDecoder()
    private var answers: [UInt32: TTRPCResponse] = [:]

    /// - Parameter hasPIDs: whether the container has a pid namespace of its own; without, its orphans become the shim's children.
    init(_ arguments: [String], terminal: Bool = false, hasPIDs: Bool = true) throws {
        id = "t\(UInt32.random(in: 0 ... .max))"
        directory = "/tmp/berth-test-\(getpid())-\(id)"
        bundle = "\(directory)/shims/test/\(id)"
        try Files.makeDirectories("\(bundle)/rootfs", mode: 0o700)
        try Files.makeDirectories("\(directory)/root/bin")
        for name in ["proc", "dev", "tmp"] { try Files.makeDirectory("\(directory)/root/\(name)") }
        let copy = try SpawnRequest("cp", ["/bin/busybox", "\(directory)/root/bin/busybox"]).start()
        _ = try Children.wait(for: copy)
        for name in ["sh", "cat", "sleep", "echo", "stty", "yes", "head", "seq", "true"] { symlink("busybox", "\(directory)/root/bin/\(name)") }
        let words = arguments.map { "\"\($0)\"" }.joined(separator: ",")
        let config = """
            {"ociVersion":"1.0.2","process":{"terminal":\(terminal),"user":{"uid":0,"gid":0},"args":[\(words)],"env":["PATH=/bin"],"cwd":"/"},
             "root":{"path":"rootfs"},"mounts":[{"destination":"/proc","type":"proc","source":"proc"},
             {"destination":"/dev","type":"tmpfs","source":"tmpfs"},{"destination":"/dev/pts","type":"devpts","source":"devpts","options":["newinstance","ptmxmode=0666"]}],
             "linux":{"cgroupsPath":"/berth-test-\(getpid())-\(id)","namespaces":[\(hasPIDs ? "{\"type\":\"pid\"}," : ""){"type":"mount"},{"type":"ipc"},{"type":"uts"}]}}
            """
        try Files.replace("\(bundle)/config.json", with: Array(config.utf8))
        events = try EventRecorder(path: "\(directory)/events.sock")
        socket = try UnixSocket.connect(to: try start()).release()
    }

    private func start() throws -> String {
        let output = try Pipes.make()
        var request = SpawnRequest("\(Programs.directory)/berth-shim", ["-namespace", "test", "-id", id, "-address", "/none", "start"])
        request.workingDirectory = bundle
        request.environment = ["PATH=/bin:/usr/bin:/sbin:/usr/sbin", "TTRPC_ADDRESS=\(directory)/events.sock"]
        request.descriptors = [(1, output.writing)]
        let pid = try request.start()
        close(output.writing)
        let address = String(decoding: try Files.readAll(OwnedFD(adopting: output.reading), name: "address"), as: UTF8.self)
        let exit = try Children.wait(for: pid)
        #expect(exit.status == 0)
        return String(address.dropFirst("unix://".count))
    }

    // MARK: calls

    func send(_ method: String, _ payload: [UInt8]) throws -> UInt32 {
        let stream = nextStream
        nextStream += 2
        var bytes: [UInt8] = []
        TTRPCFrame(streamID: stream, kind: .request, payload: TTRPCRequest(service: "containerd.task.v3.Task", method: method, payload: payload).encoded()).append(to: &bytes)
        try SocketIO.writeAll(bytes, to: socket)
        return stream
    }

    func answer(to stream: UInt32) throws -> [UInt8] {
        while answers[stream] == nil {
            try SocketIO.read(from: socket) { decoder.append($0) }
            while let frame = try decoder.next() { answers[frame.streamID] = try TTRPCResponse(decoding: frame.payload) }
        }
        let response = answers.removeValue(forKey: stream)!
        if let status = response.status { throw status }
        return response.payload
    }

    @discardableResult
    func call(_ method: String, _ payload: [UInt8]) throws -> [UInt8] { try answer(to: send(method, payload)) }

    private func process(_ exec: String) -> [UInt8] { ProcessRequest(id: id, execID: exec).encoded() }

    func create(_ stdio: StdioAddresses = StdioAddresses()) throws -> UInt32 { try PidResponse(decoding: answer(to: beginCreate(stdio))).pid }

    /// Returns the stream on which the answer comes.
    func beginCreate(_ stdio: StdioAddresses = StdioAddresses()) throws -> UInt32 {
        let mount = MountMessage(type: "bind", source: "\(directory)/root", options: ["rbind", "rw"])
        return try send("Create", CreateTaskRequest(id: id, bundle: bundle, rootfs: [mount], stdio: stdio).encoded())
    }

    func start(_ exec: String = "") throws { try call("Start", process(exec)) }
    func wait(_ exec: String = "") throws -> UInt32 { try WaitResponse(decoding: call("Wait", process(exec))).exitStatus }
    func state(_ exec: String = "") throws -> StateResponse { try StateResponse(decoding: call("State", process(exec))) }
    func delete(_ exec: String = "") throws -> DeleteResponse { try DeleteResponse(decoding: call("Delete", process(exec))) }
    func kill(_ signal: CInt, _ exec: String = "") throws { try call("Kill", KillRequest(id: id, execID: exec, signal: UInt32(signal)).encoded()) }
    func addExec(_ exec: String, _ arguments: [String], _ stdio: StdioAddresses = StdioAddresses()) throws {
        let words = arguments.map { "\"\($0)\"" }.joined(separator: ",")
        let spec = "{\"user\":{\"uid\":0,\"gid\":0},\"args\":[\(words)],\"env\":[\"PATH=/bin\"],\"cwd\":\"/\"}"
        try call("Exec", ExecProcessRequest(id: id, execID: exec, stdio: stdio, spec: Array(spec.utf8)).encoded())
    }

    var pid: Int32 { get throws { Int32(try ConnectResponse(decoding: call("Connect", process(""))).shimPid) } }

    func attach(_ name: String, flags: UInt8) throws -> CInt {
        let client = try UnixSocket.connect(to: "\(bundle)/\(name)").release()
        try SocketIO.writeAll([flags], to: client)
        var greeting: [UInt8] = []
        try SocketIO.read(from: client, limit: 1) { greeting += $0 }
        #expect(greeting == [1])
        return client
    }

    /// Ends the container and the shim, and removes everything.
    func tearDown() {
        if (try? state()) != nil {
            try? kill(SIGKILL)
            _ = try? wait()
            _ = try? delete()
        }
        _ = try? send("Shutdown", process(""))
        close(socket)
        let remove = try? SpawnRequest("rm", ["-rf", directory]).start()
        usleep(50_000)
        if let remove { _ = try? Children.wait(for: remove) }
    }
}

/// Blocking calls on non-blocking sockets, two minutes at most.
enum SocketIO {
    struct TimedOut: Error {}
    struct Closed: Error {}

    static func waitFor(_ socket: CInt, _ events: CInt) throws {
        var item = pollfd(fd: socket, events: Int16(events), revents: 0)
        if poll(&item, 1, 120_000) <= 0 { throw TimedOut() }
    }

    static func writeAll(_ bytes: [UInt8], to socket: CInt) throws {
        var done = 0
        while done < bytes.count {
            try waitFor(socket, POLLOUT)
            let count = bytes[done...].withUnsafeBytes { send(socket, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) }
            if count < 0 && errno != EAGAIN { throw Closed() }
            done += max(0, count)
        }
    }

    static func read(from socket: CInt, limit: Int = 65536, _ take: (UnsafeRawBufferPointer) -> Void) throws {
        try waitFor(socket, POLLIN)
        try withUnsafeTemporaryAllocation(byteCount: limit, alignment: 8) { buffer in
            let count = recv(socket, buffer.baseAddress, buffer.count, 0)
            if count <= 0 { throw Closed() }
            take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
        }
    }

    /// Everything up to the end of file.
    static func readToEnd(_ socket: CInt) throws -> [UInt8] {
        var bytes: [UInt8] = []
        do { while true { try read(from: socket) { bytes += $0 } } } catch is Closed { return bytes }
    }
}

/// The supervisor's side of events: accepts them and remembers their topics.
final class EventRecorder {
    private let listener: OwnedFD
    private var client: CInt = -1
    private var decoder = TTRPCFrameDecoder()
    private(set) var topics: [String] = []

    init(path: String) throws { listener = try UnixSocket.listen(at: path) }

    /// Takes events until the one with `topic` has come.
    func collect(until topic: String) throws {
        while topics.last != topic {
            if client < 0 {
                try SocketIO.waitFor(listener.rawValue, POLLIN)
                client = try UnixSocket.accept(listener)?.release() ?? -1
                continue
            }
            try SocketIO.read(from: client) { decoder.append($0) }
            while let frame = try decoder.next() {
                topics.append(try EventEnvelope(decodingForwardRequest: TTRPCRequest(decoding: frame.payload).payload).topic)
                var answer: [UInt8] = []
                TTRPCFrame(streamID: frame.streamID, kind: .response, payload: TTRPCResponse(payload: []).encoded()).append(to: &answer)
                try SocketIO.writeAll(answer, to: client)
            }
        }
    }

    deinit { if client >= 0 { close(client) } }
}
