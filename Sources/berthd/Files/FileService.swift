import DockerAPI
import Glibc
import LinuxSystem
import NIOCore
import OCILayer

/// The files of containers, running or not: `docker cp`, `export`, `diff`.
///
/// A container is held still (no start, no removal) while its files are put together, and while something is written into one that does not run.
struct FileService: Sendable {
    let environment: ContainerEnvironment

    /// What is written when the answer's head is out.
    typealias Producer = @Sendable (ResponseWriter) async throws -> Void

    // MARK: - Reading

    func status(_ nameOrID: String, path: String) async throws -> PathStat {
        let container = try environment.store.find(nameOrID)
        let files = try await container.serially { try await open(container, mounts: true) }
        return try await missing(path, nameOrID) { () throws(SystemError) in try stat(Self.absolute(path), in: files) }
    }

    func archive(_ nameOrID: String, path: String) async throws -> (PathStat, Producer) {
        let container = try environment.store.find(nameOrID)
        let files = try await container.serially { try await open(container, mounts: true) }
        let absolute = Self.absolute(path)
        let (stat, isDirectory) = try await missing(path, nameOrID) { () throws(SystemError) in
            let kind = try files.status(absolute).kind
            return (try self.stat(absolute, in: files), kind == .directory)
        }
        environment.publish("archive-path", container.record)
        return (stat, { writer in
            try await BlockingThread.run {
                let sink = ResponseSink(writer)
                let archiver = TreeArchiver(sink)
                if isDirectory {
                    try archiver.writeDirectory(try files.directory(absolute), as: stat.name == "/" ? [] : Array(stat.name.utf8))
                } else {
                    let name = Array(stat.name.utf8)
                    try archiver.write(CName(name), in: try files.directory(Self.parent(of: absolute)), as: name)
                }
                try archiver.finish()
                try sink.flush()
            }
        })
    }

    func export(_ nameOrID: String) async throws -> Producer {
        let container = try environment.store.find(nameOrID)
        let files = try await container.serially { try await open(container, mounts: false) }
        let root = try await blocking { () throws(SystemError) in try files.directory("/") }
        environment.publish("export", container.record)
        return { writer in
            try await BlockingThread.run {
                let sink = ResponseSink(writer)
                let archiver = TreeArchiver(sink)
                try archiver.writeChildren(of: root)
                try archiver.finish()
                try sink.flush()
                withExtendedLifetime(files) {}
            }
        }
    }

    func changes(_ nameOrID: String) async throws -> [FilesystemChange] {
        let container = try environment.store.find(nameOrID)
        return try await container.serially {
            let record = container.record
            let layers = try RootfsLayers(try await environment.supervisor.snapshotMounts(key: record.id, in: record.snapshotter))
            if layers.saysChanges { return try await blocking { () throws(SystemError) in try FilesystemChanges.list(layers, below: nil) } }
            // The container's files are all in one place: they are held against the image's.
            let store = ImageStoreClient(environment.supervisor).using(record.snapshotter)
            return try await store.withLease { lease in
                try await store.viewing(record.image.chainID, lease: lease) { below in
                    let image = try RootfsLayers(below)
                    return try await blocking { () throws(SystemError) in try FilesystemChanges.list(layers, below: image) }
                }
            }
        }
    }

    // MARK: - Writing

    struct WriteOptions: Sendable {
        var keepsKinds = false
        /// Everything belongs to the container's user.
        var ownedByUser = false
    }

    func extract(_ nameOrID: String, path: String, options: WriteOptions, body: RequestBody) async throws {
        let container = try environment.store.find(nameOrID)
        if container.lifecycle.isRunning {
            let files = try await container.serially { try await open(container, mounts: true, writing: true) }
            try await extract(into: files, container.record, nameOrID, path, options, body)
        } else {
            // Its layers have one writer at a time: a start waits until this is done.
            try await container.serially { try await extract(into: try await open(container, mounts: true, writing: true), container.record, nameOrID, path, options, body) }
        }
        await environment.layerSizes.forget(container.id)
        environment.publish("extract-to-dir", container.record)
    }

