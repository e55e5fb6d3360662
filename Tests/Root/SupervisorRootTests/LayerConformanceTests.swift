import Glibc
import LinuxSystem
import OCILayer
import Testing

@testable import berth_supervisor

/// Layers into snapshots and back: whatever the driver, the same files come out.
@Suite(.enabled(if: DriverUnderTest.isRoot, "needs root: mounts and file systems"), .serialized)
struct LayerConformanceTests {
    private static let drivers = DriverUnderTest.available

    /// Everything that a program sees of a tree but its root; times of today are those of directories that no layer speaks of. Names that are listed and
    /// cannot be opened are left out: overlayfs shows whiteouts in directories that no layer below has.
    static let listing = """
        find . -mindepth 1 -printf '%P|%y|%m|%U:%G|%s|%T@|%l\\n' 2>/dev/null | awk -F'|' -v OFS='|' '$2=="d"{$5=""} $6>1e9{$6="now"} {print}' | sort
        find . -type f | sort | while read -r f; do echo "$f: $(cat "$f")"; done
        find . -type f -links +1 -printf '%i %P\\n' | sort | awk '{n[$1]=n[$1]" "$2} END {for (i in n) print n[i]}' | sort
        """

    @Test(arguments: drivers) func `whiteouts, opaque directories, replacements and links end in the files that the layers mean`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.unpack([
                [.directory("d", 0o750), .file("d/a", "a"), .file("d/b", "b"), .directory("e", 0o700), .file("e/x", "x"), .file("gone", "g"), .link("l", "e"), .file("f", "file")],
                [.file(".wh.gone", ""), .file("d/.wh.a", ""), .directory("e", 0o711), .file("e/.wh..wh..opq", ""), .file("e/y", "y"), .file("l/z", "through a link"), .file("f/now-a-directory", "n")],
                [.hardLink("b2", "d/b"), .file("d/b", "newer"), .file(".wh.e/../d/c", "c")],
            ])
            let seen = try await world.looking(at: "layer-1", "find . | sort | xargs; stat -c %a d e; cat d/b e/y e/z f/now-a-directory")
            #expect(seen == ". ./d ./d/b ./e ./e/y ./e/z ./f ./f/now-a-directory ./l\n750\n711\nbythrough a linkn")
            #expect(try await world.looking(at: "layer-2", "cat d/b b2 d/c; stat -c %Y d") == "newerbc2000\n")
        }
    }

    @Test func `random layers give the same files with every driver`() async throws {
        for seed in UInt64(1)...12 {
            var random = SeededGenerator(seed: seed)
            let stack = (0..<4).map { _ in RandomLayer.make(&random) }
            var first: (driver: DriverUnderTest, seen: String)?
            for driver in Self.drivers {
                try await SnapshotterWorld.run(driver) { world in
                    var seen = ""
                    for count in 1...stack.count {
                        let failed = await world.failure { try await world.unpack(Array(stack[..<count]), prefix: "s\(count)-") }
                        seen += failed ? "fails\n" : try await world.looking(at: "s\(count)-\(count - 1)", Self.listing)
                    }
                    if let first { #expect(seen == first.seen, "seed \(seed): \(driver) and \(first.driver) differ") } else { first = (driver, seen) }
                }
            }
        }
    }

    @Test func `the same change gives the same layer with every driver, twice`() async throws {
        let change = """
            echo new >etc/new; echo longer than before >etc/same; chmod 600 etc/mode; rm etc/gone; rm -r tree; ln -s etc/new link; mkdir -p a/b; echo x >a/b/c; ln a/b/c a/b/d
            setfattr -n user.k -v v etc/attr; mv etc/from etc/to; mkfifo fifo; mknod dev c 1 3; ln etc/linked etc/second
            find . -newermt 2001-01-01 -exec touch -h -d @3000 {} +
            """
        var layers: Set<[UInt8]> = []
        for driver in Self.drivers {
            try await SnapshotterWorld.run(driver) { world in
                try await world.layer("base", """
                    mkdir -p etc tree/deep; for f in gone same mode attr from linked untouched; do echo $f >etc/$f; done; echo t >tree/deep/t
                    find . -exec touch -h -d @2000 {} +
                    """)
                let mounts = try await world.prepare("active", on: "base")
                try expectSuccess(try SnapshotterWorld.shell(change, in: mounts))
                let layer = try world.diff("active", from: "base")
                #expect(try world.diff("active", from: "base") == layer)
                layers.insert(layer)
                try await world.unpack([layer], prefix: "again-", on: "base")
                let mine = try SnapshotterWorld.shell(Self.listing, in: mounts).output
                #expect(try await world.looking(at: "again-0", Self.listing) == mine, "\(driver)")
            }
        }
        #expect(layers.count == 1)
    }

    @Test(arguments: drivers) func `a change that keeps size and time is in the layer`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "mkdir one two; echo aaa >f; echo aaa >one/g; echo bbb >two/g; find . -exec touch -d @2000 {} +")
            let mounts = try await world.prepare("active", on: "base")
            try expectSuccess(try SnapshotterWorld.shell("echo bbb >f; touch -d @2000 f; mv one x; mv two one; mv x two", in: mounts))
            try await world.unpack([try world.diff("active", from: "base")], prefix: "again-", on: "base")
            #expect(try await world.looking(at: "again-0", "cat f one/g two/g") == "bbb\nbbb\naaa\n")
        }
    }
}

