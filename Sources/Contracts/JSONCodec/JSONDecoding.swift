// The three containers of `Decodable` over a `JSONDocument`. A container is the document and the index of its node; paths are only worked out for
// messages (`JSONDocument.path(of:)`).

extension JSONDocument {
    /// Reads the value at a node as any type.
    func unbox<Value: Decodable>(_ type: Value.Type, at index: Int) throws -> Value {
        // The two types that fill a container's configuration go past `Array`'s and `Dictionary`'s own coding, which costs several calls per element.
        if type == String.self { return try checkedString(at: index) as! Value }
        if type == [String].self { return try strings(at: index) as! Value }
        if type == [String: String].self { return try stringMap(at: index) as! Value }
        return try Value(from: NodeDecoder(document: self, node: index))
    }

    private func strings(at index: Int) throws -> [String] {
        guard nodes[index].kind == .array else { throw mismatch("an array", at: index) }
        var strings: [String] = []
        strings.reserveCapacity(Int(nodes[index].count))
        try forEachElement(of: index) { strings.append(try checkedString(at: $0)) }
        return strings
    }

    private func stringMap(at index: Int) throws -> [String: String] {
        guard nodes[index].kind == .object else { throw mismatch("an object", at: index) }
        var map: [String: String] = [:]
        map.reserveCapacity(Int(nodes[index].count))
        try forEachMember(of: index) { map[string(at: $0)] = try checkedString(at: $1) }
        return map
    }

    func codingPath(of node: Int) -> [any CodingKey] {
        steps(to: node).map { step in
            switch step {
            case .member(let name): PathKey(stringValue: name)
            case .element(let position): PathKey(intValue: position)
            }
        }
    }
}

/// A step of a coding path.
struct PathKey: CodingKey {
    let stringValue: String
    let intValue: Int?

    init(stringValue: String) {
        self.stringValue = stringValue
        intValue = nil
    }

    init(intValue: Int) {
        stringValue = "\(intValue)"
        self.intValue = intValue
    }
}

private struct NodeDecoder: Decoder {
    let document: JSONDocument
    let node: Int

    var codingPath: [any CodingKey] { document.codingPath(of: node) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(try ObjectContainer<Key>(document, node))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { try ArrayContainer(document, node) }
    func singleValueContainer() throws -> any SingleValueDecodingContainer { ScalarContainer(document: document, node: node) }
}

private struct ObjectContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let document: JSONDocument
    let node: Int
    /// Only for objects with many members, so that reading all of them is not quadratic.
    let index: [String: Int]

    init(_ document: JSONDocument, _ node: Int) throws {
        guard document.nodes[node].kind == .object else { throw document.mismatch("an object", at: node) }
        self.document = document
        self.node = node
        var index: [String: Int] = [:]
        if document.nodes[node].count > 32 { document.forEachMember(of: node) { index[document.string(at: $0)] = $1 } }
        self.index = index
    }

    var codingPath: [any CodingKey] { document.codingPath(of: node) }

    var allKeys: [Key] {
        var keys: [Key] = []
        document.forEachMember(of: node) { key, _ in if let key = Key(stringValue: document.string(at: key)) { keys.append(key) } }
        return keys
    }

    private func find(_ key: Key) -> Int? {
        index[key.stringValue] ?? document.member(key.stringValue, of: node)
    }

    private func required(_ key: Key) throws -> Int {
        if let value = find(key) { return value }
        let path = document.path(of: node)
        throw JSONError(path: path + JSONError.step(key.stringValue, after: path), problem: "required field is missing")
    }

    /// The member, unless it is absent or null.
    private func present(_ key: Key) -> Int? {
        guard let value = find(key), document.nodes[value].kind != .null else { return nil }
        return value
    }

    func contains(_ key: Key) -> Bool { find(key) != nil }
    func decodeNil(forKey key: Key) throws -> Bool { document.nodes[try required(key)].kind == .null }

    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try document.bool(at: required(key)) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try document.checkedString(at: required(key)) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try document.double(at: required(key)) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { Float(try document.double(at: required(key))) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try document.integer(type, at: required(key)) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try document.integer(type, at: required(key)) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try document.integer(type, at: required(key)) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try document.integer(type, at: required(key)) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try document.integer(type, at: required(key)) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try document.integer(type, at: required(key)) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try document.integer(type, at: required(key)) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try document.integer(type, at: required(key)) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try document.integer(type, at: required(key)) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try document.integer(type, at: required(key)) }
    func decode<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value { try document.unbox(type, at: required(key)) }

