import LinuxSystem

/// Where one stream of a process goes or comes from, as the task API's URI says.
enum StdioAddress: Equatable {
    case none
    /// containerd's way: the client has made the FIFO and holds its other end.
    case fifo(path: String)
    /// Appended to.
    case file(path: String)
    /// A logger program with containerd's protocol; `strict` when it must say that it is ready (binary-v2).
    case binary(path: String, arguments: [String], strict: Bool)
    case log(LogAddress)

    struct Invalid: Error, Equatable { let message: String }

    init(parsing text: String) throws(Invalid) {
        guard !text.isEmpty else { self = .none; return }
        guard let colon = text.firstIndex(of: ":"), !text.isAbsolutePath else { self = .fifo(path: text); return }
        let uri = try URIParts(text, schemeEnd: colon)
        switch uri.scheme {
        case "fifo": self = .fifo(path: uri.path)
        case "file": self = .file(path: uri.path)
        case "binary", "binary-v2":
            guard !uri.path.isEmpty else { throw Invalid(message: "\(text): no program given") }
            // containerd's loggers take every key and value of the query as an argument of its own, empty values left out.
            self = .binary(path: uri.path, arguments: uri.query.flatMap { $0.value.isEmpty ? [$0.key] : [$0.key, $0.value] }, strict: uri.scheme == "binary-v2")
        case "berth-log": self = .log(try LogAddress(path: uri.path, query: uri.query))
        default: throw Invalid(message: "unknown STDIO scheme \(uri.scheme)")
        }
    }
}

/// `berth-log:` with its parameters: docs/shim.md has the table.
struct LogAddress: Equatable {
    enum Driver: String { case jsonFile = "json-file", local, none }

    var path = ""
    var driver = Driver.jsonFile
    /// Bytes after which a file is rotated; nil for never.
    var maxSize: Int?
    /// Files kept, the current one included.
    var maxFiles = 1
    /// A full disk holds the container up only in blocking mode, and for a bounded time there.
    var blocking = true
    /// Of the ring that non-blocking mode keeps while the disk is full.
    var maxBufferSize = 1 << 20
    /// Where the attach socket listens; empty for none.
    var attach = ""
    /// A JSON object to be put into every line, as text; empty for none.
    var attributes = ""
    var stdinOnce = false

    init(path: String, query: [(key: String, value: String)]) throws(StdioAddress.Invalid) {
        self.path = path
        for (key, value) in query {
            switch key {
            case "driver":
                guard let known = Driver(rawValue: value) else { throw .init(message: "berth-log: driver=\(value): one of json-file, local, none expected") }
                driver = known
            case "max-size": maxSize = try Self.number(key, value)
            case "max-file": maxFiles = try Self.number(key, value)
            case "mode":
                guard value == "blocking" || value == "non-blocking" else { throw .init(message: "berth-log: mode=\(value): blocking or non-blocking expected") }
                blocking = value == "blocking"
            case "max-buffer-size": maxBufferSize = try Self.number(key, value)
            case "attach": attach = value
            case "tag-attrs": attributes = value
            case "stdin-once": stdinOnce = try Self.flag(key, value)
            default: throw .init(message: "berth-log: unknown parameter \(key)")
            }
        }
        if driver != .none && !path.isAbsolutePath { throw .init(message: "berth-log: driver \(driver.rawValue) needs an absolute path, not \"\(path)\"") }
        if !attach.isEmpty && !attach.isAbsolutePath { throw .init(message: "berth-log: attach=\(attach): an absolute path expected") }
    }

    private static func number(_ key: String, _ value: String) throws(StdioAddress.Invalid) -> Int {
        guard let number = Int(value), number > 0 else { throw .init(message: "berth-log: \(key)=\(value): a positive number expected") }
        return number
    }

    private static func flag(_ key: String, _ value: String) throws(StdioAddress.Invalid) -> Bool {
        switch value {
        case "1", "true": true
        case "0", "false": false
        default: throw .init(message: "berth-log: \(key)=\(value): 0 or 1 expected")
        }
    }
}

/// As much of a URI as stdio needs: scheme, path, query. RFC 3986 without authority and fragment.
struct URIParts {
    let scheme: String
    let path: String
    /// Percent-decoded, in order.
    let query: [(key: String, value: String)]

    init(_ text: String, schemeEnd colon: String.Index) throws(StdioAddress.Invalid) {
        scheme = String(text[..<colon])
        var rest = text[text.index(after: colon)...]
        // The arguments of loggers are form-encoded, as containerd's clients write them; ours are plainly percent-encoded.
        let plus = scheme.hasPrefix("binary")
        var pairs: [(key: String, value: String)] = []
        if let mark = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: mark)...].fields(by: "&") {
                let parts = pair.fields(by: "=", limit: 2, keepsEmpty: true)
                pairs.append((try Self.decode(parts[0], plus: plus), parts.count > 1 ? try Self.decode(parts[1], plus: plus) : ""))
            }
            rest = rest[..<mark]
        }
        query = pairs
        if rest.hasPrefix("//") { rest = rest.dropFirst(2) }
        path = try Self.decode(rest, plus: false)
    }

    private static func decode(_ text: Substring, plus: Bool) throws(StdioAddress.Invalid) -> String {
        var bytes: [UInt8] = []
        var input = text.utf8.makeIterator()
        while let byte = input.next() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = input.next().flatMap(hexDigit), let low = input.next().flatMap(hexDigit) else { throw .init(message: "\(text): bad percent-encoding") }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plus: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        guard !bytes.contains(0) else { throw .init(message: "a NUL byte in a stdio address") }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
