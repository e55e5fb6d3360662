/// Reads what D-Bus marshals. Whatever the bytes are, it ends with a value or an error: lengths are checked against what is there, nesting against a limit.
struct BusDecoder {
    private let bytes: [UInt8]
    private(set) var position: Int
    private let isBigEndian: Bool
    /// The specification allows 32 arrays and 32 structures within each other.
    private static let deepest = 64

    init(_ bytes: [UInt8], from position: Int = 0, isBigEndian: Bool = false) {
        self.bytes = bytes
        self.position = position
        self.isBigEndian = isBigEndian
    }

    var isAtEnd: Bool { position >= bytes.count }

    /// One value for each complete type of `signature`.
    mutating func values(_ signature: String) throws(BusError) -> [BusValue] {
        var rest = Array(signature.utf8)[...]
        var values: [BusValue] = []
        while !rest.isEmpty { values.append(try value(&rest, depth: 0)) }
        return values
    }

    mutating func align(_ boundary: Int) throws(BusError) {
        let target = (position + boundary - 1) / boundary * boundary
        guard target <= bytes.count else { throw .malformed("the message ends early") }
        position = target
    }

    mutating func number<Number: FixedWidthInteger>(_ type: Number.Type) throws(BusError) -> Number {
        let size = MemoryLayout<Number>.size
        try align(size)
        guard bytes.count - position >= size else { throw .malformed("the message ends early") }
        var result: Number = 0
        for index in 0..<size {
            let byte = bytes[position + (isBigEndian ? index : size - 1 - index)]
            result = (size == 1 ? 0 : result << 8) | Number(truncatingIfNeeded: byte)
        }
        position += size
        return result
    }

    private mutating func text(length: Int) throws(BusError) -> String {
        // A zero follows, which does not count.
        guard length >= 0, length < bytes.count - position, bytes[position + length] == 0 else { throw .malformed("a text runs beyond the message") }
        let part = bytes[position..<position + length]
        guard !part.contains(0) else { throw .malformed("a text with a NUL") }
        position += length + 1
        return String(decoding: part, as: UTF8.self)
    }

    mutating func string() throws(BusError) -> String { try text(length: Int(try number(UInt32.self))) }

    mutating func signature() throws(BusError) -> String { try text(length: Int(try number(UInt8.self))) }

    private mutating func value(_ signature: inout ArraySlice<UInt8>, depth: Int) throws(BusError) -> BusValue {
        guard depth < Self.deepest else { throw .malformed("values are nested too deeply") }
        guard let code = signature.popFirst() else { throw .malformed("a signature ends early") }
        switch code {
        case UInt8(ascii: "y"): return .byte(try number(UInt8.self))
        case UInt8(ascii: "b"):
            let flag = try number(UInt32.self)
            guard flag < 2 else { throw .malformed("a boolean that is neither 0 nor 1") }
            return .boolean(flag == 1)
        case UInt8(ascii: "n"): return .int16(try number(Int16.self))
        case UInt8(ascii: "q"): return .uint16(try number(UInt16.self))
        case UInt8(ascii: "i"): return .int32(try number(Int32.self))
        case UInt8(ascii: "u"): return .uint32(try number(UInt32.self))
        case UInt8(ascii: "h"): return .descriptor(try number(UInt32.self))
        case UInt8(ascii: "x"): return .int64(try number(Int64.self))
        case UInt8(ascii: "t"): return .uint64(try number(UInt64.self))
        case UInt8(ascii: "d"): return .double(try number(UInt64.self))
        case UInt8(ascii: "s"): return .string(try string())
        case UInt8(ascii: "o"): return .objectPath(try string())
        case UInt8(ascii: "g"): return .signature(try self.signature())
        case UInt8(ascii: "a"): return try array(&signature, depth: depth)
        case UInt8(ascii: "("), UInt8(ascii: "{"):
            return .structure(try fields(&signature, until: code == UInt8(ascii: "(") ? UInt8(ascii: ")") : UInt8(ascii: "}"), depth: depth))
        case UInt8(ascii: "v"):
            var inner = Array(try self.signature().utf8)[...]
            let value = try value(&inner, depth: depth + 1)
            guard inner.isEmpty else { throw .malformed("a variant with more than one type") }
            return .variant(value)
        default: throw .malformed("an unknown type in a signature")
        }
    }

    private mutating func fields(_ signature: inout ArraySlice<UInt8>, until end: UInt8, depth: Int) throws(BusError) -> [BusValue] {
        try align(8)
        var fields: [BusValue] = []
        while let next = signature.first, next != end { fields.append(try value(&signature, depth: depth + 1)) }
        guard signature.popFirst() == end, !fields.isEmpty else { throw .malformed("a structure without an end") }
        return fields
    }

    private mutating func array(_ signature: inout ArraySlice<UInt8>, depth: Int) throws(BusError) -> BusValue {
        let element = try Self.firstType(of: signature)
        signature = signature.dropFirst(element.count)
        let length = Int(try number(UInt32.self))
        guard let code = element.first else { throw .malformed("an array without a type") }
        try align(BusType.alignment(code))
        guard length <= bytes.count - position else { throw .malformed("an array runs beyond the message") }
        let end = position + length
        var items: [BusValue] = []
        while position < end {
            var type = element
            items.append(try value(&type, depth: depth + 1))
        }
        guard position == end else { throw .malformed("an array whose length is not that of its elements") }
        return .array(of: String(decoding: element, as: UTF8.self), items)
    }

    /// The first complete type of a signature: "(su)" of "(su)as".
    static func firstType(of signature: ArraySlice<UInt8>) throws(BusError) -> ArraySlice<UInt8> {
        var open = 0
        for (index, code) in zip(signature.indices, signature) {
            switch code {
            case UInt8(ascii: "("), UInt8(ascii: "{"): open += 1
            case UInt8(ascii: ")"), UInt8(ascii: "}"): open -= 1
            default: break
            }
            if open < 0 { break }
            if open == 0, code != UInt8(ascii: "a") { return signature[...index] }
        }
        throw .malformed("a signature ends early")
    }
}
