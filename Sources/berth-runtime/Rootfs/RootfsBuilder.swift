import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// Carries the mount plan out below the new root and makes it the root.
///
/// On entry the caller is in the container's new mount namespace, still at the host's root. Every target is a descriptor opened inside the root
/// (`RootedPath`), every mount a detached one attached to that descriptor, so a symlink that the image or another container places or swaps can only
/// choose among places inside the root.
struct RootfsBuilder: ~Copyable {
    let root: RootedPath
    let rootPath: String
    /// The host's /proc, for what must not be redirected by the container's.
    let proc: ProcHandle
    let ownMountNamespace: Bool
    let inUserNamespace: Bool
    let mountLabel: String?
    private var lateReadonly: [String] = []
    /// Detached clones the runtime made on the host's side, by position in the plan.
    private let prepared: [Int: CInt]
    /// Has the runtime map the ids of a mount of the plan, whose detached clone is the descriptor.
    private let mapIDs: (Int, borrowing OwnedFD) throws(SystemError) -> Void

    /// Separates the mount namespace from the host's propagation and puts the root filesystem on a mount of its own. With a shared root only the mount that
    /// holds it is separated: volumes stay peers of the host's mounts, and what the container mounts in them is seen there.
    ///
    /// Spec: config-linux.md#rootfs-mount-propagation.
    ///
    /// Without a mount namespace of its own the container's mounts are the host's too: they lie below a private mount of the root, which `delete` detaches.
    init(
        rootPath: String, propagation: String?, ownMountNamespace: Bool, inUserNamespace: Bool, mountLabel: String?, prepared: [Int: CInt],
        mapIDs: @escaping (Int, borrowing OwnedFD) throws(SystemError) -> Void
    ) throws(RuntimeError) {
        let handle = try attempt { () throws(SystemError) in try ProcHandle() }
        let tree = try during("prepare rootfs") { () throws(SystemError) in
            if ownMountNamespace {
                switch propagation {
                case "shared", "rshared": try Mounts.isolate(rootPath)
                case "private", "rprivate": try Mounts.setPropagation("/", .private, recursive: true)
                default: try Mounts.setPropagation("/", .slave, recursive: true)
                }
            }
            let tree = try Mounts.cloneTree(rootPath, recursive: true)
            try Mounts.attach(tree, onto: rootPath)
            if !ownMountNamespace { try Mounts.change(tree, propagation: .private, recursive: true, name: rootPath) }
            return tree
        }
        proc = handle
        root = RootedPath(tree)
        self.rootPath = rootPath
        self.ownMountNamespace = ownMountNamespace
        self.inUserNamespace = inUserNamespace
        self.mountLabel = mountLabel
        self.prepared = prepared
        self.mapIDs = mapIDs
    }

    /// Makes one mount of the plan.
    mutating func mount(_ planned: PlannedMount, index: Int, cgroup: borrowing CgroupMounter) throws(RuntimeError) {
        do throws(SystemError) {
            switch planned.source {
            case .remount: try remount(planned)
            case .bind(let path, let recursive): try bind(planned, index: index, path: path, recursive: recursive)
            case .filesystem(let type, let source): try filesystem(planned, type: type, source: source)
            case .cgroup: try cgroup.mount(planned, in: self)
            }
        } catch {
            throw RuntimeError(RuntimeError(error).code, "error mounting \(planned.label): \(error.call) \(error.subject): \(error.errno.description.lowercased())")
        }
        if planned.readonlyAtTheEnd { lateReadonly.append(planned.destination) }
    }

    private borrowing func bind(_ planned: PlannedMount, index: Int, path: String, recursive: Bool) throws(SystemError) {
        let tree: OwnedFD
        if let ready = prepared[index] {
            tree = OwnedFD(adopting: ready)
        } else if planned.isInside(rootPath) {
            // What earlier mounts have put there counts, and the root keeps the look-up inside.
            let inner = String(RootedPath.cleaned(path).dropFirst(rootPath.utf8.count))
            let found = try root.open(inner, O_PATH | (planned.options.sourceNoFollow ? O_NOFOLLOW : 0))
            tree = try Mounts.cloneTree(of: found, name: path, recursive: recursive)
            if planned.options.idmap { try mapIDs(index, tree) }
        } else {
            tree = try Mounts.cloneTree(path, recursive: recursive, followsLink: !planned.options.sourceNoFollow)
        }
        if planned.options.sourceNoFollow, try Files.status(of: tree, name: path).isSymlink { return try attachLink(tree, planned) }
        let isDirectory = try Files.status(of: tree, name: path).isDirectory
        let target = isDirectory ? try root.makeDirectories(planned.destination) : try root.makeFile(planned.destination)
        try attach(tree, onto: target, planned)
    }

    /// A symlink as the source goes on top of one: the target's own last component is not followed either.
    private borrowing func attachLink(_ tree: borrowing OwnedFD, _ planned: PlannedMount) throws(SystemError) {
        let place = try root.makeParent(of: planned.destination)
        do throws(SystemError) { try Files.makeSymlink(place.name, to: ".", at: place.directory) } catch { if error.errno != .fileExists { throw error } }
        try attach(tree, onto: try Files.open(place.name, O_PATH | O_NOFOLLOW, at: place.directory), planned)
    }

