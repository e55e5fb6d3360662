import Glibc

/// A parsed document: its bytes, and its values in the order in which they stand there.
///
/// A container is followed by what it contains and knows where that ends, so the whole document is one array, and the path of a value can be found
/// from its position when a message needs it; nothing is built for fields that nobody asks for.
final class JSONDocument: Sendable {
    enum Kind: UInt8 { case null, `true`, `false`, number, string, array, object }

    /// One value or key. 20 bytes.
    struct Node {
        var kind: Kind
        /// The string has escapes.
        var isEscaped = false
        /// Where its text stands in the document; for a string without the quotes.
        var start: UInt32
        var end: UInt32 = 0
        /// The index after this value and all that it contains.
        var next: UInt32 = 0
        /// Elements, or members, each of which is a key and a value.
        var count: UInt32 = 0
    }

    let bytes: [UInt8]
    let nodes: [Node]

    init(parsing bytes: [UInt8], limits: JSON.Limits) throws(JSONError) {
        self.bytes = bytes
        // Beyond 4 GiB positions would not fit the nodes.
        guard bytes.count <= min(limits.bytes, Int(UInt32.max)) else {
            throw JSONError(path: "", problem: "document of \(bytes.count) bytes is larger than the allowed \(limits.bytes)")
        }
        do throws(JSONParser.Failure) {
            nodes = try bytes.withUnsafeBufferPointer { text throws(JSONParser.Failure) in try JSONParser.nodes(of: text, limits: limits) }
        } catch { throw JSONError(path: "", problem: error.description(in: bytes)) }
    }

    // MARK: Members

    /// Indices of the children of an array, or the values of an object's members.
    func forEachElement(of node: Int, _ body: (Int) throws -> Void) rethrows {
        var index = node + 1
        let end = Int(nodes[node].next)
        while index < end {
            try body(index)
            index = Int(nodes[index].next)
        }
    }

    func forEachMember(of node: Int, _ body: (_ key: Int, _ value: Int) throws -> Void) rethrows {
        var index = node + 1
        let end = Int(nodes[node].next)
        while index < end {
            try body(index, index + 1)
            index = Int(nodes[index + 1].next)
        }
    }

    /// The value of the member with this name; without one, of a member whose name differs in the case of ASCII letters alone. Go's programs read JSON so, and those who write for them rely on it.
    func member(_ name: String, of node: Int) -> Int? {
        var name = name
        return name.withUTF8 { wanted in
            var index = node + 1
            let end = Int(nodes[node].next)
            var inAnotherCase: Int?
            while index < end {
                let key = nodes[index]
                if key.isEscaped {
                    if string(at: index).utf8.elementsEqual(wanted) { return index + 1 }
                } else if Int(key.end - key.start) == wanted.count {
                    switch compare(key, wanted) {
                    case .same: return index + 1
                    case .sameInAnotherCase: inAnotherCase = index + 1
                    case .other: break
                    }
                }
                index = Int(nodes[index + 1].next)
            }
            return inAnotherCase
        }
    }

    private enum Comparison { case same, sameInAnotherCase, other }

    /// Of texts of the same length, the case of ASCII's letters aside.
    private func compare(_ key: Node, _ wanted: UnsafeBufferPointer<UInt8>) -> Comparison {
        guard let other = wanted.baseAddress else { return .same }
        return bytes.withUnsafeBufferPointer { bytes in
            let own = bytes.baseAddress! + Int(key.start)
            if memcmp(own, other, wanted.count) == 0 { return .same }
            for index in 0..<wanted.count where own[index] != other[index] {
                let letter = own[index] | 0x20
                guard letter == other[index] | 0x20, UInt8(ascii: "a") <= letter, letter <= UInt8(ascii: "z") else { return .other }
            }
            return .sameInAnotherCase
        }
    }

    // MARK: Scalars

