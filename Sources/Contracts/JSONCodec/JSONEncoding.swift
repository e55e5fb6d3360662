// The containers of `Encodable`. They fill a tree, because containers may be filled in any order and several at a time; `JSONWriter` then writes it.

/// A value that is being put together.
final class JSONTree {
    enum Content {
        /// Nothing was encoded.
        case empty
        /// A scalar as it will stand in the document.
        case scalar(String)
        case string(String)
        case array([JSONTree])
        case object([(name: String, value: JSONTree)])
    }

    var content: Content = .empty
    /// Of the tree that holds this one and outlives it.
    private unowned let parent: JSONTree?

    init(parent: JSONTree? = nil) { self.parent = parent }

    /// How the value is reached, worked out when a message needs it.
    var path: [any CodingKey] {
        guard let parent else { return [] }
        switch parent.content {
        case .object(let members): return parent.path + members.filter { $0.value === self }.map { PathKey(stringValue: $0.name) }
        case .array(let elements): return parent.path + elements.indices.filter { elements[$0] === self }.map { PathKey(intValue: $0) }
        default: return parent.path
        }
    }

    func box<Value: Encodable>(_ value: Value) throws {
        if let map = value as? any StringKeyedMap {
            try box(map)
        } else {
            try value.encode(to: TreeEncoder(tree: self))
        }
    }

    /// Members sorted by name: the order of a dictionary changes with every run.
    private func box(_ map: some StringKeyedMap) throws {
        content = .object([])
        for name in map.names.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) { try map.encode(name, into: child(name)) }
    }

    /// A new member at the end. An existing one with the same name is replaced where it stands.
    func child(_ name: String) -> JSONTree {
        let tree = JSONTree(parent: self)
        guard case .object(var members) = content else {
            content = .object([(name, tree)])
            return tree
        }
        content = .empty  // so that the array below is not copied
        if let position = members.firstIndex(where: { $0.name == name }) { members[position].value = tree } else { members.append((name, tree)) }
        content = .object(members)
        return tree
    }

    /// A new element at the end.
    func child() -> JSONTree {
        guard case .array(var elements) = content else { preconditionFailure("not an array") }
        let tree = JSONTree(parent: self)
        content = .empty
        elements.append(tree)
        content = .array(elements)
        return tree
    }

    func openObject() { if case .object = content {} else { content = .object([]) } }
    func openArray() { if case .array = content {} else { content = .array([]) } }

    func set(_ value: some FixedWidthInteger) { content = .scalar("\(value)") }
    func set(_ value: Bool) { content = .scalar(value ? "true" : "false") }
    func set(_ value: String) { content = .string(value) }
    func setNull() { content = .scalar("null") }
    func set(_ value: Double) throws {
        guard value.isFinite else {
            throw EncodingError.invalidValue(value, .init(codingPath: path, debugDescription: "\(value) has no form in JSON"))
        }
        // A whole number without a fraction, as Go writes it.
        content = .scalar(value.magnitude < 1e15 && value == value.rounded() ? "\(Int64(value))" : "\(value)")
    }
}

/// Dictionaries with text keys, whatever their values.
protocol StringKeyedMap {
    var names: [String] { get }
    func encode(_ name: String, into tree: JSONTree) throws
}

extension Dictionary: StringKeyedMap where Key == String, Value: Encodable {
    var names: [String] { Array(keys) }
    func encode(_ name: String, into tree: JSONTree) throws { if let value = self[name] { try tree.box(value) } }
}

private struct TreeEncoder: Encoder {
    let tree: JSONTree
    var codingPath: [any CodingKey] { tree.path }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> { KeyedEncodingContainer(ObjectWriter<Key>(tree: tree)) }
    func unkeyedContainer() -> any UnkeyedEncodingContainer { ArrayWriter(tree: tree) }
    func singleValueContainer() -> any SingleValueEncodingContainer { ScalarWriter(tree: tree) }
}

