import Glibc
package import LinuxSystem

/// The cgroup of a container: a directory in each hierarchy of the machine, all with the same path.
///
/// A value of its own, without descriptors: it can be written to state.json and used by another process later.
///
/// The order for a new container: `create`, `apply`, then the process enters. On v2 it is cloned straight into the cgroup (`openForClone`), which
/// costs nothing; entering later takes a lock over all processes of the machine that now and then makes the caller wait 20 ms. On v1 the process
/// itself calls `enter` while it has one thread, which needs no such lock either.
///
/// Spec: OCI runtime-spec, config-linux.md#cgroups-path. Kernel: cgroups(7).
package struct Cgroup: Sendable, Equatable {
    /// Its directory in one hierarchy.
    package struct Directory: Sendable, Equatable {
        package var controllers: [String]
        package var path: String
        /// Where the hierarchy is mounted: the directories between belong to nobody in particular and are not removed.
        package var mountPoint: String

        /// What of `path` stands behind the mount point.
        var pathInHierarchy: String { path.dropping(bytes: mountPoint.utf8.count) }

        package init(controllers: [String], path: String, mountPoint: String) {
            self.controllers = controllers
            self.path = path
            self.mountPoint = mountPoint
        }
    }

    package let v1: [Directory]
    package let v2: Directory?

    /// The cgroup for a path of the specification.
    ///
    /// An absolute path starts at the mounted root of each hierarchy, a relative one at the caller's own cgroup: beside it on v2, where a cgroup with
    /// processes cannot have children with controllers, below it on v1. `..` does not lead above either.
    package init(layout: CgroupLayout, path: String) throws(CgroupError) {
        let isAbsolute = path.isAbsolutePath
        let inner = RootedPath.cleaned(path)
        guard inner != "/" else {
            throw .invalid("linux.cgroupsPath: \(path.debugDescription) is the root of the hierarchies, which cannot be a container's cgroup")
        }
        let own = isAbsolute ? [] : Self.ownPaths(try CgroupFiles.read("/proc/self/cgroup"))
        func directory(_ hierarchy: CgroupLayout.Hierarchy) -> Directory {
            var base = Self.place(of: own, in: hierarchy)
            if hierarchy.controllers.isEmpty { base = base.parentPath }
            return Directory(controllers: hierarchy.controllers, path: hierarchy.mountPoint + base + inner, mountPoint: hierarchy.mountPoint)
        }
        v1 = layout.v1.map(directory)
        v2 = layout.v2.map(directory)
    }

    /// Where the caller is, seen from the part of the hierarchy that is mounted: "/a/b", empty for its root or where that is not told.
    private static func place(of own: [(controllers: [String], path: String)], in hierarchy: CgroupLayout.Hierarchy) -> String {
        guard let path = own.first(where: { $0.controllers == hierarchy.controllers })?.path else { return "" }
        let place = hierarchy.root != "/" && path.begins(with: hierarchy.root) ? path.dropping(bytes: hierarchy.root.utf8.count) : path
        return place == "/" ? "" : place
    }

    /// The one that the caller is in.
    package static func ofCaller(layout: CgroupLayout) throws(CgroupError) -> Cgroup {
        let own = ownPaths(try CgroupFiles.read("/proc/self/cgroup"))
        func directory(_ hierarchy: CgroupLayout.Hierarchy) -> Directory {
            Directory(controllers: hierarchy.controllers, path: hierarchy.mountPoint + place(of: own, in: hierarchy), mountPoint: hierarchy.mountPoint)
        }
        return Cgroup(v1: layout.v1.map(directory), v2: layout.v2.map(directory))
    }

    /// Of directories chosen by the caller.
    package init(v1: [Directory], v2: Directory?) {
        self.v1 = v1
        self.v2 = v2
    }

    /// Reads /proc/PID/cgroup: "4:memory:/path", and "0::/path" for v2.
    package static func ownPaths(_ text: String) -> [(controllers: [String], path: String)] {
        text.fields(by: "\n").compactMap { line in
            let fields = line.fields(by: ":", limit: 3, keepsEmpty: true)
            guard fields.count == 3 else { return nil }
            return (fields[1].fields(by: ",").map(String.init), String(fields[2]))
        }
    }

    /// The directory where a controller's files are, or nil if the machine does not have it on v1.
    func v1Directory(of controller: String) -> Directory? { v1.first { $0.controllers.contains(controller) } }

    /// Every directory, v2 last.
    package var directories: [Directory] { v1 + (v2.map { [$0] } ?? []) }

    /// A cgroup below this one, for a process that should be counted apart (`exec --cgroup`).
    package func child(_ path: String) throws(CgroupError) -> Cgroup {
        let inner = RootedPath.cleaned(path)
        guard inner != "/" else { return self }
        func below(_ directory: Directory) -> Directory {
            Directory(controllers: directory.controllers, path: directory.path + inner, mountPoint: directory.mountPoint)
        }
        return Cgroup(v1: v1.map(below), v2: v2.map(below))
    }

    /// The directory of v2 that a process is in; nil where it cannot be seen from here.
    package static func v2Directory(of pid: Int32, mountPoint: String) throws(CgroupError) -> Directory? {
        guard let path = ownPaths(try CgroupFiles.read("/proc/\(pid)/cgroup")).first(where: { $0.controllers.isEmpty })?.path, path != "/" else { return nil }
        let directory = Directory(controllers: [], path: mountPoint + path, mountPoint: mountPoint)
        return CgroupFiles.exists(directory.path) ? directory : nil
    }

    // MARK: Making

    /// What `create` found.
    package struct Creation: Sendable {
        /// Directories that did not exist before, in order of making: what `undo` removes.
        package fileprivate(set) var made: [String] = []
        /// The container's own directory is new in every hierarchy.
        package fileprivate(set) var isNew = true

        /// Removes what was made, as far as nobody uses it.
        package func undo() { for path in made.reversed() { rmdir(path) } }
    }

    /// Makes the directories and those above them. Existing ones are taken as they are.
    /// - Throws: after removing what it had made.
    @discardableResult
    package func create() throws(CgroupError) -> Creation {
        var creation = Creation()
        do throws(CgroupError) {
            for directory in v1 {
                let isNew = try make(directory.path, below: directory.mountPoint, isCpuset: directory.controllers.contains("cpuset"), &creation)
                creation.isNew = creation.isNew && isNew
            }
            if let v2 {
                let isNew = try makeV2(v2, &creation)
                creation.isNew = creation.isNew && isNew
            }
        } catch {
            creation.undo()
            throw error
        }
        return creation
    }

    /// Makes a v1 directory: usually one call, since the parent exists.
    private func make(_ path: String, below mountPoint: String, isCpuset: Bool, _ creation: inout Creation) throws(CgroupError) -> Bool {
        if path.withCString({ mkdir($0, 0o755) }) == 0 {
            creation.made.append(path)
            if isCpuset { try inheritCpuset(path) }
            return true
        }
        let errno = Errno(rawValue: Glibc.errno)
        switch errno {
        case .fileExists:
            if isCpuset { try inheritCpuset(path) }
            return false
        case .noSuchFile where path.utf8.count > mountPoint.utf8.count:
            _ = try make(path.parentPath, below: mountPoint, isCpuset: isCpuset, &creation)
            // Somebody else may have been faster, which is as good.
            let isMine = mkdir(path, 0o755) == 0
            if !isMine, Glibc.errno != EEXIST { throw .kernel(SystemError(call: "mkdir", subject: path, errno: Errno(rawValue: Glibc.errno))) }
            if isMine { creation.made.append(path) }
            if isCpuset { try inheritCpuset(path) }
            return isMine
        default: throw .kernel(SystemError(call: "mkdir", subject: path, errno: errno))
        }
    }

    /// A new cpuset of v1 has no processors and no memory, and nothing can run in it before it has: it gets what its parent has.
    private func inheritCpuset(_ path: String) throws(CgroupError) {
        for file in ["cpuset.cpus", "cpuset.mems"] {
            guard let present = CgroupFiles.value("\(path)/\(file)"), present.isEmpty else { continue }
            let above = path.parentPath
            // Somebody else's new directory above is as empty.
            if CgroupFiles.value("\(above)/\(file)")?.isEmpty == true { try inheritCpuset(above) }
            guard let inherited = CgroupFiles.value("\(above)/\(file)"), !inherited.isEmpty else { continue }
            try CgroupFiles.write(inherited, to: "\(path)/\(file)")
        }
    }

    /// Makes a v2 directory and passes every controller down to it.
    private func makeV2(_ directory: Directory, _ creation: inout Creation) throws(CgroupError) -> Bool {
        let controllers = CgroupFiles.value("\(directory.mountPoint)/cgroup.controllers")?.fields(by: " ").map(String.init) ?? []
        var current = directory.mountPoint, isNew = false
        for name in RootedPath.components(directory.pathInHierarchy) {
            if !controllers.isEmpty { passDown(controllers, from: current) }
            current += "/\(name)"
            isNew = current.withCString { mkdir($0, 0o755) } == 0
            if isNew {
                creation.made.append(current)
            } else if Glibc.errno != EEXIST {
                throw .kernel(SystemError(call: "mkdir", subject: current, errno: Errno(rawValue: Glibc.errno)))
            }
        }
        // Below a threaded cgroup a new one cannot hold processes until it is threaded as well.
        if CgroupFiles.value("\(current)/cgroup.type") == "domain invalid" { try? CgroupFiles.write("threaded", to: "\(current)/cgroup.type") }
        return isNew
    }

    /// Enables controllers for the children of a cgroup. One that cannot be enabled is missed later, by the limit that needs it.
    private func passDown(_ controllers: [String], from path: String) {
        let file = "\(path)/cgroup.subtree_control"
        let enabled = CgroupFiles.value(file)?.fields(by: " ").map(String.init) ?? []
        let missing = controllers.filter { !enabled.contains($0) }
        if missing.isEmpty { return }
        if (try? CgroupFiles.write(missing.map { "+\($0)" }.joined(separator: " "), to: file)) != nil { return }
        // All or nothing: try each alone.
        if missing.count > 1 { for controller in missing { try? CgroupFiles.write("+\(controller)", to: file) } }
    }

    // MARK: Entering

    /// The v2 directory, for CLONE_INTO_CGROUP. nil where there is no v2.
    package func openForClone() throws(CgroupError) -> OwnedFD? {
        guard let v2 else { return nil }
        do throws(SystemError) { return try Files.open(v2.path, O_RDONLY | O_DIRECTORY) } catch { throw .kernel(error) }
    }

    /// Moves the calling process, which must have one thread, into every hierarchy.
    /// - Parameter isInV2: it was cloned into the v2 directory.
    package func enter(isInV2: Bool) throws(CgroupError) {
        // "0" to `tasks` means the calling thread, and moving only oneself needs no lock over the others (see above).
        for directory in v1 { try CgroupFiles.write("0", to: "\(directory.path)/tasks") }
        if let v2, !isInV2 { try CgroupFiles.write("0", to: "\(v2.path)/cgroup.procs") }
    }

    /// The files for `enter`, opened beforehand for a process that will not see /sys/fs/cgroup when the time comes: it writes "0" to each. The caller
    /// owns the descriptors.
    package func openForEntering(isInV2: Bool) throws(CgroupError) -> [CInt] {
        var files: [CInt] = []
        do throws(SystemError) {
            for directory in v1 { files.append(try Files.open("\(directory.path)/tasks", O_WRONLY).release()) }
            if let v2, !isInV2 { files.append(try Files.open("\(v2.path)/cgroup.procs", O_WRONLY).release()) }
            return files
        } catch {
            for file in files { close(file) }
            throw .kernel(error)
        }
    }

    /// Moves another process with all its threads.
    package func add(_ pid: Int32) throws(CgroupError) {
        for directory in directories { try CgroupFiles.write("\(pid)", to: "\(directory.path)/cgroup.procs") }
    }

    // MARK: Processes

    /// The hierarchy that processes are looked up in: v2, or one of v1 that every container is in.
    var main: Directory? { v2 ?? v1Directory(of: "pids") ?? v1Directory(of: "devices") ?? v1.first }

    package var exists: Bool { main.map { CgroupFiles.exists($0.path) } ?? false }

    /// The processes in the cgroup and below it. A cgroup that is gone has none.
    package func processes() throws(CgroupError) -> [Int32] {
        guard let main else { return [] }
        return try Self.processes(in: main.path)
    }

    /// Those of the cgroup itself.
    package func ownProcesses() throws(CgroupError) -> [Int32] {
        guard let main else { return [] }
        return try Self.orNone { () throws(CgroupError) in try CgroupFiles.pids("\(main.path)/cgroup.procs") }
    }

    private static func processes(in path: String) throws(CgroupError) -> [Int32] {
        var found = try orNone { () throws(CgroupError) in try CgroupFiles.pids("\(path)/cgroup.procs") }
        for child in CgroupFiles.children(of: path) { found += try processes(in: "\(path)/\(child)") }
        return found
    }

    private static func orNone(_ read: () throws(CgroupError) -> [Int32]) throws(CgroupError) -> [Int32] {
        do throws(CgroupError) { return try read() } catch {
            // ENODEV: removed between opening and reading. EOPNOTSUPP: a threaded cgroup, whose processes its domain lists.
            switch error.errno {
            case .noSuchFile, .noDevice, .notSupported: return []
            default: throw error
            }
        }
    }
}
