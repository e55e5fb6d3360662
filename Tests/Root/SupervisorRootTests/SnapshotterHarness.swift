import Glibc
import LinuxSystem
import NIOPosix
import Testing

@testable import berth_supervisor

/// Where a driver is tested: on a file system of its own in a file, so that what others write is not waited for.
enum DriverUnderTest: String, CaseIterable, CustomTestStringConvertible {
    case overlay, overlayOnXFS = "overlay on xfs", btrfs, native, nativeOnXFS = "native on xfs"

    var testDescription: String { rawValue }

    static let isRoot = geteuid() == 0
    private static func has(_ program: String) -> Bool { access("/sbin/\(program)", X_OK) == 0 || access("/usr/sbin/\(program)", X_OK) == 0 }

    /// What this machine can mount: the kernel's and mkfs's choice.
    static let available = allCases.filter { driver in
        let filesystems = (try? Files.readText("/proc/filesystems")) ?? ""
        return has("mkfs.\(driver.image)") && filesystems.contains("\t\(driver.image)\n")
    }

    /// The file system to make for it.
    var image: String {
        switch self {
        case .overlay, .native: "ext4"
        case .overlayOnXFS, .nativeOnXFS: "xfs"
        case .btrfs: "btrfs"
        }
    }

    func make(_ root: String) throws -> any SnapshotDriver {
        switch self {
        case .overlay, .overlayOnXFS: try OverlayDriver(root: root)
        case .btrfs: try BtrfsDriver(root: root)
        case .native, .nativeOnXFS: NativeDriver()
        }
    }
}

/// A snapshotter with a database and a disk of its own, for one test.
struct SnapshotterWorld {
    let base: String
    let root: String
    let database: MetadataDatabase
    let snapshotter: Snapshotter
    let pool: NIOThreadPool

    static let namespace = "test"

    /// - Parameters:
    ///   - megabytes: of the file system.
    ///   - body: everything is gone when it ends, also when it throws.
    static func run(_ driver: DriverUnderTest, megabytes: Int = 400, _ body: (SnapshotterWorld) async throws -> Void) async throws {
        let base = "/tmp/berth-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        try Files.makeDirectories("\(base)/disk")
        defer { _ = try? shell("umount -l \(base)/disk 2>/dev/null; rm -rf \(base)", at: "/") }
        // Project quotas, where the kernel has them.
        let made = try shell("truncate -s \(megabytes)M image && mkfs.\(driver.image) -q image && { mount -o loop,pquota image disk || mount -o loop image disk; } 2>/dev/null", at: base)
        try #require(made.code == 0, "\(made.output)")
        let pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
        do {
            let world = try open(driver, base: base, pool: pool)
            try await body(world)
            try world.database.close()
            try await pool.shutdownGracefully()
        } catch {
            try? await pool.shutdownGracefully()
            throw error
        }
    }

    static func open(_ driver: DriverUnderTest, base: String, pool: NIOThreadPool) throws -> SnapshotterWorld {
        let database = try MetadataDatabase(path: "\(base)/metadata.db", threads: pool)
        let snapshotter = try Snapshotter(root: "\(base)/disk/s", database: database, pool: pool) { try driver.make($0) }
        return SnapshotterWorld(base: base, root: "\(base)/disk/s", database: database, snapshotter: snapshotter, pool: pool)
    }

    // MARK: In the words of the tests

    func prepare(_ key: String, on parent: String = "", labels: [String: String] = [:]) async throws -> [MountPoint] {
        try await snapshotter.prepare(key, parent: parent, labels: labels, in: Self.namespace, lease: nil)
    }

    func view(_ key: String, on parent: String) async throws -> [MountPoint] {
        try await snapshotter.view(key, parent: parent, labels: [:], in: Self.namespace, lease: nil)
    }

    func commit(_ key: String, as name: String) async throws { try await snapshotter.commit(key, as: name, labels: [:], in: Self.namespace, lease: nil) }
    func remove(_ key: String) async throws { try await snapshotter.remove(key, in: Self.namespace) }
    func usage(_ key: String) throws -> SnapshotUsage { try snapshotter.usage(key, in: Self.namespace) }

    /// A committed snapshot on top of `parent`, made by a shell script that runs in it.
    func layer(_ name: String, on parent: String = "", _ script: String) async throws {
        let mounts = try await prepare("\(name)-active", on: parent)
        try expectSuccess(try Self.shell(script, in: mounts))
        try await commit("\(name)-active", as: name)
    }

    /// What a script says about a snapshot.
    func looking(at name: String, _ script: String) async throws -> String {
        let key = "view-\(UInt32.random(in: 0 ... .max))"
        let result = try Self.shell(script, in: try await view(key, on: name))
        try await remove(key)
        return result.output
    }

    // MARK: Programs

    struct Result {
        let code: CInt
        let output: String
    }

    static func shell(_ script: String, in mounts: [MountPoint]) throws -> Result { try mounted(mounts) { try shell(script, at: $0) } }

    /// Runs `body` with the path of a mount that no namespace has.
    static func mounted<Value>(_ mounts: [MountPoint], _ body: (String) throws -> Value) throws -> Value {
        let mount = try #require(mounts.first)
        try #require(mounts.count == 1)
        let tree: OwnedFD
        if mount.type == "bind" {
            tree = try Mounts.cloneTree(mount.source, recursive: false)
        } else {
            let context = try FilesystemContext(type: mount.type)
            for option in mount.options where option != "ro" && option != "rw" {
                let parts = option.split(separator: "=", maxSplits: 1).map(String.init)
                if parts[0] == "lowerdir" {
                    for directory in parts[1].split(separator: ":") { try context.set("lowerdir+", String(directory)) }
                } else {
                    try context.set(parts[0], parts.count > 1 ? parts[1] : nil)
                }
            }
            tree = try context.mount([])
        }
        if mount.options.contains("ro") { try Mounts.change(tree, set: .readonly, name: mount.source) }
        let value = try body("/proc/\(getpid())/fd/\(tree.rawValue)")
        try tree.close()
        return value
    }

    static func shell(_ script: String, at directory: String) throws -> Result {
        let ends = try Pipes.make()
        let output = OwnedFD(adopting: ends.reading), input = OwnedFD(adopting: ends.writing)
        var request = SpawnRequest("/bin/sh", ["-c", "cd \(directory) && { \(script)\n}"])
        request.descriptors = [(1, input.rawValue), (2, input.rawValue)]
        let pid = try request.start()
        try input.close()
        let text = String(decoding: try Files.readAll(output, name: "output"), as: UTF8.self)
        var status: CInt = 0
        while waitpid(pid, &status, 0) == -1 && errno == EINTR {}
        return Result(code: status & 0x7f == 0 ? status >> 8 & 0xff : 128 + status & 0x7f, output: text)
    }
}

func expectSuccess(_ result: SnapshotterWorld.Result, sourceLocation: SourceLocation = #_sourceLocation) throws {
    try #require(result.code == 0, "\(result.output)", sourceLocation: sourceLocation)
}