    // One search instead of the three of the default implementation, for the types that specifications use.
    func decodeIfPresent(_ type: Bool.Type, forKey key: Key) throws -> Bool? { try present(key).map { try document.bool(at: $0) } }
    func decodeIfPresent(_ type: String.Type, forKey key: Key) throws -> String? { try present(key).map { try document.checkedString(at: $0) } }
    func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? { try present(key).map { try document.integer(type, at: $0) } }
    func decodeIfPresent(_ type: Int64.Type, forKey key: Key) throws -> Int64? { try present(key).map { try document.integer(type, at: $0) } }
    func decodeIfPresent(_ type: UInt32.Type, forKey key: Key) throws -> UInt32? { try present(key).map { try document.integer(type, at: $0) } }
    func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? { try present(key).map { try document.integer(type, at: $0) } }
    func decodeIfPresent<Value: Decodable>(_ type: Value.Type, forKey key: Key) throws -> Value? {
        try present(key).map { try document.unbox(type, at: $0) }
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) throws -> KeyedDecodingContainer<Nested> {
        KeyedDecodingContainer(try ObjectContainer<Nested>(document, required(key)))
    }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer { try ArrayContainer(document, required(key)) }
    func superDecoder() throws -> any Decoder { NodeDecoder(document: document, node: document.member("super", of: node) ?? node) }
    func superDecoder(forKey key: Key) throws -> any Decoder { NodeDecoder(document: document, node: try required(key)) }
}

private struct ArrayContainer: UnkeyedDecodingContainer {
    let document: JSONDocument
    let node: Int
    private var next: Int
    private(set) var currentIndex = 0

    init(_ document: JSONDocument, _ node: Int) throws {
        guard document.nodes[node].kind == .array else { throw document.mismatch("an array", at: node) }
        self.document = document
        self.node = node
        next = node + 1
    }

    var codingPath: [any CodingKey] { document.codingPath(of: node) }
    var count: Int? { Int(document.nodes[node].count) }
    var isAtEnd: Bool { next >= Int(document.nodes[node].next) }

    /// The next element. The position moves on only after `body` succeeded, as the protocol asks.
    private mutating func take<Value>(_ body: (JSONDocument, Int) throws -> Value) throws -> Value {
        guard !isAtEnd else { throw document.error("only \(currentIndex) elements where more are needed", at: node) }
        let value = try body(document, next)
        next = Int(document.nodes[next].next)
        currentIndex += 1
        return value
    }

    mutating func decodeNil() throws -> Bool {
        guard !isAtEnd, document.nodes[next].kind == .null else { return false }
        return try take { _, _ in true }
    }

    mutating func decode(_ type: Bool.Type) throws -> Bool { try take { try $0.bool(at: $1) } }
    mutating func decode(_ type: String.Type) throws -> String { try take { try $0.checkedString(at: $1) } }
    mutating func decode(_ type: Double.Type) throws -> Double { try take { try $0.double(at: $1) } }
    mutating func decode(_ type: Float.Type) throws -> Float { Float(try take { try $0.double(at: $1) }) }
    mutating func decode(_ type: Int.Type) throws -> Int { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int8.Type) throws -> Int8 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int16.Type) throws -> Int16 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int32.Type) throws -> Int32 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: Int64.Type) throws -> Int64 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt.Type) throws -> UInt { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt8.Type) throws -> UInt8 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt16.Type) throws -> UInt16 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt32.Type) throws -> UInt32 { try take { try $0.integer(type, at: $1) } }
    mutating func decode(_ type: UInt64.Type) throws -> UInt64 { try take { try $0.integer(type, at: $1) } }
    mutating func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try take { try $0.unbox(type, at: $1) } }

    mutating func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) throws -> KeyedDecodingContainer<Nested> {
        KeyedDecodingContainer(try take { try ObjectContainer<Nested>($0, $1) })
    }

    mutating func nestedUnkeyedContainer() throws -> any UnkeyedDecodingContainer { try take { try ArrayContainer($0, $1) } }
    mutating func superDecoder() throws -> any Decoder { try take { NodeDecoder(document: $0, node: $1) } }
}

private struct ScalarContainer: SingleValueDecodingContainer {
    let document: JSONDocument
    let node: Int

    var codingPath: [any CodingKey] { document.codingPath(of: node) }
    func decodeNil() -> Bool { document.nodes[node].kind == .null }
    func decode(_ type: Bool.Type) throws -> Bool { try document.bool(at: node) }
    func decode(_ type: String.Type) throws -> String { try document.checkedString(at: node) }
    func decode(_ type: Double.Type) throws -> Double { try document.double(at: node) }
    func decode(_ type: Float.Type) throws -> Float { Float(try document.double(at: node)) }
    func decode(_ type: Int.Type) throws -> Int { try document.integer(type, at: node) }
    func decode(_ type: Int8.Type) throws -> Int8 { try document.integer(type, at: node) }
    func decode(_ type: Int16.Type) throws -> Int16 { try document.integer(type, at: node) }
    func decode(_ type: Int32.Type) throws -> Int32 { try document.integer(type, at: node) }
    func decode(_ type: Int64.Type) throws -> Int64 { try document.integer(type, at: node) }
    func decode(_ type: UInt.Type) throws -> UInt { try document.integer(type, at: node) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try document.integer(type, at: node) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try document.integer(type, at: node) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try document.integer(type, at: node) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try document.integer(type, at: node) }
    func decode<Value: Decodable>(_ type: Value.Type) throws -> Value { try document.unbox(type, at: node) }
}