    private func extract(into files: ContainerFilesystem, _ record: ContainerRecord, _ nameOrID: String, _ path: String, _ options: WriteOptions, _ body: RequestBody) async throws {
        let place = try await missing(path, nameOrID) { () throws(SystemError) in try files.resolved(Self.absolute(path)) }
        guard place.status.kind == .directory else { throw DaemonError.invalid("extraction point is not a directory") }
        try Self.requireWritable(place.path, in: record)
        var settings = ArchiveExtractor.Options(keepsKinds: options.keepsKinds)
        if options.ownedByUser, let user = record.config.User, !user.isEmpty {
            let identity = try UserDatabase(root: files.root.directory).resolve(user)
            (settings.uid, settings.gid) = (identity.uid, identity.gid)
        }
        let source = BodySource()
        let settled = settings
        async let _ = source.pump(body)
        defer { source.finish() }
        // Here, and not in the container's namespace: what unpacks must be the host's program, whatever the container has made of that name.
        let archive = try await BlockingThread.run { PlainArchive(source: try ArchiveStart(source).plain()) }
        try await files.perform {
            defer { source.finish() }
            do {
                try ArchiveExtractor(archive.source, into: files, at: place.path, options: settled).extract()
                // Only the end of the packing says that what came was right.
                try (archive.source as? UnpackedSource)?.drain()
            } catch let error as UnpackedSource.Failure {
                throw DaemonError.internalError(error.description)
            } catch let error as TarError where error.code == .truncated {
                throw DaemonError.internalError("unexpected EOF")
            } catch let error as TarError {
                throw DaemonError.internalError(error.description)
            } catch let error as SystemError {
                throw DaemonError.internalError("\(error.call) \(error.subject): \(error.errno.goDescription)")
            }
        }
    }

    /// Handed from the thread that looks at its start to the one that reads the rest.
    private struct PlainArchive: @unchecked Sendable {
        let source: any ByteSource
    }

    /// - Throws: `.invalidArgument` in dockerd's words when the path is in a place that the container cannot write to.
    static func requireWritable(_ path: String, in record: ContainerRecord) throws(DaemonError) {
        let holding = record.mounts.filter { $0.kind != .tmpfs }.filter { path == $0.destination || path.hasPrefix($0.destination + "/") }.max { $0.destination.count < $1.destination.count }
        if let holding {
            guard !holding.readOnly else { throw .invalid("mounted volume is marked read-only") }
        } else if record.hostConfig.ReadonlyRootfs ?? false {
            throw .invalid("container rootfs is marked read-only")
        }
    }

    // MARK: - The files

    private func open(_ container: ManagedContainer, mounts: Bool, writing: Bool = false) async throws -> ContainerFilesystem {
        guard !container.isRemoved else { throw DaemonError.notFound("No such container: \(container.id)") }
        let record = container.record
        let placements = try await mounts ? self.placements(record) : []
        let place = environment.config.execRoot
        if record.lifecycle.isRunning {
            let base = ContainerFilesystem.Base.process(record.lifecycle.pid, containerID: record.id)
            do { return try await blocking { () throws(SystemError) in try ContainerFilesystem(base, placing: placements, at: place) } } catch let error as SystemError {
                // It ended in this moment, and the exit is not noted yet: its layers can be read.
                guard !writing, error.errno == .noSuchFile || error.errno == .noSuchProcess, !Files.exists("/proc/\(record.lifecycle.pid)/ns/mnt") else { throw error }
            }
        }
        let layers = try RootfsLayers(try await environment.supervisor.snapshotMounts(key: record.id, in: record.snapshotter))
        return try await blocking { () throws(SystemError) in
            do throws(SystemError) { return try ContainerFilesystem(.layers(layers, writable: writing), placing: placements, at: place) } catch {
                // A container that never ran has no directories yet to mount its volumes on.
                guard error.errno.rawValue == EROFS, !writing else { throw error }
                return try ContainerFilesystem(.layers(layers, writable: true), placing: placements, at: place)
            }
        }
    }

