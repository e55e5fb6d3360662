import DockerAPI
import Glibc
import NIOCore

/// Turns whole lines of a json-file log into what a client without wishes gets: the text, in Docker's frames or bare. A scan and a copy per line, without
/// an allocation: this is what `docker logs` of a large log spends its time in.
///
/// Only lines of the shape that the shim writes; `JSONLogLine` takes the others, and requests for times or attributes.
struct JSONLogConverter {
    var stdout: Bool
    var stderr: Bool
    var framed: Bool

    private static let head: StaticString = "{\"log\":\""
    private static let outStream: StaticString = ",\"stream\":\"stdout\",\"time\":\""
    private static let errStream: StaticString = ",\"stream\":\"stderr\",\"time\":\""

    /// Appends what the line says; the output is never longer than the line, whose JSON around the text is longer than a frame's header.
    /// - Parameters:
    ///   - line: without its line feed.
    ///   - output: has room for `line.count` bytes and 16 more, into which blocks may be copied beyond the result.
    /// - Returns: the bytes written; nil for a line of another shape.
    func convert(_ line: UnsafeRawBufferPointer, to output: UnsafeMutableRawPointer) -> Int? {
        guard let start = line.baseAddress, Self.has(Self.head, at: start, end: start + line.count) else { return nil }
        let end = start + line.count
        var read = start + Self.head.utf8CodeUnitCount
        let text = output + (framed ? StreamFrame.headerLength : 0)
        var write = text
        while true {
            // Sixteen bytes at a time while nothing in them ends or escapes.
            while end - read >= 16 {
                let first = read.loadUnaligned(as: UInt64.self), second = read.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
                guard Self.special(first) | Self.special(second) == 0 else { break }
                write.storeBytes(of: first, as: UInt64.self)
                write.storeBytes(of: second, toByteOffset: 8, as: UInt64.self)
                read += 16
                write += 16
            }
            guard read < end else { return nil }
            let byte = read.load(as: UInt8.self)
            read += 1
            if byte == UInt8(ascii: "\"") { break }
            if byte != UInt8(ascii: "\\") {
                write.storeBytes(of: byte, as: UInt8.self)
                write += 1
                continue
            }
            guard Self.unescape(&read, end, &write) else { return nil }
        }
        let isStderr: Bool
        if Self.has(Self.outStream, at: read, end: end) { isStderr = false }
        else if Self.has(Self.errStream, at: read, end: end) { isStderr = true }
        else { return nil }
        // What follows is the time, its quote and the brace; a line that was cut off has no such end.
        guard end - read > Self.outStream.utf8CodeUnitCount + 2, (end - 2).load(as: UInt8.self) == UInt8(ascii: "\""), (end - 1).load(as: UInt8.self) == UInt8(ascii: "}")
        else { return nil }
        guard isStderr ? stderr : stdout else { return 0 }
        if framed {
            output.storeBytes(of: UInt32(isStderr ? 2 : 1).littleEndian, as: UInt32.self)
            output.storeBytes(of: UInt32(write - text).bigEndian, toByteOffset: 4, as: UInt32.self)
        }
        return write - output
    }

    private static func has(_ text: StaticString, at position: UnsafeRawPointer, end: UnsafeRawPointer) -> Bool {
        end - position >= text.utf8CodeUnitCount && memcmp(position, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    /// Not zero when one of eight bytes is a quote or a backslash.
    @inline(__always)
    private static func special(_ word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101, highs: UInt64 = 0x8080_8080_8080_8080
        let quote = word ^ (ones &* 0x22), backslash = word ^ (ones &* 0x5c)
        return ((quote &- ones) & ~quote | (backslash &- ones) & ~backslash) & highs
    }

    /// One escape, after its backslash.
    private static func unescape(_ read: inout UnsafeRawPointer, _ end: UnsafeRawPointer, _ write: inout UnsafeMutableRawPointer) -> Bool {
        guard read < end else { return false }
        let byte = read.load(as: UInt8.self)
        read += 1
        let plain: UInt8
        switch byte {
        case UInt8(ascii: "n"): plain = 0x0a
        case UInt8(ascii: "t"): plain = 0x09
        case UInt8(ascii: "r"): plain = 0x0d
        case UInt8(ascii: "b"): plain = 0x08
        case UInt8(ascii: "f"): plain = 0x0c
        case UInt8(ascii: "u"):
            guard var value = hex(read, end) else { return false }
            read += 4
            // A pair of surrogates is one character.
            if (0xd800..<0xdc00).contains(value), end - read >= 6, read.load(as: UInt8.self) == UInt8(ascii: "\\"),
                read.load(fromByteOffset: 1, as: UInt8.self) == UInt8(ascii: "u"), let low = hex(read + 2, end), (0xdc00..<0xe000).contains(low)
            {
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
                read += 6
            }
            for unit in UTF8.encode(Unicode.Scalar(value) ?? "\u{fffd}") ?? UTF8.encodedReplacementCharacter {
                write.storeBytes(of: unit, as: UInt8.self)
                write += 1
            }
            return true
        default: plain = byte
        }
        write.storeBytes(of: plain, as: UInt8.self)
        write += 1
        return true
    }

    private static func hex(_ position: UnsafeRawPointer, _ end: UnsafeRawPointer) -> UInt32? {
        guard end - position >= 4 else { return nil }
        var value: UInt32 = 0
        for offset in 0..<4 {
            let byte = position.load(fromByteOffset: offset, as: UInt8.self)
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt32(byte - 0x30)
            case 0x41...0x46: value = value << 4 | UInt32(byte - 0x37)
            case 0x61...0x66: value = value << 4 | UInt32(byte - 0x57)
            default: return nil
            }
        }
        return value
    }
}
