import Foundation
import LinuxSystem
@testable import SystemdBus

/// A bus with systemd on it: accepts one connection, answers each call with what the test says, and remembers the calls. It has a thread of its own, since
/// the client blocks, and what it heard comes back over a pipe when the client has hung up.
final class FakeBus {
    let path: String
    private let heard: OwnedFD

    /// The answer to a call: messages in their order, with serials that are filled in.
    typealias Answer = @Sendable (BusMessage) -> [BusMessage]

    init(greeting: String = "OK 0123456789abcdef0123456789abcdef\r\n", _ answer: @escaping Answer) throws {
        path = "/tmp/berth-test-\(getpid())-bus-\(UInt32.random(in: 0...UInt32.max))"
        let listener = try UnixSocket.listen(at: path).release()
        let pipe = try Pipes.make()
        Thread.detachNewThread {
            Self.serve(listener, pipe.writing, greeting, answer)
            close(listener)
            close(pipe.writing)
        }
        heard = OwnedFD(adopting: pipe.reading)
    }

    deinit { unlink(path) }

    /// The calls, when the client is gone.
    func calls() throws -> [BusMessage] {
        var bytes = try Files.readAll(heard, name: "heard")
        var calls: [BusMessage] = []
        while let length = try BusMessage.length(bytes), bytes.count >= length {
            if let message = try BusMessage.decode(Array(bytes[..<length])) { calls.append(message) }
            bytes.removeFirst(length)
        }
        return calls
    }

    private static func serve(_ listener: CInt, _ heard: CInt, _ greeting: String, _ answer: Answer) {
        var watch = pollfd(fd: listener, events: Int16(POLLIN), revents: 0)
        poll(&watch, 1, 10_000)
        let peer = accept(listener, nil, nil)
        guard peer >= 0 else { return }
        defer { close(peer) }
        // A client that hangs must not hang the test.
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(peer, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        var bytes: [UInt8] = []
        func read() -> Bool {
            var buffer = [UInt8](repeating: 0, count: 4096)
            let count = recv(peer, &buffer, buffer.count, 0)
            if count > 0 { bytes += buffer[..<count] }
            return count > 0
        }
        func write(_ data: [UInt8]) { _ = data.withUnsafeBytes { send(peer, $0.baseAddress, $0.count, CInt(MSG_NOSIGNAL)) } }
        while !bytes.contains(10) { if !read() { return } }
        write(Array("DATA\r\n".utf8))
        while bytes.count(where: { $0 == 10 }) < 2 { if !read() { return } }
        write(Array(greeting.utf8))
        while bytes.count(where: { $0 == 10 }) < 3 { if !read() { return } }
        var feeds = 0
        bytes = Array(bytes.drop { byte in if byte == 10 { feeds += 1 }; return feeds < 3 || byte == 10 })
        var serial: UInt32 = 100
        while true {
            while let length = try? BusMessage.length(bytes), bytes.count >= length {
                let raw = Array(bytes[..<length])
                bytes.removeFirst(length)
                _ = raw.withUnsafeBytes { Foundation.write(heard, $0.baseAddress, $0.count) }
                guard let call = try? BusMessage.decode(raw) else { return }
                for var message in answer(call) {
                    serial += 1
                    message.serial = serial
                    if message.kind != .signal { message.replySerial = call.serial }
                    write(message.bytes)
                }
            }
            if !read() { return }
        }
    }
}

extension BusMessage {
    static func reply(_ body: BusValue...) -> BusMessage {
        var message = BusMessage(.reply)
        message.body = body
        return message
    }

    static func failure(_ name: String, _ text: String) -> BusMessage {
        var message = BusMessage(.error)
        message.errorName = name
        message.body = [.string(text)]
        return message
    }

    static func jobRemoved(_ job: String, _ result: String) -> BusMessage {
        var message = BusMessage(.signal)
        message.member = "JobRemoved"
        message.path = "/org/freedesktop/systemd1"
        message.interface = "org.freedesktop.systemd1.Manager"
        message.body = [.uint32(1), .objectPath(job), .string("a.scope"), .string(result)]
        return message
    }
}
