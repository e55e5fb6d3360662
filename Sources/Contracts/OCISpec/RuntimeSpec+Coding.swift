// How absent and empty fields read and write, for every document of this module. The compiler's synthesized coding prefers these overloads to the
// standard library's generic ones, so that the types themselves stay plain lists of fields.
//
// Go's types, which everybody else in the field uses, write a missing list as nothing or as null and read both as empty.

extension KeyedDecodingContainer {
    /// An absent or null list is empty.
    func decode<Element: Decodable>(_ type: [Element].Type, forKey key: Key) throws -> [Element] {
        try decodeIfPresent(type, forKey: key) ?? []
    }

    /// An absent or null map is empty.
    func decode<Value: Decodable>(_ type: [String: Value].Type, forKey key: Key) throws -> [String: Value] {
        try decodeIfPresent(type, forKey: key) ?? [:]
    }

    /// An absent flag is false.
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool {
        try decodeIfPresent(type, forKey: key) ?? false
    }

    /// A process without `user` runs as root, as with the other runtimes.
    func decode(_ type: RuntimeSpec.User.Type, forKey key: Key) throws -> RuntimeSpec.User {
        try decodeIfPresent(type, forKey: key) ?? RuntimeSpec.User()
    }
}

extension KeyedEncodingContainer {
    /// An empty list is left out.
    mutating func encode<Element: Encodable>(_ value: [Element], forKey key: Key) throws {
        if !value.isEmpty { try encodeIfPresent(value, forKey: key) }
    }

    /// An empty map is left out.
    mutating func encode<Value: Encodable>(_ value: [String: Value], forKey key: Key) throws {
        if !value.isEmpty { try encodeIfPresent(value, forKey: key) }
    }
}
