import BerthDefaults
import Glibc
import LinuxSystem
import Testing

@testable import berth_supervisor

/// What every driver must do the same way.
@Suite(.enabled(if: DriverUnderTest.isRoot, "needs root: mounts and file systems"), .serialized)
struct SnapshotterSuite {
    private static let drivers = DriverUnderTest.available

    @Test(arguments: drivers) func `what was written to a snapshot is in those built on it`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("one", "echo a >a; mkdir d; echo in >d/f; ln -s a link; mkfifo p; chmod 4711 a; chown 7:8 d/f")
            try await world.layer("two", on: "one", "echo b >b; echo changed >>d/f")
            let seen = try await world.looking(at: "two", "find . | sort | xargs; cat a b d/f; stat -c '%a %u:%g %F' a d/f p; readlink link")
            #expect(seen == ". ./a ./b ./d ./d/f ./link ./p\na\nb\nin\nchanged\n4711 0:0 regular file\n644 7:8 regular file\n644 0:0 fifo\na\n")
            #expect(try await world.looking(at: "one", "cat d/f; ls") == "in\na\nd\nlink\np\n")
        }
    }

    @Test(arguments: drivers) func `an active snapshot and a committed one tell what they are`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "echo x >x")
            _ = try await world.prepare("active", on: "base", labels: ["k": "v"])
            _ = try await world.view("view", on: "base")
            let space = SnapshotterWorld.namespace
            #expect(try world.snapshotter.stat("active", in: space).kind == .active)
            #expect(try world.snapshotter.stat("active", in: space).parent == "base")
            #expect(try world.snapshotter.stat("active", in: space).labels == ["k": "v"])
            #expect(try world.snapshotter.stat("view", in: space).kind == .view)
            #expect(try world.snapshotter.stat("base", in: space).kind == .committed)
            #expect(try world.snapshotter.list(in: space).map(\.name) == ["active", "base", "view"])
            #expect(try world.snapshotter.list(in: "other").isEmpty)
            let changed = try await world.snapshotter.update("active", labels: ["k": "w"], paths: ["labels.k"], in: space)
            #expect(changed.labels == ["k": "w"])
        }
    }

    @Test(arguments: drivers) func `a key or name is taken once, a parent must be committed and there`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "true")
            _ = try await world.prepare("a", on: "base")
            await #expect(throws: StorageError(.alreadyExists, "snapshot a: already exists")) { _ = try await world.prepare("a", on: "base") }
            await #expect(throws: StorageError.self) { _ = try await world.prepare("b", on: "a") }
            await #expect(throws: StorageError(.notFound, "failed to create snapshot: missing parent \"none\" bucket: not found")) {
                _ = try await world.prepare("b", on: "none")
            }
            await #expect(throws: StorageError.self) { try await world.commit("a", as: "base") }
            await #expect(throws: StorageError.self) { try await world.commit("base", as: "c") }
            #expect(throws: StorageError.self) { _ = try world.snapshotter.mounts("base", in: SnapshotterWorld.namespace) }
            // What failed has left nothing.
            #expect(try Files.entries(of: "\(world.root)/new").isEmpty)
            #expect(try Files.entries(of: "\(world.root)/snapshots").count == 2)
        }
    }

    @Test(arguments: drivers) func `a snapshot goes only after those built on it, and its files with it`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("one", "echo 1 >f")
            try await world.layer("two", on: "one", "echo 2 >g")
            _ = try await world.prepare("three", on: "two")
            for name in ["one", "two"] {
                await #expect(throws: StorageError(.failedPrecondition, "cannot remove snapshot with child: failed precondition")) { try await world.remove(name) }
            }
            for name in ["three", "two", "one"] { try await world.remove(name) }
            try world.snapshotter.cleanup()
            #expect(try Files.entries(of: "\(world.root)/snapshots").isEmpty)
            #expect(try Files.entries(of: "\(world.root)/removed").isEmpty)
            // The names are free again.
            try await world.layer("one", "echo other >f")
            #expect(try await world.looking(at: "one", "cat f") == "other\n")
        }
    }

    @Test(arguments: drivers) func `a view cannot be written to, and one of several does not change another`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "echo x >x")
            try await world.layer("top", on: "base", "echo y >y")
            for parent in ["base", "top"] {
                let mounts = try await world.view("view-\(parent)", on: parent)
                let result = try SnapshotterWorld.shell("echo z >z", in: mounts)
                #expect(result.code != 0)
                #expect(result.output.contains("Read-only file system"))
            }
            let first = try await world.prepare("first", on: "top"), second = try await world.prepare("second", on: "top")
            try expectSuccess(try SnapshotterWorld.shell("rm x; echo mine >y", in: first))
            #expect(try SnapshotterWorld.shell("cat x y", in: second).output == "x\ny\n")
            #expect(try SnapshotterWorld.shell("cat x y", in: try world.snapshotter.mounts("view-top", in: SnapshotterWorld.namespace)).output == "x\ny\n")
        }
    }

    @Test(arguments: drivers) func `removed files and directories stay removed, and come back new`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "mkdir -p d/sub e; echo old >d/old; echo old >d/sub/f; echo f >f; echo g >e/g")
            try await world.layer("gone", on: "base", "rm -r d f; rm e/g")
            #expect(try await world.looking(at: "gone", "find . | sort | xargs") == ". ./e\n")
            try await world.layer("back", on: "gone", "mkdir d; echo new >d/new; mkdir f; echo x >f/x")
            #expect(try await world.looking(at: "back", "find . | sort | xargs; cat d/new") == ". ./d ./d/new ./e ./f ./f/x\nnew\n")
            // In one step: what is below does not show through.
            try await world.layer("opaque", on: "base", "rm -r d; mkdir d; echo new >d/new; rm f; mkdir f")
            #expect(try await world.looking(at: "opaque", "find . | sort | xargs") == ". ./d ./d/new ./e ./e/g ./f\n")
            try await world.layer("above", on: "opaque", "echo more >d/more")
            #expect(try await world.looking(at: "above", "ls d | xargs") == "more new\n")
        }
    }

    @Test(arguments: drivers) func `files of a layer below can be renamed, and directories moved by mv`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "mkdir -p dir/inner; echo a >a; echo b >dir/b; echo c >dir/inner/c")
            try await world.layer("moved", on: "base", "mv a a2; mv dir/b b; mv dir dir2")
            #expect(try await world.looking(at: "moved", "find . | sort | xargs; cat a2 b dir2/inner/c") == ". ./a2 ./b ./dir2 ./dir2/inner ./dir2/inner/c\na\nb\nc\n")
            try await world.layer("again", on: "moved", "mv dir2/inner dir; echo more >>dir/c")
            #expect(try await world.looking(at: "again", "find . | sort | xargs; cat dir/c") == ". ./a2 ./b ./dir ./dir/c ./dir2\nc\nmore\n")
        }
    }

    @Test(arguments: drivers) func `owners, modes and attributes of files and of the root survive commits`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "chmod 1750 .; chown 3:4 .; mkdir d; chmod 2711 d; chown 5:6 d; echo x >x; setfattr -n user.k -v v x; setfattr -n trusted.t -v w d; touch -d @1.5 x")
            try await world.layer("top", on: "base", "chown 9 x; chmod 700 d; setfattr -n user.k2 -v v2 x")
            let seen = try await world.looking(
                at: "top", "stat -c '%a %u:%g' . d x; getfattr -d -m user. --absolute-names x | grep k; getfattr -n trusted.t --only-values d; stat -c %.1Y x")
            #expect(seen == "1750 3:4\n2700 5:6\n644 9:0\nuser.k=\"v\"\nuser.k2=\"v2\"\nw1.5\n")
        }
    }

    @Test(arguments: drivers) func `hard links, holes, devices and long names survive`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            let long = String(repeating: "n", count: 255)
            try await world.layer("base", "echo x >one; ln one two; truncate -s 1G hole; echo end >>hole; mknod null c 1 3; mknod blk b 7 200; touch \(long)")
            try await world.layer("top", on: "base", "echo more >>one; rm two; ln one three")
            let seen = try await world.looking(at: "top", "[ one -ef three ] && cat three; stat -c '%s' hole; [ $(stat -c %b hole) -lt 2000 ] && echo sparse; stat -c '%F %t:%T' null blk; ls | wc -l")
            #expect(seen == "x\nmore\n1073741828\nsparse\ncharacter special file 1:3\nblock special file 7:c8\n6\n")
            #expect(try await world.looking(at: "base", "[ one -ef two ] && cat two") == "x\n")
        }
    }

    @Test(arguments: drivers) func `more layers than a page of mount options has room for`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            // Past 128, a bound of older engines, where layers are mounted one by one.
            let count = world.snapshotter.driver.keepsLayersApart ? 140 : 20
            try await world.unpack((0..<count).map { [.file("f\($0)", "\($0)"), .file("last", "\($0)\n")] })
            #expect(try await world.looking(at: "layer-\(count - 1)", "ls | wc -l; cat f0 f17 last") == "\(count + 1)\n017\(count - 1)\n")
            let mounts = try await world.prepare("active", on: "layer-\(count - 1)")
            #expect(try SnapshotterWorld.shell("rm f0; echo changed >f1; ls | wc -l", in: mounts).output == "\(count)\n")
        }
    }

    @Test(arguments: drivers) func `a snapshot's size is what it adds and changes`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "dd if=/dev/zero of=big bs=1M count=8 2>/dev/null; mkdir d; echo x >d/x; sync")
            let base = try world.usage("base")
            #expect(base.size >= 8 << 20 && base.size < 9 << 20)
            let mounts = try await world.prepare("active", on: "base")
            #expect(try world.usage("active").size < 64 << 10)
            try expectSuccess(try SnapshotterWorld.shell("dd if=/dev/zero of=more bs=1M count=2 2>/dev/null; ln more again; sync", in: mounts))
            let active = try world.usage("active")
            #expect(active.size >= 2 << 20 && active.size < 3 << 20)
            try await world.commit("active", as: "top")
            #expect(try world.usage("top") == active)
        }
    }

    @Test(arguments: drivers) func `a snapshot that is still mounted can be removed`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "echo x >x")
            let mounts = try await world.prepare("active", on: "base")
            try await world.removeWhileMounted("active", mounts)
            try world.snapshotter.cleanup()
            #expect(try Files.entries(of: "\(world.root)/snapshots").count == 1)
            #expect(try Files.entries(of: "\(world.root)/removed").isEmpty)
        }
    }

    @Test(arguments: drivers) func `what a kill leaves behind is swept at the next start, and nothing else`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("base", "echo x >x")
            let snapshots = "\(world.root)/snapshots"
            let id = try #require(try Files.entries(of: snapshots).first)
            // Half made, without a row yet; made, its commit lost; renamed away, not deleted.
            _ = try await world.prepare("active", on: "base")
            let other = try #require(try Files.entries(of: snapshots).first { $0 != id })
            try expectSuccess(try SnapshotterWorld.shell("mv \(other) ../new/77", at: snapshots))
            try await world.remove("active")
            _ = try await world.prepare("active", on: "base")
            let third = try #require(try Files.entries(of: snapshots).first { $0 != id })
            try expectSuccess(try SnapshotterWorld.shell("mv \(third) 4711", at: snapshots))
            try await world.remove("active")
            _ = try await world.prepare("active", on: "base")
            let fourth = try #require(try Files.entries(of: snapshots).first { $0 != id && $0 != "4711" })
            try expectSuccess(try SnapshotterWorld.shell("mv \(fourth) ../removed/\(fourth)", at: snapshots))
            try await world.remove("active")
            try world.snapshotter.cleanup()
            #expect(try Files.entries(of: snapshots) == [id])
            #expect(try Files.entries(of: "\(world.root)/new").isEmpty)
            #expect(try Files.entries(of: "\(world.root)/removed").isEmpty)
            #expect(try await world.looking(at: "base", "cat x") == "x\n")
        }
    }
}

extension SnapshotterWorld {
    /// Removes a snapshot while a mount of it and a program in it are there.
    func removeWhileMounted(_ key: String, _ mounts: [MountPoint]) async throws {
        let mount = try #require(mounts.first)
        let held: OwnedFD
        if mount.type == "bind" { held = try Mounts.cloneTree(mount.source, recursive: false) } else {
            let context = try FilesystemContext(type: mount.type)
            for option in mount.options {
                let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
                try context.set(parts[0], parts.count > 1 ? parts[1] : nil)
            }
            held = try context.mount([])
        }
        let file = try Files.open("/proc/self/fd/\(held.rawValue)/x")
        try await remove(key)
        try snapshotter.cleanup()
        try file.close()
        try held.close()
    }
}
