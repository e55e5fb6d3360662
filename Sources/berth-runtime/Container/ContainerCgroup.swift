import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// The container's directories in every cgroup hierarchy of the machine.
final class ContainerCgroup {
    /// Controller list as mounted ("cpu,cpuacct", "name=systemd", "" for v2) and directory.
    struct Place {
        let controllers: String
        let directory: String
    }

    let places: [Place]

    private init(_ places: [Place]) { self.places = places }

    /// Saved paths of an existing container.
    convenience init(saved: [String: String]) {
        self.init(saved.sorted { $0.key < $1.key }.map { Place(controllers: $0.key, directory: $0.value) })
    }

    var saved: [String: String] { Dictionary(uniqueKeysWithValues: places.map { ($0.controllers, $0.directory) }) }

    /// Only v2 has anything to offer on this machine.
    var isUnified: Bool { places.count == 1 && places[0].controllers.isEmpty }

    /// Where the container's cgroups will be. `path` absolute counts from the root of each hierarchy, relative or nil from the runtime's own cgroup.
    static func plan(path: String?, id: String) throws(RuntimeError) -> ContainerCgroup {
        let own = try attempt { () throws(SystemError) in try Files.readText("/proc/self/cgroup") }
        let mounts = try attempt { () throws(SystemError) in try Files.readText("/proc/self/mountinfo") }
        var ownPaths: [String: String] = [:]
        for line in own.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            if fields.count == 3 { ownPaths[String(fields[1])] = String(fields[2]) }
        }
        var places: [Place] = []
        for line in mounts.split(separator: "\n") where line.contains(" - cgroup") {
            let fields = line.split(separator: " ")
            guard let dash = fields.firstIndex(of: "-"), dash + 3 < fields.count else { continue }
            let unified = fields[dash + 1] == "cgroup2"
            let options = fields[dash + 3].split(separator: ",").map(String.init)
            guard let key = ownPaths.keys.first(where: { unified ? $0.isEmpty : (!$0.isEmpty && $0.split(separator: ",").allSatisfy { options.contains(String($0)) }) })
            else { continue }
            let inner = path.flatMap { $0.isEmpty ? nil : $0 } ?? id
            let below = RootedPath.cleaned(inner.hasPrefix("/") ? inner : "\(ownPaths[key] ?? "/")/\(inner)")
            let place = Place(controllers: key, directory: String(fields[4]) + below)
            if !places.contains(where: { $0.controllers == key }) { places.append(place) }
        }
        return ContainerCgroup(places)
    }

    func create() throws(RuntimeError) {
        for place in places { try attempt { () throws(SystemError) in try Files.makeDirectories(place.directory) } }
    }

    /// `tasks` of each v1 directory, open for writing: a process that writes 0 there joins without the kernel's global lock on all threads. The caller owns
    /// them.
    func openTasks() throws(RuntimeError) -> [CInt] {
        var files: [CInt] = []
        for place in places {
            let name = place.controllers.isEmpty ? "cgroup.procs" : "tasks"
            let file = try attempt { () throws(SystemError) in try Files.open("\(place.directory)/\(name)", O_WRONLY) }
            files.append((consume file).release())
        }
        return files
    }

    func add(_ pid: pid_t) throws(RuntimeError) {
        for place in places { try attempt { () throws(SystemError) in try Files.write("\(pid)", toExisting: "\(place.directory)/cgroup.procs") } }
    }

    func pids() -> [pid_t] {
        var found: Set<pid_t> = []
        for place in places { Self.collect(place.directory, &found); if !found.isEmpty { break } }
        return found.sorted()
    }

    private static func collect(_ directory: String, _ found: inout Set<pid_t>) {
        guard let text = try? Files.readText("\(directory)/cgroup.procs") else { return }
        for line in text.split(separator: "\n") { if let pid = pid_t(line) { found.insert(pid) } }
        for name in (try? Files.entries(of: directory)) ?? [] where (try? Files.status("\(directory)/\(name)"))?.isDirectory == true {
            collect("\(directory)/\(name)", &found)
        }
    }

    private var freezer: Place? { places.first { $0.controllers.split(separator: ",").contains("freezer") } ?? places.first { $0.controllers.isEmpty } }

    var isFrozen: Bool {
        guard let freezer else { return false }
        if freezer.controllers.isEmpty { return (try? Files.readText("\(freezer.directory)/cgroup.freeze"))?.hasPrefix("1") == true }
        return (try? Files.readText("\(freezer.directory)/freezer.state"))?.hasPrefix("THAWED") == false
    }

    func setFrozen(_ frozen: Bool) throws(RuntimeError) {
        guard let freezer else { throw RuntimeError(.unimplemented, "no freezer cgroup") }
        try attempt { () throws(SystemError) in
            if freezer.controllers.isEmpty { return try Files.write(frozen ? "1" : "0", toExisting: "\(freezer.directory)/cgroup.freeze") }
            try Files.write(frozen ? "FROZEN" : "THAWED", toExisting: "\(freezer.directory)/freezer.state")
        }
    }

    func killAll(_ signal: CInt) {
        for pid in pids() { try? Processes.kill(pid, signal) }
    }

    func remove() throws(RuntimeError) {
        for place in places { try Self.removeTree(place.directory) }
    }

    private static func removeTree(_ directory: String) throws(RuntimeError) {
        for attempt in 0..<50 {
            if rmdir(directory) == 0 || errno == ENOENT { return }
            for name in (try? Files.entries(of: directory)) ?? [] where (try? Files.status("\(directory)/\(name)"))?.isDirectory == true {
                try removeTree("\(directory)/\(name)")
            }
            if rmdir(directory) == 0 || errno == ENOENT { return }
            usleep(useconds_t(min(1 << attempt, 20) * 500))
        }
        throw RuntimeError(.failedPrecondition, "unable to remove container's cgroup: \(directory): Device or resource busy")
    }
}
