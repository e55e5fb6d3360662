// The containers of `Encodable`: handles of a level of the stream.

struct StreamEncoder: Encoder {
    let stream: JSONStream
    let level: Int

    var codingPath: [any CodingKey] { stream.path(level) }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> { KeyedEncodingContainer(ObjectWriter<Key>(stream, level)) }
    func unkeyedContainer() -> any UnkeyedEncodingContainer { ArrayWriter(stream, level) }
    func singleValueContainer() -> any SingleValueEncodingContainer { ScalarWriter(stream: stream, level: level) }
}

/// Finds out what the standard library's dictionaries use for keys: a type without a public name, by which they are known without a cast of every value.
private final class DictionaryKey: Encoder {
    static let identifier: ObjectIdentifier? = {
        let probe = DictionaryKey()
        try? ["": 0].encode(to: probe)
        return probe.found
    }()

    private var found: ObjectIdentifier?
    private let discarded = StreamEncoder(stream: JSONStream(layout: .compact, dictionaryKey: nil), level: 0)
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedEncodingContainer<Key> {
        found = ObjectIdentifier(type)
        return discarded.container(keyedBy: type)
    }

    func unkeyedContainer() -> any UnkeyedEncodingContainer { discarded.unkeyedContainer() }
    func singleValueContainer() -> any SingleValueEncodingContainer { discarded.singleValueContainer() }
}

extension JSONStream {
    /// For a whole document.
    convenience init(layout: JSON.Layout) { self.init(layout: layout, dictionaryKey: DictionaryKey.identifier) }
}

private struct ObjectWriter<Key: CodingKey>: KeyedEncodingContainerProtocol {
    let stream: JSONStream
    let level: Int
    var codingPath: [any CodingKey] { stream.path(level) }

    init(_ stream: JSONStream, _ level: Int) {
        self.stream = stream
        self.level = level
        stream.openObject(level, keyedBy: Key.self)
    }

    private func put(_ key: Key, _ body: (inout JSONWriter) -> Void) throws {
        try stream.member(key.stringValue, of: level)
        stream.scalar(body)
    }

    private func open(_ key: Key) -> JSONStream {
        stream.openMember(key.stringValue, of: level)
        return stream.opened(in: level)
    }

    func encodeNil(forKey key: Key) throws { try put(key) { $0.append("null" as StaticString) } }
    func encode(_ value: Bool, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: String, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: Double, forKey key: Key) throws {
        try stream.member(key.stringValue, of: level)
        try stream.number(value, at: level + 1)
    }
    func encode(_ value: Float, forKey key: Key) throws {
        try stream.member(key.stringValue, of: level)
        try stream.number(value, at: level + 1)
    }
    func encode(_ value: Int, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: Int8, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: Int16, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: Int32, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: Int64, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: UInt, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: UInt8, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: UInt16, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: UInt32, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: UInt64, forKey key: Key) throws { try put(key) { $0.write(value) } }
    func encode(_ value: some Encodable, forKey key: Key) throws {
        try stream.member(key.stringValue, of: level)
        try stream.value(value)
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type, forKey key: Key) -> KeyedEncodingContainer<Nested> {
        KeyedEncodingContainer(ObjectWriter<Nested>(open(key), 0))
    }

    func nestedUnkeyedContainer(forKey key: Key) -> any UnkeyedEncodingContainer { ArrayWriter(open(key), 0) }

    func superEncoder() -> any Encoder {
        stream.openMember("super", of: level)
        return StreamEncoder(stream: stream.opened(in: level), level: 0)
    }

    func superEncoder(forKey key: Key) -> any Encoder { StreamEncoder(stream: open(key), level: 0) }
}

private struct ArrayWriter: UnkeyedEncodingContainer {
    let stream: JSONStream
    let level: Int
    var codingPath: [any CodingKey] { stream.path(level) }
    var count: Int { stream.count(level) }

    init(_ stream: JSONStream, _ level: Int) {
        self.stream = stream
        self.level = level
        stream.openArray(level)
    }

    private func put(_ body: (inout JSONWriter) -> Void) throws {
        try stream.element(of: level)
        stream.scalar(body)
    }

    private func open() -> JSONStream {
        stream.openElement(of: level)
        return stream.opened(in: level)
    }

    func encodeNil() throws { try put { $0.append("null" as StaticString) } }
    func encode(_ value: Bool) throws { try put { $0.write(value) } }
    func encode(_ value: String) throws { try put { $0.write(value) } }
    func encode(_ value: Double) throws {
        try stream.element(of: level)
        try stream.number(value, at: level + 1)
    }
    func encode(_ value: Float) throws {
        try stream.element(of: level)
        try stream.number(value, at: level + 1)
    }
    func encode(_ value: Int) throws { try put { $0.write(value) } }
    func encode(_ value: Int8) throws { try put { $0.write(value) } }
    func encode(_ value: Int16) throws { try put { $0.write(value) } }
    func encode(_ value: Int32) throws { try put { $0.write(value) } }
    func encode(_ value: Int64) throws { try put { $0.write(value) } }
    func encode(_ value: UInt) throws { try put { $0.write(value) } }
    func encode(_ value: UInt8) throws { try put { $0.write(value) } }
    func encode(_ value: UInt16) throws { try put { $0.write(value) } }
    func encode(_ value: UInt32) throws { try put { $0.write(value) } }
    func encode(_ value: UInt64) throws { try put { $0.write(value) } }
    func encode(_ value: some Encodable) throws {
        try stream.element(of: level)
        try stream.value(value)
    }

    func nestedContainer<Nested: CodingKey>(keyedBy type: Nested.Type) -> KeyedEncodingContainer<Nested> { KeyedEncodingContainer(ObjectWriter<Nested>(open(), 0)) }
    func nestedUnkeyedContainer() -> any UnkeyedEncodingContainer { ArrayWriter(open(), 0) }
    func superEncoder() -> any Encoder { StreamEncoder(stream: open(), level: 0) }
}

private struct ScalarWriter: SingleValueEncodingContainer {
    let stream: JSONStream
    let level: Int
    var codingPath: [any CodingKey] { stream.path(level) }

    private func put(_ body: (inout JSONWriter) -> Void) throws { try stream.scalar(at: level, body) }

    func encodeNil() throws { try put { $0.append("null" as StaticString) } }
    func encode(_ value: Bool) throws { try put { $0.write(value) } }
    func encode(_ value: String) throws { try put { $0.write(value) } }
    func encode(_ value: Double) throws {
        try put { _ in }
        try stream.number(value, at: level)
    }
    func encode(_ value: Float) throws {
        try put { _ in }
        try stream.number(value, at: level)
    }
    func encode(_ value: Int) throws { try put { $0.write(value) } }
    func encode(_ value: Int8) throws { try put { $0.write(value) } }
    func encode(_ value: Int16) throws { try put { $0.write(value) } }
    func encode(_ value: Int32) throws { try put { $0.write(value) } }
    func encode(_ value: Int64) throws { try put { $0.write(value) } }
    func encode(_ value: UInt) throws { try put { $0.write(value) } }
    func encode(_ value: UInt8) throws { try put { $0.write(value) } }
    func encode(_ value: UInt16) throws { try put { $0.write(value) } }
    func encode(_ value: UInt32) throws { try put { $0.write(value) } }
    func encode(_ value: UInt64) throws { try put { $0.write(value) } }
    func encode(_ value: some Encodable) throws { try stream.write(value, at: level) }
}
