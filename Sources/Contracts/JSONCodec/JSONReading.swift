// Reading without `Decodable`, for documents that are read at every start of a short program. `Decodable` costs the instantiation of generic containers
// for each type, 15 µs apiece, which for a container's configuration is more than parsing it. Rules and messages are the same.

/// A type that reads itself from a value of a document.
package protocol JSONReadable {
    /// - Throws: `JSONError`, which names the field.
    init(json: JSONNode) throws(JSONError)
}

/// One value of a document.
package struct JSONNode: Sendable {
    let document: JSONDocument
    let index: Int

    /// As the document has it; of a string without the quotes.
    package var text: [UInt8] { Array(document.bytes[Int(document.nodes[index].start)..<Int(document.nodes[index].end)]) }

    private var kind: JSONDocument.Kind { document.nodes[index].kind }
    var isNull: Bool { kind == .null }

    /// Of a member's value: the key, which stands before it.
    package var name: String { document.string(at: index - 1) }

    package func string() throws(JSONError) -> String { try document.checkedString(at: index) }
    package func bool() throws(JSONError) -> Bool { try document.bool(at: index) }

    /// The bits of an integer that is neither below `low` nor above `high`.
    package func integer(from low: Int64, to high: UInt64) throws(JSONError) -> UInt64 {
        try document.integer(from: low, to: high, at: index)
    }

    package func object() throws(JSONError) -> JSONObject {
        guard kind == .object else { throw document.mismatch("an object", at: index) }
        return JSONObject(node: self)
    }

    /// The elements of an array.
    package func elements() throws(JSONError) -> JSONChildren {
        guard kind == .array else { throw document.mismatch("an array", at: index) }
        return JSONChildren(of: self, isObject: false)
    }

    package func strings() throws(JSONError) -> [String] {
        var strings: [String] = []
        strings.reserveCapacity(Int(document.nodes[index].count))
        for element in try elements() { strings.append(try element.string()) }
        return strings
    }
}

/// The children of an array, or the values of an object's members, one after the other.
package struct JSONChildren: Sequence, IteratorProtocol {
    private let document: JSONDocument
    private let isObject: Bool
    private var position: Int
    private let end: Int
    /// How many are still to come, at most.
    package let underestimatedCount: Int

    init(of node: JSONNode, isObject: Bool) {
        document = node.document
        self.isObject = isObject
        position = node.index + 1
        end = Int(document.nodes[node.index].next)
        underestimatedCount = Int(document.nodes[node.index].count)
    }

    package mutating func next() -> JSONNode? {
        guard position < end else { return nil }
        let value = isObject ? position + 1 : position
        position = Int(document.nodes[value].next)
        return JSONNode(document: document, index: value)
    }
}

/// An object, whose members are asked for by name. Absent and null are the same, except for what must be there.
package struct JSONObject {
    let node: JSONNode

    /// The member, unless it is absent or null.
    package func member(_ name: String) -> JSONNode? {
        guard let index = node.document.member(name, of: node.index) else { return nil }
        let value = JSONNode(document: node.document, index: index)
        return value.isNull ? nil : value
    }

    /// The member, which may be null: then its type complains.
    package func required(_ name: String) throws(JSONError) -> JSONNode {
        if let index = node.document.member(name, of: node.index) { return JSONNode(document: node.document, index: index) }
        let path = node.document.path(of: node.index)
        throw JSONError(path: path + JSONError.step(name, after: path), problem: "required field is missing")
    }

    /// The values of all members; each knows its name.
    package func members() -> JSONChildren { JSONChildren(of: node, isObject: true) }

    // MARK: Scalars

    package func string(_ name: String) throws(JSONError) -> String { try required(name).string() }
    package func optionalString(_ name: String) throws(JSONError) -> String? { if let member = member(name) { try member.string() } else { nil } }
    package func optionalBool(_ name: String) throws(JSONError) -> Bool? { if let member = member(name) { try member.bool() } else { nil } }
    /// An absent flag is false.
    package func flag(_ name: String) throws(JSONError) -> Bool { try optionalBool(name) ?? false }

    // MARK: Lists and maps, empty when absent

    package func strings(_ name: String) throws(JSONError) -> [String] { if let member = member(name) { try member.strings() } else { [] } }

    package func stringMap(_ name: String) throws(JSONError) -> [String: String] {
        var map: [String: String] = [:]
        guard let object = try member(name)?.object() else { return map }
        for value in object.members() { map[value.name] = try value.string() }
        return map
    }
}

extension [String]: JSONReadable {
    package init(json: JSONNode) throws(JSONError) { self = try json.strings() }
}

extension JSON {
    /// Reads a document.
    /// - Throws: `JSONError`, which names the field.
    package static func read<Value: JSONReadable>(
        _ type: Value.Type = Value.self, from bytes: [UInt8], limits: Limits = .standard
    ) throws(JSONError) -> Value {
        try Value(json: root(of: bytes, limits: limits))
    }

    /// The value that a document consists of.
    package static func root(of bytes: [UInt8], limits: Limits = .standard) throws(JSONError) -> JSONNode {
        JSONNode(document: try JSONDocument(parsing: bytes, limits: limits), index: 0)
    }
}
