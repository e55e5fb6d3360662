import DockerAPI
import Glibc
import LinuxSystem

/// Mounts on the host that a running container needs: a `/dev/shm` that it shares with others, a part of a volume.
///
/// Nothing else of a container is mounted on the host. These are, because a mount of another mount namespace cannot be bound, and because a path inside a volume
/// would be looked up again when the container is made, through links that another container may have changed meanwhile. They lie below the exec root, which
/// only root may enter, and go when the container ends; who has bound one keeps it.
struct HostMounts: Sendable {
    private let root: String

    init(_ config: DaemonConfig) { root = "\(config.execRoot)/mounts" }

    func path(of id: String, _ name: String) -> String { "\(root)/\(id)/\(name)" }

    /// A new tmpfs; what an earlier run of the container left at this name is let go first.
    func attachMemory(_ id: String, _ name: String, sizeBytes: Int64) throws {
        let filesystem = try FilesystemContext(type: "tmpfs")
        try filesystem.set("source", "shm")
        try filesystem.set("mode", "1777")
        if sizeBytes > 0 { try filesystem.set("size", String(sizeBytes)) }
        try attach(try filesystem.mount([.nosuid, .nodev, .noexec]), id, name, isDirectory: true)
    }

    /// The file or directory at `subpath` of `directory`, found without leaving it.
    ///
    /// - Throws: `.invalidArgument` in dockerd's words when it is not there or a link leads out.
    func attachPart(_ subpath: String, of directory: String, _ id: String, _ name: String) throws {
        let found: OwnedFD
        do throws(SystemError) {
            found = try RootedPath(Files.open(directory, O_PATH | O_DIRECTORY)).openBeneath(subpath, O_PATH)
        } catch {
            if error.errno == .crossDevice {
                throw DaemonError.invalid("path concatenation escapes the base directory: base: \"\(directory)\", subpath: \"\(subpath)\"")
            }
            // Go's words for it: clients take "no such file or directory" for the exit status 127.
            throw DaemonError.invalid("cannot access path \(directory)/\(subpath): \(error.errno.goDescription)")
        }
        let isDirectory = try Files.status(of: found, name: subpath).st_mode & S_IFMT == S_IFDIR
        try attach(try Mounts.cloneTree(of: found, name: subpath, recursive: true), id, name, isDirectory: isDirectory)
    }

    private func attach(_ mount: consuming OwnedFD, _ id: String, _ name: String, isDirectory: Bool) throws {
        let path = path(of: id, name)
        release(path)
        if isDirectory {
            try Files.makeDirectories(path, mode: 0o700)
        } else {
            try Files.makeDirectories("\(root)/\(id)", mode: 0o700)
            _ = try Files.open(path, O_WRONLY | O_CREAT | O_NOFOLLOW, mode: 0o600)
        }
        try Mounts.attach(mount, onto: path)
    }

    private func release(_ path: String) {
        guard Files.exists(path) else { return }
        while (try? Mounts.detach(path)) != nil {}
        if unlink(path) != 0, rmdir(path) != 0 { Log.warning("cannot remove \(path): \(Errno(rawValue: errno))") }
    }

    /// Lets go of all mounts of the container.
    func releaseContainer(_ id: String) {
        let directory = "\(root)/\(id)"
        guard Files.exists(directory) else { return }
        for name in (try? Files.entries(of: directory)) ?? [] { release("\(directory)/\(name)") }
        do { try Files.removeEmptyDirectory(directory) } catch { Log.warning("cannot remove \(directory): \(error)") }
    }

    /// After a start of the daemon: what containers left that ended meanwhile.
    func releaseAll(except isRunning: (String) -> Bool) {
        for id in (try? Files.entries(of: root)) ?? [] where !isRunning(id) { releaseContainer(id) }
    }
}

extension ContainerService {
    /// The host path that becomes the container's `/dev/shm`: its own shared one, made here, or that of the container it joins. nil: private or none.
    ///
    /// - Throws: `.invalidArgument` when the other container does not share its IPC.
    func sharedMemory(for record: ContainerRecord) throws -> String? {
        let mounts = HostMounts(environment.config)
        let mode = record.hostConfig.IpcMode ?? ""
        if mode == "shareable" {
            try mounts.attachMemory(record.id, "shm", sizeBytes: record.hostConfig.ShmSize ?? 0)
            return mounts.path(of: record.id, "shm")
        }
        guard mode.hasPrefix("container:") else { return nil }
        let name = String(mode.dropFirst(10))
        var owner = try store.find(name).record
        // One that has joined passes on what it has.
        while let joined = owner.hostConfig.IpcMode, joined.hasPrefix("container:") { owner = try store.find(String(joined.dropFirst(10))).record }
        if owner.hostConfig.IpcMode == "host" { return "/dev/shm" }
        guard owner.hostConfig.IpcMode == "shareable" else {
            throw DaemonError.invalid("failed to join IPC namespace: container \(name): non-shareable IPC (hint: use IpcMode:shareable for the donor container)")
        }
        return mounts.path(of: owner.id, "shm")
    }

    /// Host paths of the parts of volumes, by destination.
    func volumeParts(of record: ContainerRecord, volumePaths: [String: String]) throws -> [String: String] {
        var paths: [String: String] = [:]
        let mounts = HostMounts(environment.config)
        for (index, mount) in record.mounts.enumerated() {
            guard mount.kind == .volume, let subpath = mount.subpath, !subpath.isEmpty, let volume = mount.volumeName, let path = volumePaths[volume] else { continue }
            try mounts.attachPart(subpath, of: path, record.id, "volume-\(index)")
            paths[mount.destination] = mounts.path(of: record.id, "volume-\(index)")
        }
        return paths
    }
}
