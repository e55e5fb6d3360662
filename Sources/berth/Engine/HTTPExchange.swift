import DockerAPI
import LinuxSystem

/// A request to the engine.
struct HTTPRequest {
    enum Body {
        case none
        case json(JSONValue)
        /// Sent with chunked encoding: the closure gives the next piece, an empty one ends it.
        case stream(contentType: String, () throws -> [UInt8])
        /// The same, written by the closure as it goes.
        case produced(contentType: String, (ChunkSink) throws -> Void)

        /// Whether the request can be sent once more; a stream is spent after one attempt.
        var isRepeatable: Bool {
            switch self {
            case .none, .json: true
            case .stream, .produced: false
            }
        }
    }

    var method: String
    /// With the version prefix and the query.
    var target: String
    var headers: [(String, String)] = []
    var body = Body.none
    /// Asks for the raw connection (attach, exec).
    var upgrade = false

    /// Writes the request; a streamed body is sent whole before this returns.
    func send(on connection: SocketConnection, host: String, userAgent: String) throws {
        var head = "\(method) \(target) HTTP/1.1\r\nHost: \(host)\r\nUser-Agent: \(userAgent)\r\n"
        for (name, value) in headers { head += "\(name): \(value)\r\n" }
        if upgrade { head += "Connection: Upgrade\r\nUpgrade: tcp\r\n" }
        switch body {
        case .none:
            head += method == "POST" || method == "PUT" ? "Content-Length: 0\r\n\r\n" : "\r\n"
            try connection.write(Array(head.utf8))
        case .json(let value):
            let content = Array(value.text.utf8)
            head += "Content-Type: application/json\r\nContent-Length: \(content.count)\r\n\r\n"
            try connection.write(Array(head.utf8) + content)
        case .produced(let contentType, let produce):
            head += "Content-Type: \(contentType)\r\nTransfer-Encoding: chunked\r\n\r\n"
            try connection.write(Array(head.utf8))
            let sink = ChunkSink(connection)
            try produce(sink)
            try sink.finish()
        case .stream(let contentType, let next):
            head += "Content-Type: \(contentType)\r\nTransfer-Encoding: chunked\r\n\r\n"
            try connection.write(Array(head.utf8))
            while true {
                let piece = try next()
                try connection.write(Array((String(piece.count, radix: 16) + "\r\n").utf8) + piece + [13, 10])
                if piece.isEmpty { break }
            }
        }
    }
}

/// Gathers a request's body into chunks of a useful size.
final class ChunkSink {
    private let connection: SocketConnection
    private var pending: [UInt8] = []

    init(_ connection: SocketConnection) { self.connection = connection }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        pending += bytes
        if pending.count >= 1 << 17 { try flush() }
    }

    fileprivate func finish() throws {
        try flush()
        try connection.write(Array("0\r\n\r\n".utf8))
    }

    private func flush() throws {
        if pending.isEmpty { return }
        try connection.write(Array((String(pending.count, radix: 16) + "\r\n").utf8) + pending + [13, 10])
        pending.removeAll(keepingCapacity: true)
    }
}

/// The head of a reply, and its body as it arrives.
final class HTTPResponse {
    let status: Int
    private let headers: [(name: String, value: String)]
    let connection: SocketConnection
    private enum Framing { case none, length(Int), chunked(left: Int), untilClose }
    private var framing: Framing

    /// Reads the head from the connection.
    /// - Throws: `CommandFailure` when what arrives is no HTTP.
    init(from connection: SocketConnection, isHead: Bool) throws {
        guard let line = try connection.readLine() else { throw CommandFailure("unexpected EOF") }
        let parts = line.split(separator: " ", maxSplits: 2)
        guard parts.count >= 2, parts[0].hasPrefix("HTTP/1."), let status = Int(parts[1]) else {
            throw CommandFailure("malformed HTTP response \(GoText.quoted(String(line.prefix(80))))")
        }
        var headers: [(name: String, value: String)] = []
        while let line = try connection.readLine(), !line.isEmpty {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            headers.append((line[..<colon].lowercased(), String(value)))
        }
        self.status = status
        self.headers = headers
        self.connection = connection
        func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }
        if isHead || status == 204 || status == 304 || status == 101 {
            framing = .none
        } else if header("transfer-encoding")?.lowercased() == "chunked" {
            framing = .chunked(left: 0)
        } else if let length = header("content-length").flatMap(Int.init) {
            framing = length == 0 ? .none : .length(length)
        } else {
            framing = .untilClose
        }
    }

    func header(_ name: String) -> String? { headers.first { $0.name == name }?.value }

    /// The connection can carry another request once the body was read.
    var isReusable: Bool {
        if case .none = framing { return status != 101 && header("connection")?.lowercased() != "close" }
        return false
    }

    /// More of the body was read from the socket already, or its end is known: a read would not block.
    var hasBufferedBytes: Bool {
        if case .none = framing { return true }
        return connection.hasBufferedBytes
    }

    /// The next piece of the body, whatever its size; empty at its end.
    /// - Throws: `CommandFailure("unexpected EOF")` when the engine broke off.
    func read() throws -> ArraySlice<UInt8> {
        switch framing {
        case .none: return []
        case .untilClose:
            let piece = try connection.read()
            if piece.isEmpty { framing = .none }
            return piece
        case .length(let left):
            let piece = try connection.read(limit: left)
            guard !piece.isEmpty else { throw CommandFailure("unexpected EOF") }
            framing = piece.count == left ? .none : .length(left - piece.count)
            return piece
        case .chunked(var left):
            if left == 0 {
                guard let line = try connection.readLine(), let size = Int(line.prefix { $0.isHexDigit }, radix: 16) else {
                    throw CommandFailure("unexpected EOF")
                }
                if size == 0 {
                    while let trailer = try connection.readLine(), !trailer.isEmpty {}
                    framing = .none
                    return []
                }
                left = size
            }
            let piece = try connection.read(limit: left)
            guard !piece.isEmpty else { throw CommandFailure("unexpected EOF") }
            left -= piece.count
            if left == 0 { _ = try connection.readLine() }
            framing = .chunked(left: left)
            return piece
        }
    }

    func readAll() throws -> [UInt8] {
        var body: [UInt8] = []
        while case let piece = try read(), !piece.isEmpty { body += piece }
        return body
    }
}