// MARK: - Layers

/// A member of a layer, as the tests write it down.
enum Member: Sendable {
    case file(String, String), directory(String, UInt32), link(String, String), hardLink(String, String)

    func add(to writer: TarWriter) throws {
        switch self {
        case .file(let path, let content):
            try writer.add(TarEntry(kind: .file, path: Array(path.utf8), mode: 0o644, modified: TarTime(seconds: 1000)), content: Array(content.utf8))
        case .directory(let path, let mode): try writer.add(TarEntry(kind: .directory, path: Array(path.utf8), mode: mode, modified: TarTime(seconds: 2000)))
        case .link(let path, let target): try writer.add(Self.entry(.symbolicLink, path, target))
        case .hardLink(let path, let target): try writer.add(Self.entry(.hardLink, path, target))
        }
    }

    private static func entry(_ kind: TarEntry.Kind, _ path: String, _ target: String) -> TarEntry {
        var entry = TarEntry(kind: kind, path: Array(path.utf8), mode: 0o777, modified: TarTime(seconds: 1500))
        entry.linkTarget = Array(target.utf8)
        return entry
    }

    static func archive(_ members: [Member]) throws -> [UInt8] {
        let sink = BytesSink()
        let writer = TarWriter(sink)
        for member in members { try member.add(to: writer) }
        try writer.finish()
        return sink.bytes
    }
}

final class BytesSink: ByteSink {
    var bytes: [UInt8] = []
    func write(_ more: UnsafeRawBufferPointer) throws { bytes += more }
}

/// xorshift64*: a failure repeats.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}

/// Layers over a handful of names, so that they meet each other often.
enum RandomLayer {
    private static func path(_ random: inout SeededGenerator) -> String {
        (0..<Int.random(in: 1...3, using: &random)).map { _ in ["a", "b", "c"].randomElement(using: &random) ?? "a" }.joined(separator: "/")
    }

    static func make(_ random: inout SeededGenerator) -> [Member] {
        (0..<Int.random(in: 2...9, using: &random)).map { number in
            let path = path(&random)
            let parent = path.contains("/") ? path.split(separator: "/").dropLast().joined(separator: "/") + "/" : ""
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<8: return .file(path, "\(number)")
            case 8..<12: return .directory(path, [0o755, 0o700, 0o711].randomElement(using: &random) ?? 0o755)
            case 12..<15: return .file("\(parent).wh.\(path.split(separator: "/").last ?? "a")", "")
            case 15: return .file("\(parent).wh..wh..opq", "")
            case 16, 17: return .link(path, self.path(&random))
            default: return .hardLink(path, self.path(&random))
            }
        }
    }
}

extension SnapshotterWorld {
    func failure(_ body: () async throws -> Void) async -> Bool {
        do {
            try await body()
            return false
        } catch { return true }
    }

    /// Unpacks layers as a pull does; they are named PREFIX0, PREFIX1, …
    func unpack(_ layers: [[Member]], prefix: String = "layer-") async throws { try await unpack(try layers.map(Member.archive), prefix: prefix, on: "") }

    func unpack(_ layers: [[UInt8]], prefix: String, on base: String) async throws {
        var parent = base
        for (number, bytes) in layers.enumerated() {
            let name = "\(prefix)\(number)"
            let layer = try await snapshotter.beginLayer(name, on: parent, in: Self.namespace, lease: nil)
            do {
                let below = parent
                let lies: LayerApplier.Base =
                    if parent.isEmpty { .nothing } else if snapshotter.driver.keepsLayersApart { .apart { try snapshotter.layerDirectories(below, in: Self.namespace) } } else { .sameTree }
                let applied = try LayerApplier(MemorySource(bytes), into: layer.files, on: lies).apply()
                _ = try await snapshotter.finishLayer(layer, as: name, parent: parent, hasRoot: applied.hasRoot, labels: [:], in: Self.namespace, lease: nil)
            } catch {
                try await snapshotter.abandonLayer(layer, in: Self.namespace)
                throw error
            }
            parent = name
        }
    }

    /// The layer of what a snapshot changed of its parent.
    func diff(_ key: String, from parent: String) throws -> [UInt8] {
        let ids = try database.read { db in try [key, parent].map { try snapshotter.table.get($0, in: Self.namespace, db).id } }
        let sink = BytesSink()
        let differ = LayerDiffer(sink)
        if let comparison = try snapshotter.comparison(of: ids[0], with: ids[1]) {
            try differ.write(try snapshotter.files(ids[0]), against: try snapshotter.files(ids[1]), comparison)
        } else {
            try differ.write(try snapshotter.files(ids[0]))
        }
        return sink.bytes
    }
}
