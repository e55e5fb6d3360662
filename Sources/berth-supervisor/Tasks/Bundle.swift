import BerthDefaults
import FoundationEssentials
import Glibc
import JSONCodec
import LinuxSystem

/// Which container of which namespace.
struct TaskKey: Hashable, Sendable, CustomStringConvertible {
    let namespace: String
    let id: String

    var description: String { "\(namespace)/\(id)" }
}

/// A task's directory below the state root: what its shim is started in, and all that has to be known to find the shim again.
///
/// ```
/// shims/<namespace>/<id>/config.json         the OCI spec
///                        rootfs/             where the shim mounts the root filesystem
///                        work/               for a stock shim's own files; CRIU logs there
///                        log                 FIFO: the shim's own messages
///                        bootstrap.json      how to reach the shim: {"version":2,"address":"unix:///…","protocol":"ttrpc"}
///                        shim-binary-path    which program the shim is, for `delete`
///                        exit-published      the exit of the container's first process has been published
/// ```
///
/// Shims add files of theirs (sockets, pid, log.json). All of it is on a tmpfs and goes with the task.
struct Bundle: Sendable {
    let key: TaskKey
    let path: String

    init(key: TaskKey, root: String) {
        self.key = key
        path = "\(root)/\(key.namespace)/\(key.id)"
    }

