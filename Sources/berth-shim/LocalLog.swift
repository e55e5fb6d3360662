import Glibc
import LinuxSystem

/// The format of Docker's local driver: each entry is its size as a big-endian number of 32 bits, a protobuf message, and the size again.
///
///     LogEntry { source = 1; time_nano = 2; line = 3; partial = 4; partial_log_metadata = 5 { last = 1; id = 2; ordinal = 3 }; attrs = 6 { key = 1; value = 2 } }
///
/// Written by hand, since it is done once per line into a buffer that is there already.
final class LocalEncoder: LogEncoder {
    private let attributes: [UInt8]
    private var nanoseconds: Int64 = 0
    private var stdout = Partial()
    private var stderr = Partial()

    /// The line whose parts are being logged.
    private struct Partial {
        var id: [UInt8] = []
        var ordinal = 0
        var time: Int64 = 0
    }

    init(attributes: [(key: String, value: String)]) {
        var encoded: [UInt8] = []
        for pair in attributes {
            let key = Array(pair.key.utf8), value = Array(pair.value.utf8)
            var inner: [UInt8] = [0x0a] + Self.varint(UInt64(key.count)) + key
            inner += [0x12] + Self.varint(UInt64(value.count)) + value
            encoded += [0x32] + Self.varint(UInt64(inner.count)) + inner
        }
        self.attributes = encoded
    }

    func begin(_ time: (seconds: Int, nanoseconds: Int)) {
        // Wraps as Go's does: a clock beyond the year 2262 must not end the shim.
        nanoseconds = Int64(time.seconds) &* 1_000_000_000 &+ Int64(time.nanoseconds)
    }

    func capacity(for count: Int) -> Int { count + attributes.count + 160 }

    func encode(
        _ message: UnsafePointer<UInt8>, count: Int, from stream: OutputStream, part: LinePart, to target: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        switch stream {
        case .stdout: encode(message, count, "stdout", part, &stdout, to: target)
        case .stderr: encode(message, count, "stderr", part, &stderr, to: target)
        }
    }

    private func encode(
        _ message: UnsafePointer<UInt8>, _ count: Int, _ source: StaticString, _ part: LinePart, _ partial: inout Partial,
        to target: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        if part == .partial && partial.id.isEmpty { partial = Partial(id: Self.randomID(), ordinal: 0, time: nanoseconds) }
        // Room for the size, which is known at the end.
        let body = target + 4
        var write = body
        write.pointee = 0x0a
        write = Self.put(UInt64(source.utf8CodeUnitCount), at: write + 1)
        write.update(from: source.utf8Start, count: source.utf8CodeUnitCount)
        write += source.utf8CodeUnitCount
        write.pointee = 0x10
        write = Self.put(UInt64(bitPattern: part == .whole ? nanoseconds : partial.time), at: write + 1)
        if count > 0 {
            write.pointee = 0x1a
            write = Self.put(UInt64(count), at: write + 1)
            write.update(from: message, count: count)
            write += count
        }
        if part != .whole {
            partial.ordinal += 1
            var metadata: [UInt8] = part == .last ? [0x08, 1] : []
            metadata += [0x12] + Self.varint(UInt64(partial.id.count)) + partial.id + [0x18] + Self.varint(UInt64(partial.ordinal))
            write[0] = 0x20
            write[1] = 1
            write[2] = 0x2a
            write = Self.put(UInt64(metadata.count), at: write + 3)
            write.update(from: metadata, count: metadata.count)
            write += metadata.count
            if part == .last { partial = Partial() }
        }
        if !attributes.isEmpty {
            write.update(from: attributes, count: attributes.count)
            write += attributes.count
        }
        let size = UInt32(write - body).bigEndian
        UnsafeMutableRawPointer(target).storeBytes(of: size, as: UInt32.self)
        UnsafeMutableRawPointer(write).storeBytes(of: size, as: UInt32.self)
        return write + 4
    }

    private static func put(_ number: UInt64, at target: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
        var number = number, write = target
        while number >= 0x80 {
            write.pointee = UInt8(truncatingIfNeeded: number) | 0x80
            number >>= 7
            write += 1
        }
        write.pointee = UInt8(number)
        return write + 1
    }

    private static func varint(_ number: UInt64) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 10) { buffer, count in count = put(number, at: buffer.baseAddress!) - buffer.baseAddress! }
    }

    /// 32 random bytes as hexadecimal text, as Docker names a split line.
    private static func randomID() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<64).map { _ in Array("0123456789abcdef".utf8)[Int(generator.next() & 15)] }
    }
}
