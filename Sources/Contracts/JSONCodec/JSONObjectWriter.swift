/// An object that is being written, member after member, without a tree in between: the counterpart of `JSONReadable`. A type writes its own members in a function
/// `write(to:)`. Nothing here is generic: each type of value would be one more to be made known at run time.
package struct JSONObjectWriter {
    fileprivate var writer = JSONWriter(layout: .compact)
    private var isEmpty = true

    /// An object inside this one, or the document's own.
    fileprivate mutating func object(_ body: (inout JSONObjectWriter) -> Void) {
        writer.append("{")
        isEmpty = true
        body(&self)
        writer.append("}")
        isEmpty = false
    }

    private mutating func begin(_ name: String) {
        if !isEmpty { writer.append(",") }
        isEmpty = false
        writer.write(name)
        writer.append(":")
    }

    package mutating func add(_ name: String, _ value: String) {
        begin(name)
        writer.write(value)
    }

    /// Nothing at all without a value, as with the other optional ones.
    package mutating func add(_ name: String, _ value: String?) { if let value { add(name, value) } }

    package mutating func add(_ name: String, _ value: Bool) {
        begin(name)
        writer.append(value ? "true" : "false")
    }

    package mutating func add(_ name: String, _ value: UInt64) {
        begin(name)
        writer.write(value)
    }

    package mutating func add(_ name: String, _ value: Int64) {
        begin(name)
        writer.write(value)
    }

    package mutating func add(_ name: String, _ values: [String]) {
        begin(name)
        writer.append("[")
        var isFirst = true
        for value in values {
            if !isFirst { writer.append(",") }
            isFirst = false
            writer.write(value)
        }
        writer.append("]")
    }

    /// Members sorted by name: the order of a dictionary changes with every run.
    package mutating func add(_ name: String, _ map: [String: String]) {
        begin(name)
        object { inner in
            for name in map.keys.sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) { inner.add(name, map[name]) }
        }
    }

    /// An object whose members `body` adds.
    package mutating func add(_ name: String, _ body: (inout JSONObjectWriter) -> Void) {
        begin(name)
        object(body)
    }

    /// An array of objects, the members of each added by `body`.
    package mutating func add(_ name: String, count: Int, _ body: (inout JSONObjectWriter, Int) -> Void) {
        begin(name)
        writer.append("[")
        for position in 0..<count {
            if position > 0 { writer.append(",") }
            object { body(&$0, position) }
        }
        writer.append("]")
    }
}

extension JSON {
    /// Writes a document, without a line feed at the end.
    package static func write(_ body: (inout JSONObjectWriter) -> Void) -> [UInt8] {
        var document = JSONObjectWriter()
        document.object(body)
        return document.writer.output
    }
}
