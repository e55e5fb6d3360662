import OCILayer
import Testing

final class Bytes: ByteSource, ByteSink {
    var content: [UInt8]
    private var position = 0
    /// Bytes given at a time, to have every boundary fall somewhere once.
    private let piece: Int

    init(_ content: [UInt8] = [], piece: Int = .max) {
        self.content = content
        self.piece = piece
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, content.count - position, piece)
        buffer.copyBytes(from: content[position..<(position + count)])
        position += count
        return count
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws { content += bytes }
}

func archive(_ body: (TarWriter) throws -> Void) throws -> [UInt8] {
    let sink = Bytes()
    let writer = TarWriter(sink)
    try body(writer)
    try writer.finish()
    return sink.content
}

/// All members of an archive with their content.
func members(_ bytes: [UInt8], piece: Int = .max, limits: TarLimits = TarLimits()) throws -> [(entry: TarEntry, content: [UInt8])] {
    let reader = TarReader(Bytes(bytes, piece: piece), limits: limits, bufferSize: 4096)
    var result: [(TarEntry, [UInt8])] = []
    while let entry = try reader.next() { result.append((entry, try reader.readContent(limit: 1 << 20))) }
    return result
}

@Suite struct TarRoundTripTests {
    @Test(arguments: [1, 7, 511, 512, 513, 4096])
    func `what is written comes back, wherever the stream is cut`(piece: Int) throws {
        var file = TarEntry(kind: .file, path: Array("dir/näme with spaces".utf8), mode: 0o6755, modified: TarTime(seconds: 946_684_799, nanoseconds: 123_456_789))
        file.uid = 4_000_000_000
        file.gid = 2_097_152
        file.xattrs = [ExtendedAttribute(name: Array("security.capability".utf8), value: [1, 0, 0, 2, 0x0a, 0x3d])]
        let content = (0..<1500).map { UInt8(truncatingIfNeeded: $0) }
        var link = TarEntry(kind: .symbolicLink, path: Array("link".utf8), mode: 0o777, modified: TarTime(seconds: -2, nanoseconds: 500_000_000))
        link.linkTarget = Array(repeating: UInt8(ascii: "t"), count: 300)
        var device = TarEntry(kind: .characterDevice, path: Array("dev/null".utf8), mode: 0o666)
        (device.deviceMajor, device.deviceMinor) = (1, 3)
        let long = Array(("d".repeated(90) + "/" + "e".repeated(150) + "/f").utf8)
        let bytes = try archive { writer in
            try writer.add(TarEntry(kind: .directory, path: Array("dir".utf8), mode: 0o1777))
            try writer.add(file, content: content)
            try writer.add(link)
            try writer.add(device)
            try writer.add(TarEntry(kind: .file, path: long, mode: 0o644), content: [])
            try writer.add(TarEntry(kind: .fifo, path: Array("fifo".utf8), mode: 0o600))
        }
        #expect(bytes.count.isMultiple(of: 512))
        let read = try members(bytes, piece: piece)
        #expect(read.map(\.entry.kind) == [.directory, .file, .symbolicLink, .characterDevice, .file, .fifo])
        #expect(read[0].entry.path == Array("dir/".utf8))
        #expect(read[0].entry.mode == 0o1777)
        #expect(read[1].entry.path == file.path)
        #expect(read[1].content == content)
        #expect(read[1].entry.modified == file.modified)
        #expect((read[1].entry.uid, read[1].entry.gid, read[1].entry.mode) == (4_000_000_000, 2_097_152, 0o6755))
        #expect(read[1].entry.xattrs == file.xattrs)
        #expect(read[2].entry.linkTarget == link.linkTarget)
        #expect(read[2].entry.modified == link.modified)
        #expect((read[3].entry.deviceMajor, read[3].entry.deviceMinor) == (1, 3))
        #expect(read[4].entry.path == long)
    }

    @Test func `the same members give the same bytes`() throws {
        func make() throws -> [UInt8] {
            try archive { writer in
                var entry = TarEntry(kind: .file, path: Array("a".utf8), mode: 0o644, modified: TarTime(seconds: 1, nanoseconds: 5))
                entry.xattrs = [ExtendedAttribute(name: Array("user.b".utf8), value: [1]), ExtendedAttribute(name: Array("user.a".utf8), value: [2])]
                try writer.add(entry, content: [1, 2, 3])
            }
        }
        #expect(try make() == make())
    }

    @Test func `a path that fits no header field goes into a record of its own`() throws {
        for length in [99, 100, 101, 155, 156, 255, 256, 257, 1000] {
            let path = Array(String(repeating: "x", count: length).utf8)
            let bytes = try archive { try $0.add(TarEntry(kind: .file, path: path, mode: 0o644), content: []) }
            #expect(try members(bytes).first?.entry.path == path)
        }
    }

    @Test func `content that is not what its header says is a mistake of the caller`() throws {
        #expect(throws: TarError.self) {
            _ = try archive { writer in
                var entry = TarEntry(kind: .file, path: [0x61], mode: 0o644)
                entry.size = 3
                try writer.add(entry)
                try [UInt8](repeating: 0, count: 4).withUnsafeBytes { try writer.write($0) }
            }
        }
        #expect(throws: TarError.self) {
            _ = try archive { writer in
                var entry = TarEntry(kind: .file, path: [0x61], mode: 0o644)
                entry.size = 3
                try writer.add(entry)
            }
        }
    }
}

extension String {
    func repeated(_ count: Int) -> String { String(repeating: self, count: count) }
}
