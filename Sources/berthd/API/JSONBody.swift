import FoundationEssentials
import NIOCore
import NIOHTTP1

/// JSON in and out of the API, with Go's wording for what does not parse: clients and their users know it.
enum JSONBody {
    /// The encoder of all answers. Keys are sorted: `docker inspect` prints what it gets, and two answers should compare equal.
    static func encode(_ value: some Encodable) throws -> ByteBuffer {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var data = try encoder.encode(value)
        data.append(0x0A)
        return ByteBuffer(bytes: data)
    }

    static func encodeToString(_ value: some Encodable) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(value), as: UTF8.self)
    }

    /// Reads a request's body.
    ///
    /// - Parameter allowingEmpty: an empty body stands for `{}`, where dockerd takes it so.
    /// - Throws: `.invalidArgument` that names the field and the type, as dockerd words it.
    static func decode<T: Decodable>(_ type: T.Type, from request: HTTPRequest, allowingEmpty: Bool = false) async throws -> T {
        if let contentType = request.headers.first(name: "Content-Type") {
            let media = (contentType.split(separator: ";").first ?? "").trimmed().lowercased()
            guard media == "application/json" || media.isEmpty else {
                throw DaemonError.invalid("unsupported Content-Type header (\(contentType)): must be 'application/json'")
            }
        }
        let bytes = try await request.body.collect()
        if bytes.readableBytes == 0 {
            guard allowingEmpty else { throw DaemonError.invalid("invalid JSON: got EOF while reading request body") }
            return try decode(type, from: ByteBuffer(string: "{}"))
        }
        return try decode(type, from: bytes)
    }

    static func decode<T: Decodable>(_ type: T.Type, from bytes: ByteBuffer) throws -> T {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes.readableBytesView))
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
            if let number = context.codingPath.last, !context.codingPath.isEmpty {
                return "invalid JSON: json: cannot unmarshal number into Go struct field \(context.codingPath.map(\.stringValue).joined(separator: ".")): \(number.stringValue) is out of range"
            }
            return hasTrailingContent(bytes) ? "unexpected content after JSON" : "invalid JSON: \(syntaxError(context))"
        @unknown default:
            return "invalid JSON: \(error)"
        }
    }

    private static func syntaxError(_ context: DecodingError.Context) -> String {
        if let cause = context.underlyingError { return "\(context.debugDescription) \(cause)" }
        return context.debugDescription
    }

    private static func place(_ path: [any CodingKey], _ type: Any.Type) -> String {
        path.isEmpty ? "value" : "struct field " + path.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined(separator: ".")
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

    /// A complete value with something behind it.
    private static func hasTrailingContent(_ bytes: ByteBuffer) -> Bool {
        var depth = 0, inString = false, escaped = false
        let view = bytes.readableBytesView
        for (index, byte) in zip(view.indices, view) {
            if inString {
                if escaped { escaped = false } else if byte == 0x5C { escaped = true } else if byte == 0x22 { inString = false }
                continue
            }
            switch byte {
            case 0x22: inString = true
            case 0x7B, 0x5B: depth += 1
            case 0x7D, 0x5D:
                depth -= 1
                if depth == 0 {
                    let rest = view[view.index(after: index)...]
                    guard rest.contains(where: { $0 != 0x20 && $0 != 0x0A && $0 != 0x0D && $0 != 0x09 }) else { return false }
                    let head = Data(view[...index])
                    return (try? JSONDecoder().decode(JSONKind.self, from: head)) != nil
                }
            default: break
            }
        }
        return false
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
