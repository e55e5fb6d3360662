import CLinux
import Glibc
import LinuxSystem

/// Freezing, killing and removing.
extension Cgroup {
    /// Stops every process of the cgroup where it is, and waits until that is so.
    /// - Throws: ETIMEDOUT when a process cannot be stopped within ten seconds (in the middle of a system call that does not end); it is thawed then.
    package func freeze() throws(CgroupError) {
        if let freezer = v1Directory(of: "freezer") { return try freezeV1(freezer.path) }
        guard let v2 else { throw noFreezer }
        try CgroupFiles.write("1", to: "\(v2.path)/cgroup.freeze")
        try wait(for: "frozen 1", in: "\(v2.path)/cgroup.events") { try? CgroupFiles.write("0", to: "\(v2.path)/cgroup.freeze") }
    }

    package func thaw() throws(CgroupError) {
        if let freezer = v1Directory(of: "freezer") { return try CgroupFiles.write("THAWED", to: "\(freezer.path)/freezer.state") }
        guard let v2 else { throw noFreezer }
        try CgroupFiles.write("0", to: "\(v2.path)/cgroup.freeze")
        try wait(for: "frozen 0", in: "\(v2.path)/cgroup.events") {}
    }

    private var noFreezer: CgroupError { .invalid(isNone ? "the container has no cgroup of its own, and cannot be frozen" : "this machine has no freezer") }

    /// Moves a process back that somebody has put into another freezer (version 1), where even SIGKILL may wait for ever.
    package func bringHome(_ pid: Int32) throws(CgroupError) {
        if let freezer = v1Directory(of: "freezer") { try CgroupFiles.write("\(pid)", to: "\(freezer.path)/cgroup.procs") }
    }

    /// Whether the cgroup is frozen or about to be. A machine without a freezer has nothing frozen.
    package var isFrozen: Bool {
        if let freezer = v1Directory(of: "freezer") {
            let state = CgroupFiles.value("\(freezer.path)/freezer.state")
            return state == "FROZEN" || state == "FREEZING"
        }
        guard let v2 else { return false }
        return CgroupFiles.value("\(v2.path)/cgroup.freeze") == "1"
    }

    /// A process that forks while v1 freezes can escape the first attempt, and the state stays FREEZING until it is looked at again.
    private func freezeV1(_ path: String) throws(CgroupError) {
        let file = "\(path)/freezer.state"
        for attempt in 0..<2000 {
            if attempt % 25 == 24 {
                // Let it run for a moment: what could not be stopped may get to a place where it can.
                try CgroupFiles.write("THAWED", to: file)
                usleep(10)
            }
            try CgroupFiles.write("FROZEN", to: file)
            // Right after the write most are stopped already; the wait grows to 10 ms.
            if attempt > 0 { usleep(min(10_000, 20 << min(attempt, 9))) }
            if CgroupFiles.value(file) == "FROZEN" { return }
        }
        try? CgroupFiles.write("THAWED", to: file)
        throw .kernel(SystemError(call: "freeze", subject: path, errno: .timedOut))
    }

    /// Waits for a line of cgroup.events, whose changes poll(2) reports.
    private func wait(for line: String, in path: String, orElse undo: () -> Void) throws(CgroupError) {
        do throws(SystemError) {
            let file = try Files.open(path)
            var watch = pollfd(fd: file.rawValue, events: Int16(POLLPRI), revents: 0)
            for _ in 0..<1000 {
                var buffer = [UInt8](repeating: 0, count: 256)
                let fd = file.rawValue
                let count = try syscall("read", on: path) { pread(fd, &buffer, 256, 0) }
                if String(decoding: buffer.prefix(count), as: UTF8.self).fields(by: "\n").contains(where: { $0 == line }) { return }
                poll(&watch, 1, 10)
            }
            undo()
            throw SystemError(call: "freeze", subject: path, errno: .timedOut)
        } catch {
            throw .kernel(error)
        }
    }

    /// Sends a signal to every process of the cgroup and below it. SIGKILL reaches also those that are made meanwhile, and frozen ones.
    package func signal(_ number: CInt) throws(CgroupError) {
        if number == SIGKILL { return try killAll() }
        for pid in try processes() { kill(pid, number) }
    }

    private func killAll() throws(CgroupError) {
        guard exists else { return }
        if let v2, (try? CgroupFiles.write("1", to: "\(v2.path)/cgroup.kill")) != nil {
            // On v1 and hybrid machines a frozen process dies only once it is thawed.
            if v1Directory(of: "freezer") != nil, isFrozen { try thaw() }
            return
        }
        // Frozen, they cannot fork while they are listed. Where that is not possible, look again until nothing is new.
        let isStopped = (try? freeze()) != nil
        for _ in 0..<(isStopped ? 1 : 10) {
            let found = try processes()
            if found.isEmpty { break }
            for pid in found { kill(pid, SIGKILL) }
        }
        if isStopped { try thaw() }
    }

    /// Removes the cgroup with everything below it. Processes must be dying; what takes a moment to go is waited for.
    /// - Throws: EBUSY when a process stays for longer than two seconds.
    package func remove() throws(CgroupError) {
        var failure: CgroupError?
        for directory in directories {
            do throws(CgroupError) { try Self.remove(directory.path) } catch { failure = failure ?? error }
        }
        if let failure { throw failure }
    }

    private static func remove(_ path: String) throws(CgroupError) {
        var delay: UInt32 = 50, waited: UInt32 = 0
        while true {
            if path.withCString({ rmdir($0) }) == 0 { return }
            let errno = Errno(rawValue: Glibc.errno)
            switch errno {
            case .noSuchFile: return
            case .busy, .notEmpty:
                // Children first. They may be a container's own, left behind.
                let children = CgroupFiles.children(of: path)
                for child in children { try remove("\(path)/\(child)") }
                if !children.isEmpty, rmdir(path) == 0 { return }
                guard waited < 2_000_000 else { throw .kernel(SystemError(call: "rmdir", subject: path, errno: errno)) }
                usleep(delay)
                waited += delay
                delay = min(delay * 2, 50_000)
            default: throw .kernel(SystemError(call: "rmdir", subject: path, errno: errno))
            }
        }
    }
}
