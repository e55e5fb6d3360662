import FoundationEssentials
import JSONCodec
import NIOCore
import NIOHTTP1

/// JSON in and out of the API, with Go's wording for what does not parse: clients and their users know it.
enum JSONBody {
    /// A whole answer, with the line feed that Go's encoder ends it with. Fields stand in the order of Docker's types, which `docker inspect` prints them in.
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        var bytes = try JSON.encode(value)
        bytes.append(UInt8(ascii: "\n"))
        return ByteBuffer(bytes: bytes)
    }

    /// An object whose parts are texts already.
    struct Members {
        private var buffer: ByteBuffer
        private var isEmpty: Bool

        /// - Parameter begun: the object with its first member, without an end; nil: nothing yet.
        init(begun: ByteBuffer? = nil) {
            buffer = begun ?? ByteBuffer(string: "{")
            isEmpty = begun == nil
        }

        mutating func add(_ name: StaticString, text: ByteBuffer) {
            buffer.writeString("\(isEmpty ? "" : ",")\"\(name)\":")
            isEmpty = false
            buffer.writeImmutableBuffer(text)
        }

        mutating func add(_ name: StaticString, _ value: some Encodable) throws { add(name, text: ByteBuffer(bytes: try JSON.encode(value))) }

        mutating func finish() -> ByteBuffer {
            buffer.writeStaticString("}\n")
            return buffer
        }
    }

    static func encodeToString(_ value: some Encodable) throws -> String { String(decoding: try JSON.encode(value), as: UTF8.self) }

    /// Reads a request's body.
    ///
    /// - Parameter allowingEmpty: an empty body stands for `{}`, where dockerd takes it so.
    /// - Throws: `.invalidArgument` that names the field and the type, as dockerd words it.
    static func decode<T: Decodable>(_ type: T.Type, from request: HTTPRequest, allowingEmpty: Bool = false) async throws -> T {
        let contentType = request.headers.first(name: "Content-Type")?.trimmed() ?? ""
        if !contentType.isEmpty {
            let media = (contentType.split(separator: ";").first ?? "").trimmed().lowercased()
            guard media == "application/json" else {
                throw DaemonError.invalid("unsupported Content-Type header (\(contentType)): must be 'application/json'")
            }
        }
        let bytes = try await request.body.collect()
        if bytes.readableBytes == 0 {
            guard allowingEmpty else { throw DaemonError.invalid("invalid JSON: got EOF while reading request body") }
            return try decode(type, from: ByteBuffer(string: "{}"))
        }
        if contentType.isEmpty { throw DaemonError.invalid("malformed Content-Type header (): mime: no media type") }
        // Foundation's decoder does not look at the fields that nobody asks for: what is no JSON would pass.
        if let failure = syntaxError(bytes) { throw DaemonError.invalid(failure) }
        return try decode(type, from: bytes, fields: CanonicalKeys.name)
    }

    /// - Parameter fields: the name of a field for the name in the text; nil: they are the same.
    static func decode<T: Decodable>(_ type: T.Type, from bytes: ByteBuffer, fields: (@Sendable (String) -> String)? = nil) throws -> T {
        let decoder = JSONDecoder()
        if let fields { decoder.keyDecodingStrategy = .custom { path in path.last.map { $0.intValue == nil ? FieldName(fields($0.stringValue)) : FieldName(intValue: $0.intValue ?? 0) ?? FieldName("") } ?? FieldName("") } }
        do {
            return try decoder.decode(type, from: Data(bytes.readableBytesView))
        } catch let error as DecodingError {
            throw DaemonError.invalid(describe(error, type: T.self, bytes: bytes))
        }
    }

    static func decode<T: Decodable>(_ type: T.Type, from text: String) throws -> T { try decode(type, from: ByteBuffer(string: text)) }

    private static func describe(_ error: DecodingError, type: Any.Type, bytes: ByteBuffer) -> String {
        switch error {
        case .typeMismatch(let expected, let context), .valueNotFound(let expected, let context):
            return "invalid JSON: json: cannot unmarshal \(found(at: context.codingPath, in: bytes, context)) into Go \(place(context.codingPath, type)) of type \(goName(expected))"
        case .keyNotFound(let key, _):
            return "invalid JSON: the field \"\(key.stringValue)\" is missing"
        case .dataCorrupted(let context):
            if let failure = syntaxError(bytes) { return failure }
            // "Number 1.5 is not representable in Swift."
            let words = context.underlyingError.map { String(describing: $0).split(separator: " ") } ?? []
            let number = words.firstIndex(of: "Number").flatMap { $0 + 1 < words.count ? " \(words[$0 + 1])" : nil } ?? ""
            return "invalid JSON: json: cannot unmarshal number\(number) into Go \(place(context.codingPath, type)): it does not fit"
        @unknown default:
            return "invalid JSON: \(error)"
        }
    }

    /// What is wrong with the text itself; nil when it is one value and nothing more.
    private static func syntaxError(_ bytes: ByteBuffer) -> String? {
        switch GoJSONSyntax.check(Array(bytes.readableBytesView)) {
        case .empty: "invalid JSON: got EOF while reading request body"
        case .invalid(let text): "invalid JSON: \(text)"
        case .valid(hasMore: true): "unexpected content after JSON"
        case .valid(hasMore: false): nil
        }
    }

    private static func place(_ path: [any CodingKey], _ type: Any.Type) -> String {
        path.isEmpty ? "value" : "struct field " + ([String(describing: type)] + path.filter { $0.intValue == nil }.map(\.stringValue)).joined(separator: ".")
    }

    private static func goName(_ type: Any.Type) -> String {
        switch type {
        case is String.Type: "string"
        case is Bool.Type: "bool"
        case is Int.Type: "int"
        case is Int64.Type: "int64"
        case is UInt16.Type: "uint16"
        case is UInt32.Type: "uint32"
        case is UInt64.Type, is UInt.Type: "uint64"
        case is [String: Any].Type: "object"
        case is [Any].Type: "array"
        default: String(describing: type)
        }
    }

    /// Which JSON type stands where another was wanted: read again without a schema, on this rare path only.
    private static func found(at path: [any CodingKey], in bytes: ByteBuffer, _ context: DecodingError.Context) -> String {
        guard let root = try? JSONDecoder().decode(JSONKind.self, from: Data(bytes.readableBytesView)) else { return "value" }
        return root.kind(at: path[...])
    }
}

/// The shape of a JSON value, without its content.
private indirect enum JSONKind: Decodable {
    case null, bool, number, string
    case array([JSONKind])
    case object([String: JSONKind])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if (try? container.decode(Bool.self)) != nil {
            self = .bool
        } else if (try? container.decode(String.self)) != nil {
            self = .string
        } else if (try? container.decode(Double.self)) != nil {
            self = .number
        } else if let list = try? container.decode([JSONKind].self) {
            self = .array(list)
        } else {
            self = .object(try container.decode([String: JSONKind].self))
        }
    }

    func kind(at path: ArraySlice<any CodingKey>) -> String {
        guard let key = path.first else {
            switch self {
            case .null: return "null"
            case .bool: return "bool"
            case .number: return "number"
            case .string: return "string"
            case .array: return "array"
            case .object: return "object"
            }
        }
        switch self {
        case .array(let list):
            guard let index = key.intValue, list.indices.contains(index) else { return "array" }
            return list[index].kind(at: path.dropFirst())
        case .object(let fields): return fields[key.stringValue]?.kind(at: path.dropFirst()) ?? "object"
        default: return kind(at: [])
        }
    }
}
