/// Writes values as D-Bus marshals them, little endian.
///
/// Spec: D-Bus Specification, "Marshaling (Wire Format)". Alignment counts from the first byte, so an encoder begins where a message or a body does.
struct BusEncoder {
    private(set) var bytes: [UInt8] = []

    mutating func align(_ boundary: Int) {
        while bytes.count % boundary != 0 { bytes.append(0) }
    }

    mutating func append<Number: FixedWidthInteger>(_ number: Number) {
        align(MemoryLayout<Number>.size)
        withUnsafeBytes(of: number.littleEndian) { bytes.append(contentsOf: $0) }
    }

    mutating func append(text: String) {
        append(UInt32(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
        bytes.append(0)
    }

    mutating func append(signature: String) {
        bytes.append(UInt8(truncatingIfNeeded: signature.utf8.count))
        bytes.append(contentsOf: signature.utf8)
        bytes.append(0)
    }

    mutating func append(_ value: BusValue) {
        switch value {
        case .byte(let number): append(number)
        case .boolean(let flag): append(UInt32(flag ? 1 : 0))
        case .int16(let number): append(number)
        case .uint16(let number): append(number)
        case .int32(let number): append(number)
        case .uint32(let number), .descriptor(let number): append(number)
        case .int64(let number): append(number)
        case .uint64(let number), .double(let number): append(number)
        case .string(let text), .objectPath(let text): append(text: text)
        case .signature(let text): append(signature: text)
        case .array(let element, let items): append(items, element: element)
        case .structure(let fields):
            align(8)
            for field in fields { append(field) }
        case .variant(let inner):
            append(signature: inner.signature)
            append(inner)
        }
    }

    /// The length of an array counts neither itself nor the gap before the first element.
    private mutating func append(_ items: [BusValue], element: String) {
        append(UInt32(0))
        let place = bytes.count - 4
        align(BusType.alignment(element.utf8.first ?? UInt8(ascii: "y")))
        let start = bytes.count
        for item in items { append(item) }
        let length = UInt32(bytes.count - start)
        for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(index))) }
    }

    /// Bytes that are marshalled already.
    mutating func append(raw: [UInt8]) { bytes.append(contentsOf: raw) }
}

/// What a signature says about the bytes.
enum BusType {
    static func alignment(_ code: UInt8) -> Int {
        switch code {
        case UInt8(ascii: "y"), UInt8(ascii: "g"), UInt8(ascii: "v"): 1
        case UInt8(ascii: "n"), UInt8(ascii: "q"): 2
        case UInt8(ascii: "x"), UInt8(ascii: "t"), UInt8(ascii: "d"), UInt8(ascii: "("), UInt8(ascii: "{"): 8
        default: 4
        }
    }
}
