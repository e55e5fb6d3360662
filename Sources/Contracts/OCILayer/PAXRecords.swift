/// The records of a PAX extended header: `LENGTH KEY=VALUE\n`, and what they say about the member that follows.
///
/// Format: POSIX.1-2001 pax, "pax Extended Header". Extended attributes come as `SCHILY.xattr.NAME` (star, GNU tar, Go, the image
/// specification) with the raw value, or as `LIBARCHIVE.xattr.NAME` (percent-encoded) with the value in base 64.
struct PAXRecords {
    var path: [UInt8]?
    var linkPath: [UInt8]?
    var size: Int64?
    var uid: Int64?
    var gid: Int64?
    var modified: TarTime?
    var xattrs: [ExtendedAttribute] = []
    var sparse = PAXSparse()

    var isEmpty = true

    /// Takes the records of one extended header in; a later record wins over an earlier one, an empty value takes a key back.
    mutating func parse(_ bytes: UnsafeRawBufferPointer) throws {
        var position = 0
        while position < bytes.count {
            var length = 0
            var cursor = position
            while cursor < bytes.count, (0x30...0x39).contains(bytes[cursor]), cursor - position < 9 {
                length = length * 10 + Int(bytes[cursor] - 0x30)
                cursor += 1
            }
            guard cursor > position, cursor < bytes.count, bytes[cursor] == 0x20, position + length <= bytes.count, length > cursor - position + 2,
                bytes[position + length - 1] == 0x0a
            else { throw TarError(.malformed, "invalid record length in a PAX header") }
            let record = UnsafeRawBufferPointer(rebasing: bytes[(cursor + 1)..<(position + length - 1)])
            guard let equals = record.firstIndex(of: UInt8(ascii: "=")), equals > 0 else {
                throw TarError(.malformed, "PAX record without a key")
            }
            try take(
                key: UnsafeRawBufferPointer(rebasing: record[..<equals]), value: UnsafeRawBufferPointer(rebasing: record[(equals + 1)...]))
            position += length
        }
        isEmpty = false
    }

    private mutating func take(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) throws {
        if key.starts(with: "SCHILY.xattr.".utf8) {
            try setXattr(Array(key.dropFirst(13)), Array(value))
            return
        }
        let name = String(decoding: key, as: UTF8.self)
        switch name {
        case "path": path = try Self.name(value)
        case "linkpath": linkPath = try Self.name(value)
        case "size": size = try Self.integer(value, name)
        case "uid": uid = try Self.integer(value, name)
        case "gid": gid = try Self.integer(value, name)
        case "mtime": modified = value.isEmpty ? nil : try Self.time(value)
        case "SCHILY.acl.access": try setACL("system.posix_acl_access", value)
        case "SCHILY.acl.default": try setACL("system.posix_acl_default", value)
        case _ where name.hasPrefix("LIBARCHIVE.xattr."):
            guard let decodedName = Self.percentDecoded(key.dropFirst(17)), let decoded = Self.base64Decoded(value) else {
                throw TarError(.malformed, "PAX record \(name) is not percent-encoded base 64")
            }
            try setXattr(decodedName, decoded)
        case _ where name.hasPrefix("GNU.sparse."): try sparse.take(name.dropFirst(11), value)
        default: break  // atime, ctime, uname, gname, comment, hdrcharset, vendors' own: nothing that a layer keeps
        }
    }

    private mutating func setXattr(_ name: [UInt8], _ value: [UInt8]) throws {
        guard !name.isEmpty, name.count <= 255, !name.contains(0) else { throw TarError(.malformed, "invalid name of an extended attribute") }
        // Linux' own bound on one value (XATTR_SIZE_MAX).
        guard value.count <= 65536 else { throw TarError(.limitExceeded, "extended attribute of \(value.count) bytes") }
        if let index = xattrs.firstIndex(where: { $0.name == name }) {
            xattrs[index].value = value
        } else {
            guard xattrs.count < 256 else { throw TarError(.limitExceeded, "more than 256 extended attributes on one member") }
            xattrs.append(ExtendedAttribute(name: name, value: value))
        }
    }

    private mutating func setACL(_ attribute: String, _ text: UnsafeRawBufferPointer) throws {
        guard !text.isEmpty, !xattrs.contains(where: { $0.name.elementsEqual(attribute.utf8) }) else { return }
        guard let value = PosixACL.attributeValue(ofText: String(decoding: text, as: UTF8.self)) else {
            throw TarError(.malformed, "access control list in a PAX header")
        }
        try setXattr(Array(attribute.utf8), value)
    }

    // MARK: Values

    private static func name(_ value: UnsafeRawBufferPointer) throws -> [UInt8]? {
        if value.isEmpty { return nil }
        guard !value.contains(0) else { throw TarError(.malformed, "NUL in a name of a PAX header") }
        return Array(value)
    }

    static func integer(_ value: UnsafeRawBufferPointer, _ key: String) throws -> Int64? {
        if value.isEmpty { return nil }
        guard let number = Int64(String(decoding: value, as: UTF8.self)) else {
            throw TarError(.malformed, "PAX record \(key) is not a number")
        }
        return number
    }

    /// `[-]SECONDS[.FRACTION]`; digits beyond nanoseconds are cut off.
    static func time(_ value: UnsafeRawBufferPointer) throws -> TarTime {
        let parts = value.split(separator: UInt8(ascii: "."), maxSplits: 1, omittingEmptySubsequences: false)
        let isNegative = value.first == UInt8(ascii: "-")
        guard let seconds = Int64(String(decoding: parts[0], as: UTF8.self)) else { throw TarError(.malformed, "time in a PAX header") }
        var nanoseconds: Int32 = 0
        if parts.count == 2 {
            var scale: Int32 = 100_000_000
            for digit in parts[1] {
                guard (0x30...0x39).contains(digit) else { throw TarError(.malformed, "time in a PAX header") }
                nanoseconds += Int32(digit - 0x30) * scale
                scale /= 10
            }
        }
        if isNegative, nanoseconds > 0 {
            guard seconds > Int64.min else { throw TarError(.malformed, "time in a PAX header") }
            return TarTime(seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds)
        }
        return TarTime(seconds: seconds, nanoseconds: nanoseconds)
    }

    static func percentDecoded(_ bytes: some Sequence<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        var iterator = bytes.makeIterator()
        while let byte = iterator.next() {
            if byte != UInt8(ascii: "%") {
                result.append(byte)
                continue
            }
            guard let high = iterator.next().flatMap(hexDigit), let low = iterator.next().flatMap(hexDigit) else { return nil }
            result.append(high << 4 | low)
        }
        return result
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }

    static func base64Decoded(_ bytes: some Sequence<UInt8>) -> [UInt8]? {
        var result: [UInt8] = []
        var accumulator: UInt32 = 0
        var bits = 0
        for byte in bytes {
            let value: UInt8
            switch byte {
            case 0x41...0x5a: value = byte - 0x41
            case 0x61...0x7a: value = byte - 0x61 + 26
            case 0x30...0x39: value = byte - 0x30 + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            case UInt8(ascii: "="), 0x0a: continue
            default: return nil
            }
            accumulator = accumulator << 6 | UInt32(value)
            bits += 6
            if bits >= 8 {
                bits -= 8
                result.append(UInt8(truncatingIfNeeded: accumulator >> UInt32(bits)))
            }
        }
        return result
    }
}
