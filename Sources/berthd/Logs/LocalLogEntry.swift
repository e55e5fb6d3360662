import NIOCore

/// One entry of Docker's local driver: its size as a big-endian number of 32 bits, a protobuf message `LogEntry { source = 1, time_nano = 2, line = 3, partial = 4,
/// partial_log_metadata = 5 { last = 1, … }, attrs = 6 { key = 1, value = 2 } }`, and the size again, so that the file can be read from its end.
///
/// Views of the reader's buffer; unknown fields are skipped.
struct LocalLogEntry {
    private(set) var isStderr = false
    /// Since 1970.
    private(set) var nanoseconds: Int64 = 0
    private(set) var line = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Whether the line ends with this entry.
    private(set) var isComplete = true
    private(set) var attributes: [(key: String, value: String)] = []

    /// Larger than what the shim writes by far; more is no entry of ours.
    static let largest = 4 << 20

    /// Bytes of the entry at the start of `bytes`, both sizes included; nil while it is not there whole.
    static func length(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= 4 else { return nil }
        let size = Int(UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self)))
        guard size <= largest, bytes.count >= size + 8 else { return nil }
        return size + 8
    }

    /// nil for a message of another shape.
    init?(_ message: UnsafeRawBufferPointer) {
        var fields = Fields(message)
        while let field = fields.next() {
            switch (field.number, field.value) {
            case (1, .bytes(let source)): isStderr = source.elementsEqual("stderr".utf8)
            case (2, .number(let value)): nanoseconds = Int64(bitPattern: value)
            case (3, .bytes(let text)): line = text
            case (4, .number(let value)): if value != 0 { isComplete = false }
            case (5, .bytes(let metadata)):
                var inner = Fields(metadata)
                while let field = inner.next() { if case (1, .number(1)) = (field.number, field.value) { isComplete = true } }
            case (6, .bytes(let pair)):
                var inner = Fields(pair), key = "", value = ""
                while let field = inner.next() {
                    guard case .bytes(let text) = field.value else { continue }
                    if field.number == 1 { key = String(decoding: text, as: UTF8.self) } else { value = String(decoding: text, as: UTF8.self) }
                }
                attributes.append((key, value))
            default: break
            }
        }
        guard fields.isWhole else { return nil }
    }

    /// The fields of a protobuf message. Encoding: protobuf.dev, "Message Structure".
    private struct Fields {
        enum Value { case number(UInt64), bytes(UnsafeRawBufferPointer) }

        private let bytes: UnsafeRawBufferPointer
        private var index = 0
        private(set) var isWhole = true

        init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

        mutating func next() -> (number: UInt64, value: Value)? {
            guard index < bytes.count else { return nil }
            guard let tag = varint() else { return broken() }
            switch tag & 7 {
            case 0:
                guard let value = varint() else { return broken() }
                return (tag >> 3, .number(value))
            case 2:
                guard let count = varint(), count <= UInt64(bytes.count - index) else { return broken() }
                defer { index += Int(count) }
                return (tag >> 3, .bytes(UnsafeRawBufferPointer(rebasing: bytes[index..<index + Int(count)])))
            default: return broken()
            }
        }

        private mutating func broken() -> (number: UInt64, value: Value)? {
            isWhole = false
            index = bytes.count
            return nil
        }

        private mutating func varint() -> UInt64? {
            var value: UInt64 = 0, shift: UInt64 = 0
            while index < bytes.count, shift < 64 {
                let byte = bytes[index]
                index += 1
                value |= UInt64(byte & 0x7F) << shift
                if byte & 0x80 == 0 { return value }
                shift += 7
            }
            return nil
        }
    }
}
