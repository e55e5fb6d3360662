/// Any JSON value: what a document carries that its type does not know, kept so that writing the document again loses nothing.
package enum JSONValue: Codable, Sendable, Hashable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// Integers above `Int64.max`.
    case unsigned(UInt64)
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])

    package init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let string = try? value.decode(String.self) {
            self = .string(string)
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let integer = try? value.decode(Int64.self) {
            self = .integer(integer)
        } else if let unsigned = try? value.decode(UInt64.self) {
            self = .unsigned(unsigned)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let array = try? value.decode([JSONValue].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSONValue].self))
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .unsigned(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

/// A key with any name, for the fields that a type does not know.
struct FieldName: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(_ name: String) { stringValue = name }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
}

extension Decoder {
    /// The fields of the object that is being decoded whose names `isKnown` refuses.
    func unknownFields(besides isKnown: (String) -> Bool) throws -> [String: JSONValue] {
        let fields = try container(keyedBy: FieldName.self)
        var unknown: [String: JSONValue] = [:]
        for key in fields.allKeys where !isKnown(key.stringValue) { unknown[key.stringValue] = try fields.decode(JSONValue.self, forKey: key) }
        return unknown
    }
}

extension Encoder {
    /// Writes fields beside those that the type's own coding writes.
    func encode(unknownFields: [String: JSONValue]) throws {
        guard !unknownFields.isEmpty else { return }
        var fields = container(keyedBy: FieldName.self)
        // Sorted: a document that is written twice has one digest.
        for (name, value) in unknownFields.sorted(by: { $0.key < $1.key }) { try fields.encode(value, forKey: FieldName(name)) }
    }
}
