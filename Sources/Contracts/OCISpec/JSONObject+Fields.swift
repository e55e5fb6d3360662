package import JSONCodec

// Fields whose type is the reader's to say. They stand in this module and not beside the rest of `JSONObject`, because only here the compiler makes a version of them for each type of the
// specification. The general version looks conformances and optionals up while a container waits, a tenth of reading a configuration.

extension JSONNode {
    /// An integer of the type's range.
    package func integer<Value: FixedWidthInteger>() throws(JSONError) -> Value {
        Value(truncatingIfNeeded: try integer(from: Int64(Value.min), to: UInt64(Value.max)))
    }
}

/// Lists and maps are empty when absent.
extension JSONObject {
    package func integer<Value: FixedWidthInteger>(_ name: String) throws(JSONError) -> Value { try required(name).integer() }
    package func optionalInteger<Value: FixedWidthInteger>(_ name: String) throws(JSONError) -> Value? {
        if let member = member(name) { try member.integer() } else { nil }
    }

    package func integers<Value: FixedWidthInteger>(_ name: String) throws(JSONError) -> [Value] {
        guard let member = member(name) else { return [] }
        var values: [Value] = []
        for element in try member.elements() { values.append(try element.integer()) }
        return values
    }

    package func list<Value: JSONReadable>(_ name: String) throws(JSONError) -> [Value] {
        guard let member = member(name) else { return [] }
        let elements = try member.elements()
        var values: [Value] = []
        values.reserveCapacity(elements.underestimatedCount)
        for element in elements { values.append(try Value(json: element)) }
        return values
    }

    package func map<Value: JSONReadable>(_ name: String) throws(JSONError) -> [String: Value] {
        guard let member = member(name) else { return [:] }
        var map: [String: Value] = [:]
        for value in try member.object().members() { map[value.name] = try Value(json: value) }
        return map
    }

    package func value<Value: JSONReadable>(_ name: String) throws(JSONError) -> Value { try Value(json: required(name)) }
    package func optional<Value: JSONReadable>(_ name: String) throws(JSONError) -> Value? {
        if let member = member(name) { try Value(json: member) } else { nil }
    }
}
