@testable import berth_supervisor
import Glibc
import LinuxSystem
import OCILayer
import Testing

/// A directory that is gone at the end of the body.
func withDirectory<R>(_ body: (String) throws -> R) throws -> R {
    var template = Array("/tmp/berth-test-\(getpid())-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    let path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress.unsafelyUnwrapped) }
    defer {
        let parts = path.split(separator: "/")
        try? LayerFiles.removeTree(CName(String(parts[1])), in: DirectoryFD(path: "/tmp"))
    }
    return try body(path)
}

private final class Archive: ByteSink {
    var bytes: [UInt8] = []
    func write(_ more: UnsafeRawBufferPointer) throws { bytes += more }
}

private func layer(_ body: (TarWriter) throws -> Void) throws -> [UInt8] {
    let sink = Archive()
    let writer = TarWriter(sink)
    try body(writer)
    try writer.finish()
    return sink.bytes
}

private func file(_ path: String, _ content: String, mode: UInt32 = 0o644) -> (TarEntry, [UInt8]) {
    (TarEntry(kind: .file, path: Array(path.utf8), mode: mode, modified: TarTime(seconds: 1000, nanoseconds: 5)), Array(content.utf8))
}

private func link(_ kind: TarEntry.Kind, _ path: String, to target: String) -> TarEntry {
    var entry = TarEntry(kind: kind, path: Array(path.utf8), mode: 0o777)
    entry.linkTarget = Array(target.utf8)
    return entry
}

extension TarWriter {
    fileprivate func add(_ file: (TarEntry, [UInt8])) throws { try add(file.0, content: file.1) }
    fileprivate func directory(_ path: String, mode: UInt32 = 0o755) throws {
        try add(TarEntry(kind: .directory, path: Array(path.utf8), mode: mode, modified: TarTime(seconds: 2000)))
    }
}

@discardableResult
private func apply(_ bytes: [UInt8], to root: String, lowers: [String] = []) throws -> AppliedLayer {
    let directories = try lowers.map { try DirectoryFD(path: $0) }
    return try LayerApplier(MemorySource(bytes), into: DirectoryFD(path: root), on: lowers.isEmpty ? .nothing : .apart { directories }).apply()
}

/// Ownership, devices and trusted attributes need root.
@Suite(.enabled(if: geteuid() == 0, "needs root: layers have owners, devices and trusted attributes"), .serialized)
struct LayerTests {
    private func text(_ path: String) -> String? { try? Files.readText(path) }

    @Test func `entries that climb out stay inside`() throws {
        try withDirectory { base in
            let root = "\(base)/root"
            try Files.makeDirectories(root)
            let bytes = try layer { writer in
                try writer.add(file("../../escape1", "x"))
                try writer.add(file("/escape2", "x"))
                try writer.add(link(.symbolicLink, "out", to: "../../../../../../../../tmp"))
                try writer.add(file("out/escape3", "x"))
                try writer.add(link(.symbolicLink, "abs", to: base))
                try writer.add(file("abs/escape4", "x"))
                try writer.add(link(.symbolicLink, "a", to: "b"))
                try writer.add(link(.symbolicLink, "b", to: "/"))
                try writer.add(file("a/escape5", "x"))
            }
            try apply(bytes, to: root)
            #expect(try Files.entries(of: base) == ["root"])
            #expect(text("\(root)/escape1") == "x")
            #expect(text("\(root)/escape2") == "x")
            #expect(text("\(root)/tmp/escape3") == "x")
            #expect(text("\(root)\(base)/escape4") == "x")
            #expect(text("\(root)/escape5") == "x")
            #expect(!Files.exists("/tmp/escape3"))
        }
    }

    @Test func `a hard link to a file outside fails, and through a link of the layer stays inside`() throws {
        try withDirectory { base in
            let root = "\(base)/root"
            try Files.makeDirectories(root)
            for target in ["../../../../../../../etc/passwd", "/etc/passwd", "etc/passwd"] {
                #expect(throws: (any Error).self) { try apply(try layer { try $0.add(link(.hardLink, "stolen", to: target)) }, to: root) }
            }
            #expect(throws: (any Error).self) {
                try apply(
                    try layer {
                        try $0.add(link(.symbolicLink, "etc", to: "/etc"))
                        try $0.add(link(.hardLink, "stolen", to: "etc/passwd"))
                    }, to: root)
            }
            #expect(!Files.exists("\(root)/stolen"))
        }
    }

    @Test func `a link loop is an error, not a hang`() throws {
        try withDirectory { base in
            _ = #expect(throws: (any Error).self) {
                try apply(
                    try layer {
                        try $0.add(link(.symbolicLink, "x", to: "y"))
                        try $0.add(link(.symbolicLink, "y", to: "x"))
                        try $0.add(file("x/f", ""))
                    }, to: base)
            }
        }
    }

    @Test func `modes, times, owners and capabilities come out as they went in`() throws {
        try withDirectory { base in
            var capped = file("capped", "c", mode: 0o4755)
            (capped.0.uid, capped.0.gid) = (1234, 4321)
            capped.0.xattrs = [ExtendedAttribute(name: Array("security.capability".utf8), value: [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]
            try apply(
                try layer {
                    try $0.directory("d", mode: 0o1777)
                    try $0.add(file("d/f", "hello"))
                    try $0.add(capped)
                }, to: base)
            let root = try DirectoryFD(path: base)
            let status = try root.status(CName("capped"))
            #expect((status.uid, status.gid, status.mode) == (1234, 4321, 0o4755))
            #expect((status.modifiedSeconds, status.modifiedNanoseconds) == (1000, 5))
            #expect(try root.xattr(CName("capped"), CName("security.capability"))?.count == 20)
            let directory = try root.status(CName("d"))
            #expect((directory.mode, directory.modifiedSeconds) == (0o1777, 2000))
        }
    }

    @Test func `whiteouts become overlayfs' own and never hide the layer's own files`() throws {
        try withDirectory { base in
            for name in ["lower", "upper"] { try Files.makeDirectories("\(base)/\(name)") }
            try apply(try layer { try $0.add(file("gone", "x")); try $0.add(file("dir/old", "x")); try $0.add(file("kept", "low")) }, to: "\(base)/lower")
            try apply(
                try layer {
                    try $0.add(file(".wh.gone", ""))
                    try $0.directory("dir")
                    try $0.add(file("dir/.wh..wh..opq", ""))
                    try $0.add(file("dir/new", "n"))
                    try $0.add(file("kept", "up"))
                    try $0.add(file(".wh.kept", ""))
                }, to: "\(base)/upper", lowers: ["\(base)/lower"])
            let upper = try DirectoryFD(path: "\(base)/upper")
            #expect(try upper.status(CName("gone")).isWhiteout)
            #expect(try LayerFiles.isOpaque(upper, CName("dir")))
            #expect(text("\(base)/upper/kept") == "up")
        }
    }

    @Test func `a first layer's whiteouts leave no devices behind, and overlayfs' attributes are never taken from an archive`() throws {
        try withDirectory { base in
            var entry = TarEntry(kind: .directory, path: Array("d".utf8), mode: 0o755)
            entry.xattrs = [ExtendedAttribute(name: Array("trusted.overlay.redirect".utf8), value: Array("/etc".utf8))]
            try apply(try layer { try $0.add(file(".wh.x", "")); try $0.add(entry) }, to: base)
            let root = try DirectoryFD(path: base)
            #expect(try root.statusIfPresent(CName("x")) == nil)
            #expect(try root.xattrNames(CName("d")).isEmpty)
        }
    }

    @Test func `directories that a layer leaves out look like those below, through links of the layers below`() throws {
        try withDirectory { base in
            for name in ["lower", "upper"] { try Files.makeDirectories("\(base)/\(name)") }
            try apply(
                try layer {
                    try $0.directory("usr", mode: 0o700)
                    try $0.directory("usr/lib", mode: 0o711)
                    try $0.add(link(.symbolicLink, "lib", to: "usr/lib"))
                    try $0.add(file("usr/lib/base", "b"))
                }, to: "\(base)/lower")
            try apply(
                try layer {
                    try $0.add(file("lib/added", "a"))
                    try $0.add(link(.hardLink, "lib/alias", to: "lib/base"))
                }, to: "\(base)/upper", lowers: ["\(base)/lower"])
            let upper = try DirectoryFD(path: "\(base)/upper")
            #expect(try upper.status(CName("usr")).mode == 0o700)
            #expect(try upper.directory(CName("usr")).status(CName("lib")).mode == 0o711)
            #expect(try upper.directory(CName("usr")).status(CName("lib")).modifiedSeconds == 2000)
            #expect(try upper.statusIfPresent(CName("lib")) == nil)
            #expect(text("\(base)/upper/usr/lib/added") == "a")
            #expect(text("\(base)/upper/usr/lib/alias") == "b")
            #expect(text("\(base)/upper/usr/lib/base") == "b")
        }
    }

    @Test func `a later member replaces an earlier one of any kind`() throws {
        try withDirectory { base in
            try apply(
                try layer {
                    try $0.add(file("x/y/z", "deep"))
                    try $0.add(link(.symbolicLink, "x", to: "elsewhere"))
                    try $0.add(file("f", "one"))
                    try $0.directory("f")
                    try $0.add(file("f/g", "two"))
                    try $0.add(file("h", "1"))
                    try $0.add(file("h", "2"))
                }, to: base)
            #expect(try DirectoryFD(path: base).status(CName("x")).kind == .symbolicLink)
            #expect(text("\(base)/f/g") == "two")
            #expect(text("\(base)/h") == "2")
        }
    }

    @Test func `a layer made from a directory gives the same directory again, and the same bytes each time`() throws {
        try withDirectory { base in
            for name in ["a", "b"] { try Files.makeDirectories("\(base)/\(name)") }
            let first = try layer {
                try $0.directory("d", mode: 0o750)
                try $0.add(file("d/f", "content"))
                try $0.add(link(.hardLink, "d/g", to: "d/f"))
                try $0.add(link(.symbolicLink, "s", to: "nowhere"))
                try $0.add(file("d/.wh.removed", ""))
            }
            try apply(first, to: "\(base)/a", lowers: [base])
            func diff(_ path: String) throws -> [UInt8] {
                let sink = Archive()
                try LayerDiffer(sink).write(DirectoryFD(path: path))
                return sink.bytes
            }
            let layer = try diff("\(base)/a")
            #expect(try diff("\(base)/a") == layer)
            try apply(layer, to: "\(base)/b", lowers: [base])
            #expect(try diff("\(base)/b") == layer)
            let b = try DirectoryFD(path: "\(base)/b").directory(CName("d"))
            #expect(try b.status(CName("removed")).isWhiteout)
            #expect(try b.status(CName("f")).inode == b.status(CName("g")).inode)
        }
    }
}

@Suite struct CompressionTests {
    private func packed(_ bytes: [UInt8], _ make: (any ByteSink) throws -> any FinishingSink) throws -> [UInt8] {
        let sink = Archive()
        let packer = try make(sink)
        try bytes.withUnsafeBytes { try packer.write($0) }
        try packer.finish()
        return sink.bytes
    }

    private func unpacked(_ bytes: [UInt8]) throws -> [UInt8] {
        let source = try decompressed(MemorySource(bytes))
        var result: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1000)
        while true {
            let count = try buffer.withUnsafeMutableBytes { try source.read(into: $0) }
            if count == 0 { return result }
            result += buffer[..<count]
        }
    }

    private let sample = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* $0 >> 7) }

    @Test func `gzip and zstd come back, several members one after the other included`() throws {
        let gzip = try packed(sample) { try GzipSink($0) }
        let zstd = try packed(sample) { try ZstdSink($0) }
        #expect(gzip.count < sample.count)
        #expect(try unpacked(gzip) == sample)
        #expect(try unpacked(gzip + gzip) == sample + sample)
        #expect(try unpacked(gzip + [0, 0, 0]) == sample)
        #expect(try unpacked(zstd) == sample)
        #expect(try unpacked(zstd + zstd) == sample + sample)
        #expect(try unpacked(sample) == sample)
        #expect(try unpacked([]) == [])
    }

    @Test func `damaged and cut streams are errors`() throws {
        let gzip = try packed(sample) { try GzipSink($0) }
        let zstd = try packed(sample) { try ZstdSink($0) }
        for bytes in [gzip, zstd] {
            #expect(throws: StorageError.self) { try unpacked(Array(bytes.dropLast(5))) }
            #expect(throws: StorageError.self) { try unpacked(Array(bytes.prefix(bytes.count / 2))) }
        }
        var damaged = gzip
        damaged[gzip.count - 6] ^= 1
        #expect(throws: StorageError.self) { try unpacked(damaged) }
        #expect(throws: StorageError.self) { try unpacked(gzip + [1, 2, 3]) }
    }
}
