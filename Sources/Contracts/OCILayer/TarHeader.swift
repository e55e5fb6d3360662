/// The 512-byte block in front of every member, and the number formats in it.
///
/// Format: POSIX.1-1988 ustar, with GNU's base-256 numbers and sparse maps. Offsets below are those of `struct posix_header` in tar(5).
struct TarHeader {
    static let blockSize = 512

    /// Fields as (offset, length).
    enum Field {
        static let name = (0, 100)
        static let mode = (100, 8)
        static let uid = (108, 8)
        static let gid = (116, 8)
        static let size = (124, 12)
        static let mtime = (136, 12)
        static let checksum = (148, 8)
        static let linkName = (157, 100)
        static let magic = (257, 8)
        static let deviceMajor = (329, 8)
        static let deviceMinor = (337, 8)
        static let prefix = (345, 155)
    }

    /// Borrowed from the reader's buffer; valid until the reader moves on.
    let block: UnsafeRawBufferPointer

    var typeFlag: UInt8 { block[156] }

    var isZero: Bool {
        let words = block.bindMemory(to: UInt64.self)
        return words.allSatisfy { $0 == 0 }
    }

    /// `ustar\0` + `00`. GNU's old magic is `ustar  \0`: there the prefix field holds other things.
    var isUstar: Bool { block[257..<263].elementsEqual("ustar\0".utf8) }
    var isGNU: Bool { block[257..<265].elementsEqual("ustar  \0".utf8) }

    /// The sum over the block with the checksum field as blanks. Some old writers summed signed bytes, so both count.
    var hasValidChecksum: Bool {
        var unsigned = 0
        var signed = 0
        for (index, byte) in block.enumerated() {
            let value = (148..<156).contains(index) ? UInt8(ascii: " ") : byte
            unsigned += Int(value)
            signed += Int(Int8(bitPattern: value))
        }
        guard let stored = number(Field.checksum) else { return false }
        return stored == Int64(unsigned) || stored == Int64(signed)
    }

    /// The bytes of a text field up to its first NUL.
    func text(_ field: (Int, Int)) -> [UInt8] {
        let bytes = block[field.0..<(field.0 + field.1)]
        return Array(bytes.prefix { $0 != 0 })
    }

    /// An octal number (blanks and NULs around it) or, with the top bit of the first byte set, a big-endian two's complement number.
    /// `nil` when it is neither or does not fit 64 bits; an empty field is 0.
    func number(_ field: (Int, Int)) -> Int64? {
        Self.number(UnsafeRawBufferPointer(rebasing: block[field.0..<(field.0 + field.1)]))
    }

    static func number(_ bytes: UnsafeRawBufferPointer) -> Int64? {
        guard let first = bytes.first else { return 0 }
        if first & 0x80 != 0 {
            let isNegative = first & 0x40 != 0
            var value: Int64 = isNegative ? -1 : 0
            for (index, byte) in bytes.enumerated() {
                var byte = byte
                if index == 0 { byte = isNegative ? byte | 0x80 : byte & 0x7f }
                let (shifted, overflow) = value.multipliedReportingOverflow(by: 256)
                if overflow { return nil }
                value = shifted | Int64(byte)
            }
            return value
        }
        var value: Int64 = 0
        var index = 0
        while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0 { index += 1 }
        while index < bytes.count, bytes[index] != 0x20, bytes[index] != 0 {
            guard (0x30...0x37).contains(bytes[index]) else { return nil }
            let (shifted, overflow) = value.multipliedReportingOverflow(by: 8)
            if overflow { return nil }
            value = shifted + Int64(bytes[index] - 0x30)
            index += 1
        }
        return value
    }
}
