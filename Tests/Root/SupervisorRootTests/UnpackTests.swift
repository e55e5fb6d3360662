import Glibc
import LinuxSystem
import OCILayer
import Testing

@testable import berth_supervisor

/// What unpacking keeps of a layer's members, and that no member gets out, on every driver's disk.
@Suite(.enabled(if: DriverUnderTest.isRoot, "needs root: owners, devices and file systems"), .serialized)
struct UnpackTests {
    private static let drivers = DriverUnderTest.available

    @Test(arguments: drivers) func `capabilities, access lists, attributes, fractions of a second and holes arrive`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            // user::rwx,user:1001:rw-,group::r--,mask::rw-,other::---
            let none: [UInt8] = [0xff, 0xff, 0xff, 0xff]
            let acl: [UInt8] = [2, 0, 0, 0] + [1, 0, 7, 0] + none + [2, 0, 6, 0, 0xe9, 3, 0, 0] + [4, 0, 4, 0] + none + [0x10, 0, 6, 0] + none + [0x20, 0, 0, 0] + none
            var capped = TarEntry(kind: .file, path: Array("capped".utf8), mode: 0o755, modified: TarTime(seconds: 1_234_567_890, nanoseconds: 123_456_789))
            capped.uid = 1234
            capped.gid = 70_000
            capped.xattrs = [
                ExtendedAttribute(name: Array("security.capability".utf8), value: [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
                ExtendedAttribute(name: Array("system.posix_acl_access".utf8), value: acl), ExtendedAttribute(name: Array("user.mime".utf8), value: [0, 1, 0xff]),
            ]
            let long = String(repeating: "x", count: 200)
            try await world.unpack([try Member.archive([.file("\(long)/\(long)/f", "deep")]) ], prefix: "long-", on: "")
            #expect(try await world.looking(at: "long-0", "cat */*/f") == "deep")
            try await world.unpack([try Self.raw { writer in
                try writer.add(capped, content: [1])
            }, try Member.archive([.file("other", "o")])], prefix: "layer-", on: "")
            let seen = try await world.looking(
                at: "layer-1", "getcap capped 2>/dev/null || getfattr -n security.capability capped >/dev/null && echo has; getfattr --only-values -n user.mime capped | od -An -tx1; stat -c '%u:%g %a %y' capped; getfattr -n system.posix_acl_access -e hex capped | grep -c 0x02000000")
            #expect(seen.contains("00 01 ff") && seen.contains("1234:70000 760 2009-02-13 23:31:30.123456789"))
            #expect(seen.hasSuffix("1\n") && (seen.contains("has") || seen.contains("cap_")))
        }
    }

    @Test(arguments: drivers) func `members that climb out stay inside, whatever they stand on`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            let outside = "\(world.base)/outside"
            try Files.makeDirectories(outside)
            try Files.replace("\(outside)/kept", with: Array("kept".utf8))
            let before = try SnapshotterWorld.shell("find . -printf '%P %T@ %C@ %m %s\\n' | sort", at: outside).output
            // Links of a layer below that lead out are met by the members of the one above.
            let up = String(repeating: "../", count: 20)
            let base: [Member] = [.link("abs", outside), .link("rel", up + outside), .link("chain", "abs"), .link("dots", ".."), .directory("d", 0o755), .link("d/up", "../../../..")]
            for seed in UInt64(1)...3 {
                var random = SeededGenerator(seed: seed)
                let roots = ["abs", "rel", "chain", "dots/dots", "d/up\(outside)", "..", "/\(outside)", up + outside, "d/../../..\(outside)", "./abs/.", "abs/../abs"]
                let members: [Member] = (0..<20).map { number in
                    let root = roots.randomElement(using: &random) ?? ""
                    switch Int.random(in: 0..<7, using: &random) {
                    case 0: return .directory("\(root)/new\(number)", 0o777)
                    case 1: return .link("\(root)/link\(number)", outside)
                    case 2: return .hardLink("stolen\(number)", "\(root)/kept")
                    case 3: return .file("\(root)/.wh.kept", "")
                    case 4: return .file("\(root)/.wh..wh..opq", "")
                    case 5: return .file("\(root)/kept", "changed")
                    default: return .file("\(root)/file\(number)", "x")
                    }
                }
                // One by one: a member that is refused does not save the next one's face.
                for (number, member) in members.enumerated() {
                    _ = await world.failure { try await world.unpack([try Member.archive(base), try Member.archive([member])], prefix: "s\(seed)-\(number)-", on: "") }
                }
                _ = await world.failure { try await world.unpack([try Member.archive(base + members)], prefix: "all-\(seed)-", on: "") }
            }
            #expect(try SnapshotterWorld.shell("find . -printf '%P %T@ %C@ %m %s\\n' | sort", at: outside).output == before)
            #expect(try Files.readText("\(outside)/kept") == "kept")
            for name in ["new", "removed"] { try world.snapshotter.cleanup(); #expect(try Files.entries(of: "\(world.root)/\(name)").isEmpty) }
        }
    }

    @Test func `a layer of a hundred thousand members takes no memory for each`() async throws {
        try await SnapshotterWorld.run(.native) { world in
            let layer = try await world.snapshotter.beginLayer("many", on: "", in: SnapshotterWorld.namespace, lease: nil)
            let before = try Self.residentBytes()
            let source = RepeatedMembers(count: 100_000)
            let applied = try LayerApplier(source, into: layer.files, on: .nothing).apply()
            #expect(applied.entries == 100_000)
            #expect(try Self.residentBytes() - before < 8 << 20)
            try await world.snapshotter.abandonLayer(layer, in: SnapshotterWorld.namespace)
        }
    }

    private static func residentBytes() throws -> Int {
        let pages = try Files.readText("/proc/self/statm").split(separator: " ")
        return (Int(pages[1]) ?? 0) * 4096
    }

    private static func raw(_ body: (TarWriter) throws -> Void) throws -> [UInt8] {
        let sink = BytesSink()
        let writer = TarWriter(sink)
        try body(writer)
        try writer.finish()
        return sink.bytes
    }
}

/// An archive of empty files that replace each other, made while it is read.
private final class RepeatedMembers: ByteSource {
    private let member: [UInt8]
    private let end: Int
    private var position = 0

    init(count: Int) {
        let sink = BytesSink()
        let writer = TarWriter(sink)
        try? writer.add(TarEntry(kind: .file, path: Array("file".utf8), mode: 0o644), content: [])
        member = sink.bytes
        end = member.count * count
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, end + 1024 - position)
        for index in 0..<count {
            let place = position + index
            buffer[index] = place < end ? member[place % member.count] : 0
        }
        position += count
        return count
    }
}
