import BerthDefaults
import Glibc
import LinuxSystem

/// Masked and read-only paths.
///
/// A file is masked with the host's /dev/null, checked to be character device 1:3, not with whatever the image has at that name; a directory with an
/// empty read-only tmpfs, one for all of them. Targets are opened inside the root without following a symlink at the end: a link would move the mask
/// somewhere harmless, so it is an error to find one below /proc or /sys and is otherwise resolved inside the root.
///
/// Spec: config-linux.md#masked-paths, #readonly-paths.
struct ProtectedPaths: ~Copyable {
    private let null: OwnedFD
    private var empty: OwnedFD?
    /// A detached mount cannot be cloned (before Linux 6.15), so the first use takes the mount itself and later ones a clone of it in its place.
    private var nullIsAttached = false

    /// To be made while the host's /dev is still in reach.
    init() throws(RuntimeError) {
        null = try during("mask paths") { () throws(SystemError) in
            let file = try Files.open("/dev/null", O_PATH | O_NOFOLLOW)
            let status = try Files.status(of: file, name: "/dev/null")
            guard status.isDevice(S_IFCHR, major: 1, minor: 3) else { throw SystemError(call: "open", subject: "/dev/null is not device 1:3", errno: .noDevice) }
            return try Mounts.cloneTree(of: file, name: "/dev/null", recursive: false)
        }
    }

    /// Hides every path that exists.
    mutating func mask(_ paths: [String], in root: borrowing RootedPath, label: String?) throws(RuntimeError) {
        var done: [String] = []
        for path in paths {
            let cleaned = RootedPath.cleaned(path)
            if done.contains(cleaned) { continue }
            done.append(cleaned)
            do throws(SystemError) { try mask(path, in: root, label: label) } catch { throw RuntimeError(error, while: "mask \(path)") }
        }
    }

    private mutating func mask(_ path: String, in root: borrowing RootedPath, label: String?) throws(SystemError) {
        guard let target = try Self.open(path, in: root) else { return }
        if try Files.status(of: target, name: path).isDirectory {
            if empty == nil {
                let fresh = try Self.makeEmpty(label: label)
                try Mounts.attach(fresh, onto: target, name: path)
                empty = consume fresh
            } else {
                try Mounts.attach(try Mounts.cloneTree(of: empty!, name: "tmpfs", recursive: false), onto: target, name: path)
            }
        } else if nullIsAttached {
            try Mounts.attach(try Mounts.cloneTree(of: null, name: "/dev/null", recursive: false), onto: target, name: path)
        } else {
            try Mounts.attach(null, onto: target, name: path)
            nullIsAttached = true
        }
    }

    /// An empty read-only filesystem with room for nothing.
    private static func makeEmpty(label: String?) throws(SystemError) -> OwnedFD {
        let context = try FilesystemContext(type: "tmpfs")
        try context.set("source", "tmpfs")
        try context.set("nr_blocks", "1")
        try context.set("nr_inodes", "1")
        if let label { try context.set("context", label) }
        return try (consume context).mount([.readonly, .nosuid, .nodev, .noexec])
    }

    /// Makes every path that exists read-only, with what is mounted below it.
    static func makeReadonly(_ paths: [String], in root: borrowing RootedPath) throws(RuntimeError) {
        for path in paths {
            try during("make \(path) read-only") { () throws(SystemError) in
                guard let target = try open(path, in: root) else { return }
                let copy = try Mounts.cloneTree(of: target, name: path, recursive: true)
                try Mounts.change(copy, set: .readonly, recursive: true, name: path)
                try Mounts.attach(copy, onto: target, name: path)
            }
        }
    }

    private static func open(_ path: String, in root: borrowing RootedPath) throws(SystemError) -> OwnedFD? {
        do throws(SystemError) { return try root.open(path, O_PATH) } catch {
            if error.errno == .noSuchFile || error.errno == .notDirectory { return nil }
            throw error
        }
    }
}
