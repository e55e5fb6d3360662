/// Writes an archive whose bytes depend on the members alone: the same change gives the same layer, wherever and whenever it is written.
///
/// Headers are ustar; what does not fit there (long names, names that are not ASCII, large numbers, parts of a second, extended attributes) goes into a
/// PAX header in front, with its records in the order of their keys. User and group names are left empty, access times out.
package final class TarWriter {
    private let sink: any ByteSink
    private var remaining: Int64 = 0
    private var padding = 0
    private let header = UnsafeMutableRawBufferPointer.allocate(byteCount: 512, alignment: 8)
    private static let zeros = [UInt8](repeating: 0, count: 1024)

    package init(_ sink: any ByteSink) { self.sink = sink }

    deinit { header.deallocate() }

    /// Begins a member. A file is followed by exactly `entry.size` bytes through `write`. A directory's path gets its slash if it has none.
    package func add(_ entry: TarEntry) throws {
        try finishMember()
        var path = entry.path
        if entry.kind == .directory, path.last != UInt8(ascii: "/") { path.append(UInt8(ascii: "/")) }
        let size = entry.kind == .file ? entry.size : 0

        var records: [(key: [UInt8], value: [UInt8])] = []
        func record(_ key: String, _ value: some Sequence<UInt8>) { records.append((Array(key.utf8), Array(value))) }
        let split = Self.split(path)
        if split == nil { record("path", path) }
        let linkFits = entry.linkTarget.count <= 100 && entry.linkTarget.allSatisfy { $0 < 0x80 }
        if !linkFits { record("linkpath", entry.linkTarget) }
        if size >= 1 << 33 { record("size", String(size).utf8) }
        if entry.uid >= 1 << 21 { record("uid", String(entry.uid).utf8) }
        if entry.gid >= 1 << 21 { record("gid", String(entry.gid).utf8) }
        if entry.modified.nanoseconds != 0 || !(0..<(1 << 33)).contains(entry.modified.seconds) { record("mtime", Self.time(entry.modified).utf8) }
        for attribute in entry.xattrs { records.append((Array("SCHILY.xattr.".utf8) + attribute.name, attribute.value)) }
        if !records.isEmpty { try writePAX(records, path: path) }

        let name = split ?? (prefix: [], name: Array(path.prefix(100)))
        try writeHeader(
            typeFlag: Self.typeFlag(entry.kind), prefix: name.prefix, name: name.name, link: linkFits ? entry.linkTarget : Array(entry.linkTarget.prefix(100)),
            mode: entry.mode & 0o7777, uid: entry.uid < 1 << 21 ? entry.uid : 0, gid: entry.gid < 1 << 21 ? entry.gid : 0,
            size: size < 1 << 33 ? size : 0, seconds: (0..<(1 << 33)).contains(entry.modified.seconds) ? entry.modified.seconds : 0,
            device: (entry.deviceMajor, entry.deviceMinor))
        remaining = size
        padding = Int((512 - size % 512) % 512)
    }

    /// The next bytes of the current file.
    package func write(_ bytes: UnsafeRawBufferPointer) throws {
        guard Int64(bytes.count) <= remaining else { throw TarError(.misuse, "content longer than its header says") }
        remaining -= Int64(bytes.count)
        try sink.write(bytes)
    }

    /// A file whose content is at hand.
    package func add(_ entry: TarEntry, content: [UInt8]) throws {
        var entry = entry
        entry.size = Int64(content.count)
        try add(entry)
        try content.withUnsafeBytes { try write($0) }
    }

    /// The two empty blocks that end an archive. The sink is not closed.
    package func finish() throws {
        try finishMember()
        try Self.zeros.withUnsafeBytes { try sink.write($0) }
    }

    private func finishMember() throws {
        guard remaining == 0 else { throw TarError(.misuse, "content \(remaining) bytes shorter than its header says") }
        guard padding > 0 else { return }
        let count = padding
        padding = 0
        try Self.zeros.withUnsafeBytes { try sink.write(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }

    // MARK: PAX

    private func writePAX(_ records: [(key: [UInt8], value: [UInt8])], path: [UInt8]) throws {
        var body: [UInt8] = []
        for (key, value) in records.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            // The length counts its own digits.
            let rest = key.count + value.count + 3
            var length = rest + String(rest).utf8.count
            if rest + String(length).utf8.count != length { length = rest + String(length).utf8.count }
            body += Array("\(length) ".utf8) + key + [UInt8(ascii: "=")] + value + [0x0a]
        }
        let base = path.split(separator: UInt8(ascii: "/")).last.map { Array($0) } ?? []
        let name = (Array("PaxHeaders.0/".utf8) + base).prefix(100).map { $0 < 0x80 ? $0 : UInt8(ascii: "_") }
        try writeHeader(
            typeFlag: UInt8(ascii: "x"), prefix: [], name: name, link: [], mode: 0, uid: 0, gid: 0, size: Int64(body.count), seconds: 0, device: (0, 0))
        try body.withUnsafeBytes { try sink.write($0) }
        padding = (512 - body.count % 512) % 512
        try finishMember()
    }

    /// Seconds with as many decimals as are needed, `-1.5` for a second and a half before 1970.
    static func time(_ time: TarTime) -> String {
        var seconds = time.seconds
        var nanoseconds = time.nanoseconds
        var sign = ""
        if seconds < 0, nanoseconds > 0 {
            seconds += 1
            nanoseconds = 1_000_000_000 - nanoseconds
            if seconds == 0 { sign = "-" }
        }
        guard nanoseconds != 0 else { return "\(sign)\(seconds)" }
        var digits = String(nanoseconds)
        digits = String(repeating: "0", count: 9 - digits.count) + digits
        while digits.last == "0" { digits.removeLast() }
        return "\(sign)\(seconds).\(digits)"
    }

    // MARK: Header

    /// How a path goes into the name (100) and prefix (155) fields; nil when it does not.
    static func split(_ path: [UInt8]) -> (prefix: [UInt8], name: [UInt8])? {
        guard path.allSatisfy({ $0 < 0x80 }) else { return nil }
        if path.count <= 100 { return ([], path) }
        guard path.count <= 256 else { return nil }
        // The slash between the two is not stored; it must not be the last byte.
        for index in path.indices.dropLast() where path[index] == UInt8(ascii: "/") {
            if index > 0, index <= 155, path.count - index - 1 <= 100 { return (Array(path[..<index]), Array(path[(index + 1)...])) }
        }
        return nil
    }

    private func writeHeader(
        typeFlag: UInt8, prefix: [UInt8], name: [UInt8], link: [UInt8], mode: UInt32, uid: UInt32, gid: UInt32, size: Int64, seconds: Int64,
        device: (major: UInt32, minor: UInt32)
    ) throws {
        header.initializeMemory(as: UInt8.self, repeating: 0)
        put(name, TarHeader.Field.name)
        put(Int64(mode), TarHeader.Field.mode)
        put(Int64(uid), TarHeader.Field.uid)
        put(Int64(gid), TarHeader.Field.gid)
        put(size, TarHeader.Field.size)
        put(seconds, TarHeader.Field.mtime)
        header[156] = typeFlag
        put(link, TarHeader.Field.linkName)
        put(Array("ustar\u{0}00".utf8), TarHeader.Field.magic)
        put(Int64(device.major), TarHeader.Field.deviceMajor)
        put(Int64(device.minor), TarHeader.Field.deviceMinor)
        put(prefix, TarHeader.Field.prefix)
        var sum = 8 * 0x20
        for byte in header { sum += Int(byte) }
        // Six digits, NUL, blank: as every tar has written it since v7.
        put(Int64(sum), (TarHeader.Field.checksum.0, 7))
        header[155] = 0x20
        try sink.write(UnsafeRawBufferPointer(header))
    }

    private func put(_ bytes: [UInt8], _ field: (Int, Int)) {
        for (index, byte) in bytes.prefix(field.1).enumerated() { header[field.0 + index] = byte }
    }

    /// Octal with leading zeros, ended by a NUL.
    private func put(_ number: Int64, _ field: (Int, Int)) {
        var number = number
        for index in stride(from: field.1 - 2, through: 0, by: -1) {
            header[field.0 + index] = 0x30 + UInt8(number & 7)
            number >>= 3
        }
    }

    private static func typeFlag(_ kind: TarEntry.Kind) -> UInt8 {
        switch kind {
        case .file: UInt8(ascii: "0")
        case .hardLink: UInt8(ascii: "1")
        case .symbolicLink: UInt8(ascii: "2")
        case .characterDevice: UInt8(ascii: "3")
        case .blockDevice: UInt8(ascii: "4")
        case .directory: UInt8(ascii: "5")
        case .fifo: UInt8(ascii: "6")
        }
    }
}
