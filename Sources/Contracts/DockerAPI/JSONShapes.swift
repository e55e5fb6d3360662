/// An optional that is written as an explicit `null` instead of being left out, as Go writes a nil slice, map or pointer.
///
/// Clients index these keys without asking whether they are there. Reading accepts both a missing key and `null`.
@propertyWrapper
package struct Nullable<Wrapped: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
    package var wrappedValue: Wrapped?

    package init(wrappedValue: Wrapped?) { self.wrappedValue = wrappedValue }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        wrappedValue = container.decodeNil() ? nil : try container.decode(Wrapped.self)
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

/// A list of words that old clients may send as one string: `"Cmd": "date"` means `["date"]`. Written as a list or `null`.
@propertyWrapper
package struct Words: Codable, Sendable, Equatable {
    package var wrappedValue: [String]?

    package init(wrappedValue: [String]?) { self.wrappedValue = wrappedValue }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            wrappedValue = nil
        } else if let single = try? container.decode(String.self) {
            wrappedValue = [single]
        } else {
            wrappedValue = try container.decode([String].self)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        if let wrappedValue { try container.encode(wrappedValue) } else { try container.encodeNil() }
    }
}

/// An integer that some clients send as a string (`"5000"`) or a string that some send as a number: port numbers in `PortBindings`. Kept as text.
@propertyWrapper
package struct NumberAsText: Codable, Sendable, Equatable {
    package var wrappedValue: String?

    package init(wrappedValue: String?) { self.wrappedValue = wrappedValue }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            wrappedValue = nil
        } else if let number = try? container.decode(Int64.self) {
            wrappedValue = String(number)
        } else {
            wrappedValue = try container.decode(String.self)
        }
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(wrappedValue ?? "")
    }
}

// The synthesized `init(from:)` picks these, so that a missing key is nil and not an error.
extension KeyedDecodingContainer {
    package func decode<T>(_ type: Nullable<T>.Type, forKey key: Key) throws -> Nullable<T> {
        try decodeIfPresent(type, forKey: key) ?? Nullable(wrappedValue: nil)
    }
    package func decode(_ type: Words.Type, forKey key: Key) throws -> Words {
        try decodeIfPresent(type, forKey: key) ?? Words(wrappedValue: nil)
    }
    package func decode(_ type: NumberAsText.Type, forKey key: Key) throws -> NumberAsText {
        try decodeIfPresent(type, forKey: key) ?? NumberAsText(wrappedValue: nil)
    }
}

/// The value of a set written as a map, `{"80/tcp": {}}`.
package struct EmptyObject: Codable, Sendable, Equatable {
    package init() {}
}

/// The body of every answer with a status of 400 and above.
package struct ErrorResponse: Codable, Sendable, Equatable {
    package var message: String
    package init(message: String) { self.message = message }
}

/// The answer of exec create and commit.
package struct IDResponse: Codable, Sendable, Equatable {
    package var Id: String
    package init(Id: String) { self.Id = Id }
}