    /// Makes the directory with spec, rootfs and log.
    /// - Parameter spec: `config.json`, as the client wrote it.
    func create(spec: [UInt8]) throws {
        try Files.makeDirectories(String(path.prefix(path.utf8.count - key.id.utf8.count - 1)), mode: 0o711)
        do throws(SystemError) { try Files.makeDirectory(path, mode: 0o700) } catch {
            guard error.errno == .fileExists else { throw error }
            // A bundle without a task: what a kill in the middle of a creation left.
            try remove()
            try Files.makeDirectory(path, mode: 0o700)
        }
        do {
            try Files.makeDirectory("\(path)/rootfs", mode: 0o711)
            try Files.makeDirectory("\(path)/work", mode: 0o711)
            try letMappedRootEnter(spec)
            let file = try Files.open("\(path)/config.json", O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            try Files.writeAll(spec, to: file, name: "\(path)/config.json")
            try Files.makeFIFO("\(path)/log", mode: 0o600)
        } catch {
            try? remove()
            throw error
        }
    }

    /// Root of a user namespace is nobody here: it may pass through to its own root filesystem, and nobody else may.
    private func letMappedRootEnter(_ spec: [UInt8]) throws {
        // Decoding a whole spec costs a millisecond; most have no mapping.
        guard spec.contains(text: "\"gidMappings\"") else { return }
        struct Mapped: Decodable {
            struct Linux: Decodable { var gidMappings: [Mapping]? }
            struct Mapping: Decodable { var containerID, hostID, size: UInt32 }
            var linux: Linux?
        }
        guard let mappings = try JSONDecoder().decode(Mapped.self, from: Data(spec)).linux?.gidMappings,
            let root = mappings.first(where: { $0.containerID == 0 && $0.size > 0 })
        else { return }
        try syscall("chown", on: path) { chown(path, uid_t.max, root.hostID) }
        try syscall("chmod", on: path) { chmod(path, 0o710) }
        // Up to the state root: our umask keeps these closed while nobody needs a way through.
        var parent = path[...]
        for _ in 0..<3 {
            guard let slash = parent.lastSlash, slash > parent.startIndex else { break }
            parent = parent[..<slash]
            let directory = String(parent)
            let mode = try Files.status(directory).st_mode
            try syscall("chmod", on: directory) { chmod(directory, mode & 0o7777 | 0o011) }
        }
    }

    /// Where the shim listens: `unix:///path` and which task API it speaks.
    struct Bootstrap: Codable, Sendable, Equatable {
        var version: Int
        var address: String
        var `protocol`: String

        /// What a shim prints: this as JSON, or only the address, which means version 2.
        init(output: [UInt8]) throws(SupervisorError) {
            let text = String(decoding: output, as: UTF8.self).trimmingSpaces.split(separator: "\n").last.map(String.init) ?? ""
            if let decoded = try? JSONDecoder().decode(Bootstrap.self, from: Data(text.utf8)), decoded.version >= 2 {
                self = decoded
            } else {
                (version, address, `protocol`) = (2, text, "ttrpc")
            }
            guard version <= 3 else { throw SupervisorError(.unimplemented, "shim speaks version \(version) of the task API, this supervisor up to 3") }
            guard `protocol`.lowercased() == "ttrpc" else { throw SupervisorError(.unimplemented, "shim speaks \(`protocol`), only ttrpc is supported") }
            _ = try socketPath
        }

        /// The path of the unix socket.
        var socketPath: String {
            get throws(SupervisorError) {
                let path = address.hasPrefix("unix://") ? String(address.dropFirst("unix://".count)) : address
                guard path.isAbsolutePath, path.utf8.count <= UnixSocket.longestPath else {
                    throw SupervisorError(.invalidArgument, "shim address \"\(address)\" is not a unix socket's")
                }
                return path
            }
        }
    }

    func save(binary: String) throws { try Files.replace("\(path)/shim-binary-path", with: Array(binary.utf8)) }

    func save(_ bootstrap: Bootstrap) throws { try Files.replace("\(path)/bootstrap.json", with: try JSON.encode(bootstrap)) }

    func loadBootstrap() throws -> Bootstrap { try Bootstrap(output: try Files.readAll("\(path)/bootstrap.json", limit: 64 << 10)) }

    func loadBinary() throws -> String { try Files.readText("\(path)/shim-binary-path") }

    var isExitPublished: Bool { Files.exists("\(path)/exit-published") }

    func markExitPublished() {
        do throws(SystemError) { _ = try Files.open("\(path)/exit-published", O_WRONLY | O_CREAT, mode: 0o600) } catch {
            // After a shim's death the bundle goes first.
            if error.errno == .noSuchFile { return }
            Log.warn("cannot mark an exit as published", ["container": key.id, "namespace": key.namespace, "error": "\(error)"])
        }
    }

    /// Removes the directory. Never reaches into a mounted root filesystem.
    func remove() throws {
        // A stock shim mounts in our mount namespace and may have died before unmounting.
        try? Mounts.detach("\(path)/rootfs")
        guard Files.exists(path) else { return }
        let device = try Files.status(path).st_dev
        // The namespace's directory stays: removing it would race with the next task's creation in it.
        try Self.removeTree(path, device: device)
    }

    private static func removeTree(_ path: String, device: dev_t) throws {
        for name in try Files.entries(of: path) {
            let child = "\(path)/\(name)"
            var info = stat()
            try syscall("lstat", on: child) { lstat(child, &info) }
            guard info.st_mode & S_IFMT == S_IFDIR else {
                try Files.remove(child)
                continue
            }
            guard info.st_dev == device else { throw SystemError(call: "rmdir", subject: "\(child), which is a mount point", errno: .busy) }
            try removeTree(child, device: device)
        }
        try syscall("rmdir", on: path) { rmdir(path) }
    }
}

extension [UInt8] {
    /// Whether the bytes of `text` are somewhere in these: the standard library's search of collections takes a millisecond for ten kilobytes.
    fileprivate func contains(text: StaticString) -> Bool {
        withUnsafeBytes { bytes in
            guard var position = bytes.baseAddress, bytes.count >= text.utf8CodeUnitCount else { return false }
            let end = position + bytes.count - text.utf8CodeUnitCount
            while position <= end, let found = memchr(position, CInt(text.utf8Start[0]), end - position + 1) {
                if memcmp(found, text.utf8Start, text.utf8CodeUnitCount) == 0 { return true }
                position = UnsafeRawPointer(found) + 1
            }
            return false
        }
    }
}
