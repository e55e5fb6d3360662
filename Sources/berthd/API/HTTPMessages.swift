import NIOCore
import NIOHTTP1

/// One request after routing.
struct HTTPRequest: Sendable {
    var method: HTTPMethod
    /// Without the version prefix and the query.
    var path: String
    var query: Query
    var headers: HTTPHeaders
    /// The version in the path, or the newest when there is none.
    var version: APIVersion
    /// What the route's `{name}` matched, percent-decoded.
    var parameters: [String: String] = [:]
    var body: RequestBody
    var eventLoop: any EventLoop

    func parameter(_ name: String) -> String { parameters[name] ?? "" }
}

/// What a handler answers. Everything that can be refused is refused before the answer is returned: once a stream runs, its status is sent.
struct HTTPResponse: Sendable {
    enum Body: Sendable {
        case none
        case bytes(ByteBuffer)
        /// Chunked. The closure runs after the head was sent; it ends early by cancellation when the client goes away.
        case stream(@Sendable (ResponseWriter) async throws -> Void)
        /// The connection becomes a raw byte stream: 101 when the client asked for an upgrade, else 200.
        case hijack(@Sendable (HijackedConnection) async throws -> Void)
        /// The same with the messages of a web socket around the bytes.
        case webSocket(WebSocketUpgrade, @Sendable (HijackedConnection) async throws -> Void)
    }

    var status: HTTPResponseStatus
    var headers = HTTPHeaders()
    var body: Body

    init(status: HTTPResponseStatus, headers: HTTPHeaders = HTTPHeaders(), body: Body = .none) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    static let noContent = HTTPResponse(status: .noContent)
    static let notModified = HTTPResponse(status: .notModified)

    static func json(_ value: some Encodable, status: HTTPResponseStatus = .ok) throws -> HTTPResponse {
        json(text: try JSONBody.encode(value), status: status)
    }

    static func json(text: ByteBuffer, status: HTTPResponseStatus = .ok) -> HTTPResponse { HTTPResponse(status: status, headers: ["Content-Type": "application/json"], body: .bytes(text)) }

    static func text(_ text: String, status: HTTPResponseStatus = .ok) -> HTTPResponse {
        HTTPResponse(status: status, headers: ["Content-Type": "text/plain; charset=utf-8"], body: .bytes(ByteBuffer(string: text)))
    }

    static func stream(contentType: String, _ body: @escaping @Sendable (ResponseWriter) async throws -> Void) -> HTTPResponse {
        HTTPResponse(status: .ok, headers: ["Content-Type": contentType], body: .stream(body))
    }
}

/// The body of a streaming answer. `write` returns when the bytes are with the kernel: that is the backpressure.
struct ResponseWriter: Sendable {
    let channel: any Channel

    func write(_ buffer: ByteBuffer) async throws {
        try await channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(buffer))).get()
    }

    func write(_ text: String) async throws { try await write(ByteBuffer(string: text)) }

    /// One JSON object with a line feed, as progress, events and stats are sent.
    func writeLine(_ value: some Encodable) async throws { try await write(JSONBody.encode(value)) }
}

/// The query of a URL, with Go's reading of booleans.
struct Query: Sendable {
    private var items: [(name: String, value: String)] = []

    init(_ text: Substring) {
        for pair in text.split(separator: "&", omittingEmptySubsequences: true) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            items.append((PercentCoding.decode(parts[0], plusIsSpace: true), parts.count > 1 ? PercentCoding.decode(parts[1], plusIsSpace: true) : ""))
        }
    }

    subscript(name: String) -> String? { items.first { $0.name == name }?.value }
    func all(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }

    /// True unless missing, empty, 0, no, false or none.
    func flag(_ name: String, default missing: Bool = false) -> Bool {
        guard let value = self[name]?.trimmed().lowercased() else { return missing }
        return !["", "0", "no", "false", "none"].contains(value)
    }

    /// - Throws: `.invalidArgument` naming the parameter when it is there and not a number.
    func integer(_ name: String) throws -> Int? {
        guard let text = self[name], !text.isEmpty else { return nil }
        guard let value = Int(text) else { throw DaemonError.invalid("invalid value for \(name): strconv.Atoi: parsing \"\(text)\": invalid syntax") }
        return value
    }
}

enum PercentCoding {
    /// Undoes %XX; malformed escapes stay as they are.
    static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String {
        guard text.utf8.contains(where: { $0 == 0x25 || $0 == 0x2B }) else { return String(text) }
        var output: [UInt8] = []
        let bytes = Array(text.utf8)
        var index = 0
        while index < bytes.count {
            if bytes[index] == 0x25, index + 2 < bytes.count, let high = hex(bytes[index + 1]), let low = hex(bytes[index + 2]) {
                output.append(high << 4 | low)
                index += 3
            } else {
                output.append(plusIsSpace && bytes[index] == 0x2B ? 0x20 : bytes[index])
                index += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Everything but letters, digits and `-._~/` as %XX.
    static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var output: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E, 0x2F: output.append(byte)
            default: output += [0x25, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private static func hex(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x37
        case 0x61...0x66: byte - 0x57
        default: nil
        }
    }
}

extension StringProtocol {
    /// Without white space at both ends.
    func trimmed() -> String {
        var slice = self[...]
        while let first = slice.first, first.isWhitespace { slice.removeFirst() }
        while let last = slice.last, last.isWhitespace { slice.removeLast() }
        return String(slice)
    }
}
