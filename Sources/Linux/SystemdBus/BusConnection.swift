import LinuxSystem

/// A connection to a message bus, or straight to one program that speaks D-Bus. Calls wait for their answer; one at a time, one thread.
package final class BusConnection {
    private let socket: OwnedFD
    /// Of the socket, for errors.
    private let path: String
    private var received: [UInt8] = []
    private var serial: UInt32 = 0
    /// Signals that came while an answer was awaited.
    private var signals: [BusMessage] = []
    /// There is a bus between, which wants to be greeted and told which signals are wanted.
    package let isBus: Bool

    /// How long an answer may take.
    private static let patience: UInt64 = 30_000_000_000

    /// Connects and proves who the caller is.
    package init(path: String, isBus: Bool) throws(BusError) {
        self.path = path
        self.isBus = isBus
        do throws(SystemError) { socket = try DescriptorPassing.connect(path) } catch { throw .system(error) }
        try authenticate()
        if isBus { _ = try callBus("Hello", []) }
    }

    // MARK: Calls

    /// Calls a method and waits for what it returns.
    /// - Throws: `refused` with the other side's error.
    package func call(_ destination: String, path: String, interface: String, member: String, _ body: [BusValue]) throws(BusError) -> [BusValue] {
        var message = BusMessage(.call)
        (message.path, message.interface, message.member, message.body) = (path, interface, member, body)
        if isBus { message.destination = destination }
        serial += 1
        message.serial = serial
        let bytes = message.bytes
        do throws(SystemError) { try Files.writeAll(bytes, to: socket, name: self.path) } catch { throw .system(error) }
        let end = Clock.monotonic() + Self.patience
        while true {
            let answer = try receive(until: end, for: "an answer to \(member)")
            switch answer.kind {
            case .signal: signals.append(answer)
            case .reply where answer.replySerial == message.serial: return answer.body
            case .error where answer.replySerial == message.serial:
                throw .refused(name: answer.errorName ?? "", message: answer.body.first?.text ?? "")
            default: continue
            }
        }
    }

    private func callBus(_ member: String, _ body: [BusValue]) throws(BusError) -> [BusValue] {
        try call("org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: member, body)
    }

    /// Asks the bus for signals. Without a bus they come unasked.
    package func listen(interface: String, member: String) throws(BusError) {
        if isBus { _ = try callBus("AddMatch", [.string("type='signal',interface='\(interface)',member='\(member)'")]) }
    }

    /// Waits for a signal that `isWanted`, those that have come already first.
    /// - Parameter what: for the error when it does not come.
    package func signal(_ member: String, for what: String, _ isWanted: ([BusValue]) -> Bool) throws(BusError) -> [BusValue] {
        let end = Clock.monotonic() + Self.patience
        while true {
            if let index = signals.firstIndex(where: { $0.member == member && isWanted($0.body) }) { return signals.remove(at: index).body }
            let message = try receive(until: end, for: what)
            if message.kind == .signal { signals.append(message) }
        }
    }

    // MARK: Bytes

    /// SASL with the EXTERNAL mechanism and no identity: the other side asks the kernel who is there.
    ///
    /// Spec: D-Bus Specification, "Authentication Protocol".
    private func authenticate() throws(BusError) {
        try send("\0AUTH EXTERNAL\r\n")
        let end = Clock.monotonic() + Self.patience
        while true {
            let line = try line(until: end)
            if line.hasPrefix("OK ") { break }
            guard line == "DATA" || line.hasPrefix("DATA ") else { throw .malformed("\(path) does not accept the caller: \(line)") }
            try send("DATA\r\n")
        }
        try send("BEGIN\r\n")
    }

    private func send(_ text: String) throws(BusError) {
        let bytes = Array(text.utf8)
        do throws(SystemError) { try Files.writeAll(bytes, to: socket, name: path) } catch { throw .system(error) }
    }

    private func line(until end: UInt64) throws(BusError) -> String {
        while true {
            if let feed = received.firstIndex(of: UInt8(ascii: "\n")) {
                let line = received[..<feed].filter { $0 != UInt8(ascii: "\r") }
                received.removeFirst(feed + 1)
                return String(decoding: line, as: UTF8.self)
            }
            guard received.count < 4096 else { throw .malformed("\(path) sends no line") }
            try readMore(until: end, for: "\(path) to accept the caller")
        }
    }

    private func receive(until end: UInt64, for what: String) throws(BusError) -> BusMessage {
        while true {
            if let length = try BusMessage.length(received), received.count >= length {
                let bytes = Array(received[..<length])
                received.removeFirst(length)
                if let message = try BusMessage.decode(bytes) { return message }
                continue
            }
            try readMore(until: end, for: what)
        }
    }

    private func readMore(until end: UInt64, for what: String) throws(BusError) {
        let now = Clock.monotonic()
        do throws(SystemError) {
            guard now < end, !(try Processes.poll([socket.rawValue], timeoutMilliseconds: CInt((end - now) / 1_000_000 + 1))).isEmpty else {
                throw SystemError(call: "poll", subject: path, errno: .timedOut)
            }
            let part = try Files.readSome(socket, name: path)
            if part?.isEmpty == true { throw SystemError(call: "read", subject: path, errno: .connectionReset) }
            received += part ?? []
        } catch {
            throw error.errno == .timedOut ? .timedOut("timed out waiting for \(what)") : .system(error)
        }
    }
}