    private borrowing func remount(_ planned: PlannedMount) throws(SystemError) {
        let top = try root.open(planned.destination, O_PATH)
        if !planned.options.filesystem.isEmpty { try Mounts.reconfigure(top, planned.options.settings, name: planned.destination) }
        let change = planned.options.attributes
        if !change.isEmpty { try Mounts.change(top, set: change.set, clear: change.clear, name: planned.destination) }
        try finish(top, planned)
    }

    private borrowing func filesystem(_ planned: PlannedMount, type: String, source: String) throws(SystemError) {
        let isNew = type == "tmpfs" && (try? root.open(planned.destination, O_PATH | O_DIRECTORY)) == nil
        let target = try root.makeDirectories(planned.destination)
        // /proc and /sys on top of themselves would hide what masks them; the target must be a plain directory of the root.
        if type == "proc" || type == "sysfs" { try refuseSymlink(planned.destination) }
        let context = try FilesystemContext(type: type)
        try context.set("source", source)
        var hasMode = false
        for (key, value) in planned.options.settings {
            // Kernel names of the few options that mount(8) spells differently are the same here.
            try context.set(key, value)
            if key == "mode" { hasMode = true }
        }
        if let mountLabel, type == "tmpfs" || type == "mqueue" || type == "devpts" { try context.set("context", mountLabel) }
        if type == "tmpfs" && !hasMode && !isNew && planned.options.tmpcopyup == false {
            // A tmpfs over a directory of the image looks like it. Where there was none, it has the filesystem's own 1777.
            let status = try Files.status(of: target, name: planned.destination)
            try context.set("mode", String(status.st_mode & 0o7777, radix: 8))
        }
        if planned.options.attributes.set.contains(.readonly) && !Self.isPseudo(type) { try context.set("ro") }
        let attributes = planned.readonlyAtTheEnd ? planned.options.attributes.set.subtracting(.readonly) : planned.options.attributes.set
        let mount = try (consume context).mount(attributes)
        if planned.options.tmpcopyup { try CopyUp.run(from: planned.destination, root: root, into: mount, proc: proc) }
        try Mounts.attach(mount, onto: target, name: planned.destination)
        try finish(mount, planned)
    }

    private static func isPseudo(_ type: String) -> Bool {
        switch type {
        case "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs", "debugfs", "tracefs", "securityfs", "bpf": true
        default: false
        }
    }

    private borrowing func refuseSymlink(_ destination: String) throws(SystemError) {
        let found = try root.open(destination, O_PATH | O_NOFOLLOW)
        if try Files.status(of: found, name: destination).isSymlink { throw SystemError(call: "mount", subject: "\(destination) must be mounted on ordinary directory, and is a symlink", errno: .loop) }
    }

    /// Attaches a clone with the plan's attributes.
    borrowing func attach(_ tree: borrowing OwnedFD, onto target: borrowing OwnedFD, _ planned: PlannedMount) throws(SystemError) {
        var change = planned.options.attributes
        if case .bind = planned.source { change = try planned.options.forBindMount(of: try Mounts.attributes(of: tree, name: planned.destination), isLocked: inUserNamespace) }
        if planned.readonlyAtTheEnd { change.set.remove(.readonly) }
        if !change.set.subtracting(.atimeMask).isEmpty || !change.clear.isEmpty || !change.set.isEmpty {
            try Mounts.change(tree, set: change.set, clear: change.clear, name: planned.destination)
        }
        try Mounts.attach(tree, onto: target, name: planned.destination)
        try finish(tree, planned)
    }

    /// Recursive attributes and propagation, which count once the mount is in its place.
    borrowing func finish(_ mount: borrowing OwnedFD, _ planned: PlannedMount) throws(SystemError) {
        let recursive = planned.options.recursive
        if !recursive.isEmpty { try Mounts.change(mount, set: recursive.set, clear: recursive.clear, recursive: true, name: planned.destination) }
        for entry in planned.options.propagation {
            try Mounts.change(mount, propagation: entry.kind, recursive: entry.recursive, name: planned.destination)
        }
    }

    /// Makes the container's root `/`. Without a mount namespace of its own there is only chroot.
    borrowing func pivot(noPivot: Bool) throws(RuntimeError) {
        try during("change the root to \(rootPath)") { () throws(SystemError) in
            if !ownMountNamespace {
                try Files.changeRoot(root.directory, name: rootPath)
            } else if noPivot {
                try Mounts.moveRoot(root.directory, name: rootPath)
            } else {
                try Mounts.pivot(into: root.directory, name: rootPath)
            }
        }
    }

    /// The read-only parts, when everything is in its place.
    borrowing func seal(readonlyRoot: Bool, propagation: String?) throws(RuntimeError) {
        for destination in lateReadonly {
            try during("make \(destination) read-only") { () throws(SystemError) in
                let top = try root.open(destination, O_PATH)
                try Mounts.change(top, set: .readonly, name: destination)
            }
        }
        try during("make the root read-only") { () throws(SystemError) in
            if readonlyRoot { try Mounts.change(root.directory, set: .readonly, name: "/") }
            switch propagation {
            case "shared", "rshared": try Mounts.change(root.directory, propagation: .shared, recursive: propagation == "rshared", name: "/")
            case "unbindable", "runbindable": try Mounts.change(root.directory, propagation: .unbindable, recursive: propagation == "runbindable", name: "/")
            default: break
            }
        }
    }
}
