@testable import berthd
import LinuxSystem
import Testing

@Suite struct VolumeTests {
    @Test(arguments: [
        ("v", [:], "create v: volume name is too short, names should be at least two alphanumeric characters"),
        ("v2", ["foo": "x"], "create v2: invalid option: \"foo\""), ("v2", ["type": "tmpfs"], "create v2: missing required option: \"device\""),
        ("../x", [:], "create ../x: \"../x\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"),
    ] as [(String, [String: String], String)])
    func `Bad volumes are refused in dockerd's words`(name: String, options: [String: String], message: String) {
        let error = #expect(throws: DaemonError.self) { try VolumeOptions.check(name: name, options: options) }
        #expect(error?.message == message)
    }

    @Test func `Mount options are flags and the rest`() {
        let parsed = MountOptionText.parse("ro,nosuid,size=1m,uid=5,rbind")
        #expect(parsed.flags == 1 | 2 | 4096 | 16384 && parsed.data == "size=1m,uid=5")
        #expect(MountOptionText.parse("ro,rw").flags == 0)
    }

    @Test func `A tree is copied with links and modes and removed without following links`() throws {
        let root = "/tmp/berth-test-\(Identifier.random(digits: 12))"
        try Files.makeDirectories(root + "/a/sub", mode: 0o755)
        try Files.makeDirectories(root + "/b", mode: 0o755)
        defer { try? Files.remove(root) }
        try Files.replace(root + "/a/file", with: Array("hello".utf8), mode: 0o640)
        let source = try DirectoryFD(path: root + "/a")
        try source.makeHardLink(CName("second"), to: CName("file"), in: source)
        try source.makeSymbolicLink(CName("link"), to: CName("/etc"))
        let target = try DirectoryFD(path: root + "/b")
        try TreeCopier().copy(source, into: target)
        #expect(try Files.readText(root + "/b/second") == "hello")
        #expect(try target.status(CName("file")).inode == target.status(CName("second")).inode)
        #expect(try target.status(CName("file")).mode == 0o640)
        #expect(try target.readLink(CName("link")) == Array("/etc".utf8))
        #expect(try target.status(CName("sub")).kind == .directory)
        let parent = try DirectoryFD(path: "/tmp")
        try FileTree.remove(CName(String(root.dropFirst(5))), in: parent)
        #expect(!Files.exists(root) && Files.exists("/etc/passwd"))
    }
}