    /// Volumes, binds, and once the container has run the files that the engine writes for it.
    private func placements(_ record: ContainerRecord) async throws -> [ContainerFilesystem.Placement] {
        var list: [ContainerFilesystem.Placement] = []
        if record.lifecycle.startedAt != nil {
            for name in ContainerFiles.names where !record.mounts.contains(where: { $0.destination == "/etc/\(name)" }) {
                list.append(.init(source: "\(environment.directory(of: record.id))/\(name)", destination: "/etc/\(name)", isReadOnly: false, isRecursive: false))
            }
        }
        for mount in record.mounts where mount.kind == .bind || mount.kind == .volume {
            var source = mount.source
            if mount.kind == .volume, let name = mount.volumeName { source = try await environment.volumes.path(of: name) }
            list.append(.init(source: source, destination: mount.destination, isReadOnly: mount.readOnly, isRecursive: !mount.nonRecursive))
        }
        return list
    }

    // MARK: - Paths

    /// A client's path made absolute and clean; a slash or `/.` at its end stays, since it says that a link is to be followed.
    static func absolute(_ path: String) -> String {
        let clean = RootedPath.cleaned(path)
        guard clean != "/" else { return path.hasSuffix("/.") ? "/." : "/" }
        if path.hasSuffix("/.") || path == "." { return clean + "/." }
        return path.hasSuffix("/") ? clean + "/" : clean
    }

    /// The last component, `.` after `/.`, as Go's filepath.Base.
    static func name(of path: String) -> String {
        if path.hasSuffix("/.") { return "." }
        return RootedPath.components(path).last ?? "/"
    }

    static func parent(of path: String) -> String { "/" + RootedPath.components(path).dropLast().joined(separator: "/") }

    private func stat(_ path: String, in files: ContainerFilesystem) throws(SystemError) -> PathStat {
        let status = try files.status(path)
        let time = WallClock(seconds: status.modifiedSeconds, nanoseconds: status.modifiedNanoseconds)
        return PathStat(
            name: Self.name(of: path), size: status.size, mode: GoFileMode.value(of: status), mtime: time.rfc3339, linkTarget: status.kind == .symbolicLink ? try files.target(ofLink: path) : "")
    }

    /// As Go words it: "not a directory".

    private func missing<Value: Sendable>(_ path: String, _ container: String, _ body: @escaping @Sendable () throws(SystemError) -> Value) async throws -> Value {
        do { return try await blocking(body) } catch let error as SystemError {
            if error.errno == .noSuchFile { throw DaemonError.notFound("Could not find the file \(path) in container \(container)") }
            throw DaemonError.internalError("lstat \(Self.absolute(path)): \(error.errno.goDescription)")
        }
    }

    private func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws(SystemError) -> Value) async throws -> Value {
        try await BlockingThread.run { try body() }
    }
}

/// `os.FileMode` of Go: permission bits as in Unix, kinds and set-id bits at the top of 32 bits.
enum GoFileMode {
    static func value(of status: FileStatus) -> UInt32 {
        var mode = status.mode & 0o777
        if status.mode & 0o4000 != 0 { mode |= 1 << 23 }
        if status.mode & 0o2000 != 0 { mode |= 1 << 22 }
        if status.mode & 0o1000 != 0 { mode |= 1 << 20 }
        switch status.kind {
        case .file: break
        case .directory: mode |= 1 << 31
        case .symbolicLink: mode |= 1 << 27
        case .blockDevice: mode |= 1 << 26
        case .fifo: mode |= 1 << 25
        case .socket: mode |= 1 << 24
        case .characterDevice: mode |= 1 << 26 | 1 << 21
        case .other: mode |= 1 << 19
        }
        return mode
    }
}
