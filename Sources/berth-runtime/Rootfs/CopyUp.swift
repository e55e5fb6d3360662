import Glibc
import LinuxSystem

/// "tmpcopyup": a tmpfs starts with a copy of what it covers. Spec: config.md#linux-mount-options.
enum CopyUp {
    /// Copies the directory `path` of the root into the detached mount `target`: names, bytes, owners, modes. Symlinks stay symlinks.
    static func run(from path: String, root: borrowing RootedPath, into target: borrowing OwnedFD, proc: borrowing ProcHandle) throws(SystemError) {
        let source = try root.open(path, O_RDONLY | O_DIRECTORY)
        // Both are reached through the host's /proc, which is still in its place.
        let from = try DirectoryFD(path: "/proc/self/fd/\(source.rawValue)")
        let to = try DirectoryFD(path: "/proc/self/fd/\(target.rawValue)")
        let status = try Files.status(of: source, name: path)
        try to.setOwner(.current, uid: status.st_uid, gid: status.st_gid)
        try to.setMode(.current, status.st_mode & 0o7777)
        try copy(from, to)
    }

    private static func copy(_ from: DirectoryFD, _ to: DirectoryFD) throws(SystemError) {
        for raw in try from.names() {
            let name = CName(raw)
            let status = try from.status(name)
            switch status.kind {
            case .directory:
                try to.makeDirectory(name, mode: status.mode)
                try copy(try from.directory(name), try to.directory(name))
            case .file: try copyFile(name, status, from, to)
            case .symbolicLink: try to.makeSymbolicLink(name, to: CName(try from.readLink(name)))
            case .characterDevice: try to.makeCharacterDevice(name, major: status.deviceMajor, minor: status.deviceMinor)
            case .blockDevice: try to.makeBlockDevice(name, major: status.deviceMajor, minor: status.deviceMinor)
            case .fifo: try to.makeFIFO(name)
            case .socket, .other: continue
            }
            try to.setOwner(name, uid: status.uid, gid: status.gid)
            if status.kind != .symbolicLink { try to.setMode(name, status.mode) }
        }
    }

    private static func copyFile(_ name: CName, _ status: FileStatus, _ from: DirectoryFD, _ to: DirectoryFD) throws(SystemError) {
        let source = try from.openFile(name)
        let target = try to.createFile(name, mode: status.mode)
        let bytes = try Files.readAll(source, name: name.description, limit: 1 << 30)
        try Files.writeAll(bytes, to: target, name: name.description)
    }
}