    func string(at index: Int) -> String {
        let node = nodes[index], text = bytes[Int(node.start)..<Int(node.end)]
        // The parser has checked both encodings.
        return node.isEscaped ? JSONParser.unescape(text) : String(decoding: text, as: UTF8.self)
    }

    /// A number's digits as the document has them.
    func text(at index: Int) -> String {
        String(decoding: bytes[Int(nodes[index].start)..<Int(nodes[index].end)], as: UTF8.self)
    }

    func integer<Value: FixedWidthInteger>(_ type: Value.Type, at index: Int) throws(JSONError) -> Value {
        Value(truncatingIfNeeded: try integer(from: Int64(Value.min), to: UInt64(Value.max), at: index))
    }

    /// The bits of an integer that is neither below `low` nor above `high`.
    func integer(from low: Int64, to high: UInt64, at index: Int) throws(JSONError) -> UInt64 {
        let node = nodes[index]
        guard node.kind == .number else { throw mismatch("an integer", at: index) }
        var position = Int(node.start)
        let negative = bytes[position] == UInt8(ascii: "-")
        if negative { position += 1 }
        var magnitude: UInt64 = 0, overflow = false
        while position < Int(node.end) {
            let digit = bytes[position] &- UInt8(ascii: "0")
            // A fraction or an exponent, even of a whole number: Go refuses it as well.
            guard digit <= 9 else { throw error("expected an integer, found \(text(at: index))", at: index) }
            let (times, overflow1) = magnitude.multipliedReportingOverflow(by: 10)
            let (sum, overflow2) = times.addingReportingOverflow(UInt64(digit))
            magnitude = sum
            overflow = overflow || overflow1 || overflow2
            position += 1
        }
        if !overflow {
            if !negative, magnitude <= high { return magnitude }
            if negative, magnitude <= low.magnitude { return 0 &- magnitude }
        }
        throw error("\(JSONError.quoted(text(at: index)).dropFirst().dropLast()) is not between \(low) and \(high)", at: index)
    }

    func double(at index: Int) throws(JSONError) -> Double {
        guard nodes[index].kind == .number, let value = Double(text(at: index)) else { throw mismatch("a number", at: index) }
        guard value.isFinite else { throw error("number is too large", at: index) }
        return value
    }

    func bool(at index: Int) throws(JSONError) -> Bool {
        switch nodes[index].kind {
        case .true: return true
        case .false: return false
        default: throw mismatch("true or false", at: index)
        }
    }

    func checkedString(at index: Int) throws(JSONError) -> String {
        guard nodes[index].kind == .string else { throw mismatch("a string", at: index) }
        return string(at: index)
    }

    // MARK: Messages

    func mismatch(_ expected: String, at index: Int) -> JSONError {
        let found =
            switch nodes[index].kind {
            case .null: "null"
            case .true: "true"
            case .false: "false"
            case .number: "a number"
            case .string: "a string"
            case .array: "an array"
            case .object: "an object"
            }
        return error("expected \(expected), found \(found)", at: index)
    }

    func error(_ problem: String, at index: Int) -> JSONError { JSONError(path: path(of: index), problem: problem) }

    /// Where a value stands, from the root: "linux.namespaces[2].type".
    func path(of target: Int) -> String {
        steps(to: target).reduce(into: "") { path, step in
            switch step {
            case .member(let name): path += JSONError.step(name, after: path)
            case .element(let position): path += "[\(position)]"
            }
        }
    }

    enum Step {
        case member(String)
        case element(Int)
    }

    /// Walks down from the root, each time into the child that holds the target.
    func steps(to target: Int) -> [Step] {
        var steps: [Step] = [], current = 0
        while current != target {
            var child = current + 1, position = 0
            let isObject = nodes[current].kind == .object
            while true {
                let value = isObject ? child + 1 : child
                if target < Int(nodes[value].next) {
                    steps.append(isObject ? .member(string(at: child)) : .element(position))
                    current = value
                    break
                }
                child = Int(nodes[value].next)
                position += 1
            }
        }
        return steps
    }
}