private struct ObjectWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let tree: JSONTree
    var codingPath: [any CodingKey] { tree.path }

    init(tree: JSONTree) {
        self.tree = tree
        tree.openObject()
    }

    func encodeNil(forKey key: Key) { tree.child(key.stringValue).setNull() }
    func encode(_ value: Bool, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: String, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: Double, forKey key: Key) throws { try tree.child(key.stringValue).set(value) }
    func encode(_ value: Float, forKey key: Key) throws { try tree.child(key.stringValue).set(Double(value)) }
    func encode(_ value: Int, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: Int8, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: Int16, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: Int32, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: Int64, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: UInt, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: UInt8, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: UInt16, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: UInt32, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: UInt64, forKey key: Key) { tree.child(key.stringValue).set(value) }
    func encode(_ value: some Encodable, forKey key: Key) throws { try tree.child(key.stringValue).box(value) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
        KeyedEncodingContainer(ObjectWriter<Nested>(tree: tree.child(key.stringValue)))
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { ArrayWriter(tree: tree.child(key.stringValue)) }
    func superEncoder() -> any Encoder { TreeEncoder(tree: tree.child("super")) }
    func superEncoder(forKey key: Key) -> any Encoder { TreeEncoder(tree: tree.child(key.stringValue)) }
}

private struct ArrayWriter: UnkeyedEncodingContainer {
    let tree: JSONTree
    var codingPath: [any CodingKey] { tree.path }
    var count: Int { if case .array(let elements) = tree.content { elements.count } else { 0 } }

    init(tree: JSONTree) {
        self.tree = tree
        tree.openArray()
    }

    func encodeNil() { tree.child().setNull() }
    func encode(_ value: Bool) { tree.child().set(value) }
    func encode(_ value: String) { tree.child().set(value) }
    func encode(_ value: Double) throws { try tree.child().set(value) }
    func encode(_ value: Float) throws { try tree.child().set(Double(value)) }
    func encode(_ value: Int) { tree.child().set(value) }
    func encode(_ value: Int8) { tree.child().set(value) }
    func encode(_ value: Int16) { tree.child().set(value) }
    func encode(_ value: Int32) { tree.child().set(value) }
    func encode(_ value: Int64) { tree.child().set(value) }
    func encode(_ value: UInt) { tree.child().set(value) }
    func encode(_ value: UInt8) { tree.child().set(value) }
    func encode(_ value: UInt16) { tree.child().set(value) }
    func encode(_ value: UInt32) { tree.child().set(value) }
    func encode(_ value: UInt64) { tree.child().set(value) }
    func encode(_ value: some Encodable) throws { try tree.child().box(value) }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> {
        KeyedEncodingContainer(ObjectWriter<Nested>(tree: tree.child()))
    }

    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { ArrayWriter(tree: tree.child()) }
    func superEncoder() -> any Encoder { TreeEncoder(tree: tree.child()) }
}

private struct ScalarWriter: SingleValueEncodingContainer {
    let tree: JSONTree
    var codingPath: [any CodingKey] { tree.path }

    func encodeNil() { tree.setNull() }
    func encode(_ value: Bool) { tree.set(value) }
    func encode(_ value: String) { tree.set(value) }
    func encode(_ value: Double) throws { try tree.set(value) }
    func encode(_ value: Float) throws { try tree.set(Double(value)) }
    func encode(_ value: Int) { tree.set(value) }
    func encode(_ value: Int8) { tree.set(value) }
    func encode(_ value: Int16) { tree.set(value) }
    func encode(_ value: Int32) { tree.set(value) }
    func encode(_ value: Int64) { tree.set(value) }
    func encode(_ value: UInt) { tree.set(value) }
    func encode(_ value: UInt8) { tree.set(value) }
    func encode(_ value: UInt16) { tree.set(value) }
    func encode(_ value: UInt32) { tree.set(value) }
    func encode(_ value: UInt64) { tree.set(value) }
    func encode(_ value: some Encodable) throws { try tree.box(value) }
}
