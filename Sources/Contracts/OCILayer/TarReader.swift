/// Reads an archive member by member from a stream of bytes, in one pass and without keeping more of it than its buffer.
///
/// Understands v7, ustar, GNU (long names, sparse files, base-256 numbers) and PAX (global headers too). The archive is untrusted: each length is held
/// against `TarLimits` before memory is taken, and numbers that do not fit are refused rather than cut. Content is handed out as a view of the
/// buffer, so that a file goes from here to write(2) without a copy; that is why this file deals in raw buffers.
///
/// Not thread safe; `next`, then `nextChunk` until nil (or not at all: what is left is skipped).
package final class TarReader {
    private let source: any ByteSource
    private let limits: TarLimits
    private let buffer: UnsafeMutableRawBufferPointer
    private var start = 0
    private var end = 0
    private var sourceIsAtEnd = false

    /// Stored bytes of the current member that were not handed out, and the zeros that fill its last block.
    private var remaining: Int64 = 0
    private var padding = 0
    private var segments: [SparseSegment]?
    private var segmentIndex = 0
    /// Where in the file the next chunk belongs.
    private var position: Int64 = 0

    private var globals = PAXRecords()
    private var contentSum: Int64 = 0
    private var finished = false

    /// Members returned so far.
    package private(set) var entryCount = 0

    package init(_ source: any ByteSource, limits: TarLimits = TarLimits(), bufferSize: Int = 256 << 10) {
        precondition(bufferSize >= 4096 && bufferSize.isMultiple(of: 512))
        self.source = source
        self.limits = limits
        buffer = .allocate(byteCount: bufferSize, alignment: 4096)
    }

    deinit { buffer.deallocate() }

    // MARK: Members

    /// The next member, or nil after the end marker (or, as GNU tar does, where the stream ends between two members).
    package func next() throws -> TarEntry? {
        guard !finished else { return nil }
        try skipContent()
        var pax = globals
        var longName: [UInt8]?
        var longLink: [UInt8]?
        while true {
            guard try fill(TarHeader.blockSize, orEnd: true) else {
                guard end == start else { throw TarError(.truncated, "unexpected end of the archive in a header") }
                finished = true
                return nil
            }
            let header = TarHeader(block: UnsafeRawBufferPointer(rebasing: buffer[start..<(start + TarHeader.blockSize)]))
            if header.isZero {
                start += TarHeader.blockSize
                finished = true
                return nil
            }
            guard header.hasValidChecksum else { throw TarError(.malformed, "invalid tar header") }
            guard let size = header.number(TarHeader.Field.size), size >= 0 else { throw TarError(.malformed, "size in a tar header") }
            switch header.typeFlag {
            case UInt8(ascii: "x"), UInt8(ascii: "X"):
                try readExtension(size) { try pax.parse($0) }
            case UInt8(ascii: "g"):
                try readExtension(size) { try globals.parse($0) }
                // A path or size for every member makes no sense, and Go ignores global records; only take what cannot confuse.
                globals.path = nil
                globals.linkPath = nil
                globals.size = nil
                globals.sparse = PAXSparse()
                globals.xattrs = []
                pax = globals
            case UInt8(ascii: "L"): longName = try readLongName(size)
            case UInt8(ascii: "K"): longLink = try readLongName(size)
            case UInt8(ascii: "V"):  // GNU volume label
                start += TarHeader.blockSize
                setContent(size)
                try skipContent()
            default:
                let entry = try member(header, size: size, pax: pax, longName: longName, longLink: longLink)
                entryCount += 1
                guard entryCount <= limits.entries else { throw TarError(.limitExceeded, "more than \(limits.entries) members") }
                return entry
            }
        }
    }

    private func member(_ header: TarHeader, size: Int64, pax: PAXRecords, longName: [UInt8]?, longLink: [UInt8]?) throws -> TarEntry {
        var path = longName ?? headerPath(header)
        if let name = pax.path { path = name }
        if let name = pax.sparse.name { path = name }
        let kind = try Self.kind(header.typeFlag, path: path)
        guard let mode = header.number(TarHeader.Field.mode), mode >= 0 else { throw Self.malformed("mode", path) }
        var entry = TarEntry(kind: kind, path: path, mode: UInt32(truncatingIfNeeded: mode) & 0o7777)
        entry.uid = try Self.identity(pax.uid ?? header.number(TarHeader.Field.uid), path)
        entry.gid = try Self.identity(pax.gid ?? header.number(TarHeader.Field.gid), path)
        if let time = pax.modified {
            entry.modified = time
        } else {
            guard let seconds = header.number(TarHeader.Field.mtime) else { throw Self.malformed("time", path) }
            entry.modified = TarTime(seconds: seconds)
        }
        entry.xattrs = pax.xattrs
        if kind == .hardLink || kind == .symbolicLink {
            entry.linkTarget = pax.linkPath ?? longLink ?? header.text(TarHeader.Field.linkName)
        }
        if kind == .characterDevice || kind == .blockDevice {
            guard let major = header.number(TarHeader.Field.deviceMajor), let minor = header.number(TarHeader.Field.deviceMinor),
                (0...0xfff).contains(major), (0...0xfffff).contains(minor)
            else { throw Self.malformed("device number", path) }
            entry.deviceMajor = UInt32(major)
            entry.deviceMinor = UInt32(minor)
        }
        let oldSparse = header.typeFlag == UInt8(ascii: "S") ? try oldSparseStart(header, path) : nil
        start += TarHeader.blockSize

        // Members without content carry a size in some archives (hard links of old tars) but no blocks.
        let stored = kind == .file ? pax.size ?? size : 0
        guard stored >= 0 else { throw Self.malformed("size", path) }
        contentSum += min(stored, limits.contentBytes)
        guard stored <= limits.contentBytes, contentSum <= limits.contentBytes else {
            throw TarError(.limitExceeded, "content of more than \(limits.contentBytes) bytes")
        }
        setContent(stored)
        entry.size = stored
        if kind == .file {
            if let oldSparse {
                try setSparse(try readOldSparse(oldSparse), size: oldSparse.realSize, entry: &entry)
            } else if pax.sparse.isPresent {
                let map = pax.sparse.mapIsInContent ? try readContentMap(path) : pax.sparse.segments
                guard let real = pax.sparse.realSize else { throw Self.malformed("sparse size", path) }
                try setSparse(map, size: real, entry: &entry)
            }
        }
        return entry
    }

    private func headerPath(_ header: TarHeader) -> [UInt8] {
        let name = header.text(TarHeader.Field.name)
        guard header.isUstar else { return name }
        let prefix = header.text(TarHeader.Field.prefix)
        return prefix.isEmpty ? name : prefix + [UInt8(ascii: "/")] + name
    }

    private static func kind(_ typeFlag: UInt8, path: [UInt8]) throws -> TarEntry.Kind {
        switch typeFlag {
        case 0, UInt8(ascii: "0"), UInt8(ascii: "7"): path.last == UInt8(ascii: "/") ? .directory : .file
        case UInt8(ascii: "S"): .file
        case UInt8(ascii: "1"): .hardLink
        case UInt8(ascii: "2"): .symbolicLink
        case UInt8(ascii: "3"): .characterDevice
        case UInt8(ascii: "4"): .blockDevice
        case UInt8(ascii: "5"): .directory
        case UInt8(ascii: "6"): .fifo
        default:
            throw TarError(.unsupported, "unknown type \(typeFlag) of member \(String(decoding: path.prefix(256), as: UTF8.self))")
        }
    }

    /// 2^32-1 means "leave it" to chown(2), so an archive must not be able to say it, nor numbers that would wrap to 0.
    private static func identity(_ value: Int64?, _ path: [UInt8]) throws -> UInt32 {
        guard let value, (0..<0xffff_ffff).contains(value) else { throw malformed("owner", path) }
        return UInt32(value)
    }

    static func malformed(_ what: String, _ path: [UInt8]) -> TarError {
        TarError(.malformed, "invalid \(what) of member \(String(decoding: path.prefix(256), as: UTF8.self))")
    }

    // MARK: Content

    /// A piece of the current member's content and where in the file it belongs; nil at its end. The bytes are valid until the next call of any
    /// method of this reader.
    package func nextChunk() throws -> (offset: Int64, bytes: UnsafeRawBufferPointer)? {
        guard remaining > 0 else {
            try skipPadding()
            return nil
        }
        if start == end { try refill() }
        var count = Int(min(Int64(end - start), remaining))
        var offset = position
        if let segments {
            while position >= segments[segmentIndex].end { advanceSegment(segments) }
            offset = position
            count = Int(min(Int64(count), segments[segmentIndex].end - position))
        }
        let bytes = UnsafeRawBufferPointer(rebasing: buffer[start..<(start + count)])
        start += count
        remaining -= Int64(count)
        position += Int64(count)
        return (offset, bytes)
    }

    /// The whole content of a small member.
    package func readContent(limit: Int) throws -> [UInt8] {
        var content: [UInt8] = []
        while let (offset, bytes) = try nextChunk() {
            guard offset + Int64(bytes.count) <= limit else { throw TarError(.limitExceeded, "member of more than \(limit) bytes") }
            while content.count < offset { content.append(0) }
            content.append(contentsOf: bytes)
        }
        return content
    }

    /// Reads what follows the end marker, so that whoever computes a digest over the stream has seen all of it.
    package func drain() throws {
        try skipContent()
        while !sourceIsAtEnd {
            start = 0
            end = 0
            try refill(orEnd: true)
        }
        start = end
        finished = true
    }

    private func setContent(_ size: Int64) {
        remaining = size
        padding = Int((512 - size % 512) % 512)
        segments = nil
        segmentIndex = 0
        position = 0
    }

    private func advanceSegment(_ segments: [SparseSegment]) {
        segmentIndex += 1
        position = segments[segmentIndex].offset
    }

    private func setSparse(_ map: [SparseSegment], size: Int64, entry: inout TarEntry) throws {
        guard size >= 0, size <= limits.fileBytes else { throw TarError(.limitExceeded, "sparse file of \(size) bytes") }
        try PAXSparse.validate(map, size: size, stored: remaining)
        let filled = map.filter { $0.length > 0 }
        segments = filled.isEmpty ? nil : filled
        segmentIndex = 0
        position = filled.first?.offset ?? 0
        entry.size = size
    }

    private func skipContent() throws {
        while remaining > 0 {
            if start == end { try refill() }
            let count = Int(min(Int64(end - start), remaining))
            start += count
            remaining -= Int64(count)
        }
        try skipPadding()
    }

    private func skipPadding() throws {
        while padding > 0 {
            // The last member's padding may be missing where a writer did not care.
            if start == end, try !refill(orEnd: true) { break }
            let count = min(end - start, padding)
            start += count
            padding -= count
        }
        padding = 0
    }

    // MARK: Extension members

    private func readExtension(_ size: Int64, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        let bytes = try readSpecial(size)
        try bytes.withUnsafeBytes(body)
    }

    private func readLongName(_ size: Int64) throws -> [UInt8] {
        let bytes = try readSpecial(size)
        return Array(bytes.prefix { $0 != 0 })
    }

    private func readSpecial(_ size: Int64) throws -> [UInt8] {
        guard size <= limits.extensionBytes else { throw TarError(.limitExceeded, "extension header of \(size) bytes") }
        start += TarHeader.blockSize
        setContent(size)
        let content = try readContent(limit: limits.extensionBytes)
        try skipPadding()
        return content
    }

    // MARK: Sparse maps

    private struct OldSparse {
        var segments: [SparseSegment]
        var isExtended: Bool
        var realSize: Int64
        var path: [UInt8]
    }

    private func oldSparseStart(_ header: TarHeader, _ path: [UInt8]) throws -> OldSparse {
        guard header.isGNU, let real = header.number((483, 12)), real >= 0 else { throw Self.malformed("sparse size", path) }
        var map = OldSparse(segments: [], isExtended: header.block[482] != 0, realSize: real, path: path)
        try Self.appendOldSegments(header.block, at: 386, count: 4, to: &map)
        return map
    }

    private func readOldSparse(_ first: OldSparse) throws -> [SparseSegment] {
        var map = first
        while map.isExtended {
            guard map.segments.count < limits.extensionBytes / 24 else { throw TarError(.limitExceeded, "sparse map of \(map.segments.count) parts") }
            try fill(TarHeader.blockSize)
            let block = UnsafeRawBufferPointer(rebasing: buffer[start..<(start + TarHeader.blockSize)])
            map.isExtended = block[504] != 0
            try Self.appendOldSegments(block, at: 0, count: 21, to: &map)
            start += TarHeader.blockSize
        }
        return map.segments
    }

    private static func appendOldSegments(_ block: UnsafeRawBufferPointer, at base: Int, count: Int, to map: inout OldSparse) throws {
        for index in 0..<count {
            let offset = base + index * 24
            // An unused slot starts with NUL.
            guard block[offset] != 0 else { return }
            guard let from = TarHeader.number(UnsafeRawBufferPointer(rebasing: block[offset..<(offset + 12)])),
                let length = TarHeader.number(UnsafeRawBufferPointer(rebasing: block[(offset + 12)..<(offset + 24)])), from >= 0, length >= 0
            else { throw malformed("sparse map", map.path) }
            map.segments.append(SparseSegment(offset: from, length: length))
        }
    }

    /// Version 1.0: decimal numbers, one a line, in front of the content and padded to a block.
    private func readContentMap(_ path: [UInt8]) throws -> [SparseSegment] {
        var consumed = 0
        func line() throws -> Int64 {
            var value: Int64 = 0
            var digits = 0
            while true {
                guard remaining > 0, consumed < limits.extensionBytes else { throw Self.malformed("sparse map", path) }
                if start == end { try refill() }
                let byte = buffer[start]
                start += 1
                remaining -= 1
                consumed += 1
                if byte == 0x0a, digits > 0 { return value }
                guard (0x30...0x39).contains(byte), digits < 18 else { throw Self.malformed("sparse map", path) }
                value = value * 10 + Int64(byte - 0x30)
                digits += 1
            }
        }
        let count = try line()
        guard count <= limits.extensionBytes / 4 else { throw TarError(.limitExceeded, "sparse map of \(count) parts") }
        var map: [SparseSegment] = []
        for _ in 0..<count { map.append(SparseSegment(offset: try line(), length: try line())) }
        while !consumed.isMultiple(of: 512) {
            guard remaining > 0 else { throw Self.malformed("sparse map", path) }
            if start == end { try refill() }
            start += 1
            remaining -= 1
            consumed += 1
        }
        return map
    }

    // MARK: Buffer

    /// Makes at least `count` bytes available at `start`; false at the end of the stream, with `orEnd`.
    @discardableResult
    private func fill(_ count: Int, orEnd: Bool = false) throws -> Bool {
        if end - start >= count { return true }
        if start > 0 {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer[start..<end]))
            end -= start
            start = 0
        }
        while end < count {
            guard try readMore() else {
                if orEnd { return false }
                throw TarError(.truncated, "unexpected end of the archive")
            }
        }
        return true
    }

    /// Fills the empty buffer anew.
    @discardableResult
    private func refill(orEnd: Bool = false) throws -> Bool {
        start = 0
        end = 0
        if try readMore() { return true }
        if orEnd { return false }
        throw TarError(.truncated, "unexpected end of the archive")
    }

    private func readMore() throws -> Bool {
        guard !sourceIsAtEnd else { return false }
        let count = try source.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[end...]))
        if count == 0 { sourceIsAtEnd = true }
        end += count
        return count > 0
    }
}
