// The wire format of protocol buffers, as much of it as CRIU's messages need: numbers, flags, texts and nested messages.
//
// Fields carry CRIU's numbers (its rpc.proto) at the place that writes or reads them; there are too few for generated code.

/// A message being written.
struct ProtocolBufferWriter {
    private(set) var bytes: [UInt8] = []

    private mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    private mutating func tag(_ field: UInt64, _ kind: UInt64) { varint(field << 3 | kind) }

    /// Negative numbers take ten bytes, as int32 and int64 have it.
    mutating func add(_ field: UInt64, _ number: some BinaryInteger) {
        tag(field, 0)
        varint(UInt64(bitPattern: Int64(number)))
    }

    mutating func add(_ field: UInt64, _ flag: Bool) { add(field, flag ? 1 : 0) }

    /// False and absent are the same to CRIU.
    mutating func addIfSet(_ field: UInt64, _ flag: Bool) { if flag { add(field, true) } }

    mutating func add(_ field: UInt64, _ text: String) { add(field, Array(text.utf8)) }

    mutating func addIfSet(_ field: UInt64, _ text: String?) { if let text, !text.isEmpty { add(field, text) } }

    private mutating func add(_ field: UInt64, _ content: [UInt8]) {
        tag(field, 2)
        varint(UInt64(content.count))
        bytes += content
    }

    mutating func nest(_ field: UInt64, _ body: (inout ProtocolBufferWriter) -> Void) {
        var inner = ProtocolBufferWriter()
        body(&inner)
        add(field, inner.bytes)
    }
}

/// A message that was received: the last value of each field.
struct ProtocolBufferReader {
    private var numbers: [UInt64: UInt64] = [:]
    private var contents: [UInt64: ArraySlice<UInt8>] = [:]

    /// Nil for bytes that are no message.
    init?(_ bytes: ArraySlice<UInt8>) {
        var rest = bytes
        while !rest.isEmpty {
            guard let tag = Self.varint(&rest) else { return nil }
            switch tag & 7 {
            case 0:
                guard let value = Self.varint(&rest) else { return nil }
                numbers[tag >> 3] = value
            case 2:
                guard let length = Self.varint(&rest), length <= UInt64(rest.count) else { return nil }
                contents[tag >> 3] = rest.prefix(Int(length))
                rest = rest.dropFirst(Int(length))
            case 1 where rest.count >= 8: rest = rest.dropFirst(8)
            case 5 where rest.count >= 4: rest = rest.dropFirst(4)
            default: return nil
            }
        }
    }

    private static func varint(_ rest: inout ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { return nil }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        return nil
    }

    func number(_ field: UInt64) -> Int64? { numbers[field].map { Int64(bitPattern: $0) } }
    func flag(_ field: UInt64) -> Bool { numbers[field] ?? 0 != 0 }
    func text(_ field: UInt64) -> String? { contents[field].map { String(decoding: $0, as: UTF8.self) } }
    func message(_ field: UInt64) -> ProtocolBufferReader? { contents[field].flatMap { ProtocolBufferReader($0) } }
}
