import Cgroups
import Glibc
import LinuxSystem
import Testing

private let isRoot = geteuid() == 0

/// Against the machine's own hierarchies, whatever their layout.
@Suite(.enabled(if: isRoot, "needs root"), .serialized) struct CgroupRootTests {
    private func withCgroup(_ body: (Cgroup) throws -> Void) throws {
        let cgroup = try Cgroup(layout: .current(), path: "/berth-test-\(getpid())/x")
        let creation = try cgroup.create()
        #expect(creation.isNew)
        defer {
            try? cgroup.signal(SIGKILL)
            try? cgroup.remove()
            creation.undo()
        }
        try body(cgroup)
        try cgroup.signal(SIGKILL)
        while waitpid(-1, nil, WNOHANG) > 0 {}
        try cgroup.remove()
        #expect(!cgroup.exists)
    }

    /// A child that sleeps in the cgroup.
    private func sleeper(in cgroup: Cgroup) throws -> Int32 {
        var pid: Int32 = 0
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sleep"), strdup("100"), nil]
        defer { for argument in arguments { free(argument) } }
        #expect(posix_spawn(&pid, "/bin/sleep", nil, nil, arguments, environ) == 0)
        try cgroup.add(pid)
        return pid
    }

    @Test func `a process enters, is listed, frozen, thawed and killed`() throws {
        try withCgroup { cgroup in
            let pid = try sleeper(in: cgroup)
            #expect(try cgroup.processes() == [pid])
            try cgroup.freeze()
            #expect(cgroup.isFrozen)
            try cgroup.thaw()
            #expect(!cgroup.isFrozen)
            try cgroup.freeze()
            try cgroup.signal(SIGKILL)
            var status: Int32 = 0
            #expect(waitpid(pid, &status, 0) == pid)
            #expect(status & 0x7F == SIGKILL)
        }
    }

    @Test func `limits are set, read back and changed`() throws {
        try withCgroup { cgroup in
            var limits = CgroupLimits()
            limits.memory.limit = 64 << 20
            limits.pids = 10
            limits.cpu.shares = 512
            limits.cpu.quota = 50_000
            limits.cpu.period = 100_000
            try cgroup.apply(limits, isNew: true)
            #expect(cgroup.statistics().memory?.usage.limit == 64 << 20)
            #expect(cgroup.statistics().pids?.limit == 10)
            // Raising both needs the other order than lowering them.
            for (limit, swap) in [(128, 256), (32, 64), (512, 1024)] as [(Int64, Int64)] {
                limits.memory.limit = limit << 20
                limits.memory.swap = swap << 20
                try cgroup.apply(limits, isNew: false)
                #expect(cgroup.statistics().memory?.usage.limit == UInt64(limit) << 20)
            }
        }
    }

    @Test func `only listed devices can be opened`() throws {
        try withCgroup { cgroup in
            var limits = CgroupLimits()
            limits.devices = [.init(allow: true, kind: .character, major: 1, minor: 3)]
            try cgroup.apply(limits, isNew: true)
            func canRead(_ path: String) throws -> Bool {
                let child = start(cgroup, path)
                var status: Int32 = 0
                #expect(waitpid(child, &status, 0) == child)
                return status == 0
            }
            #expect(try canRead("/dev/null"))
            #expect(try !canRead("/dev/zero"))
            limits.devices = [.init(allow: true)]
            try cgroup.apply(limits, isNew: false)
            #expect(try canRead("/dev/zero"))
        }
    }

    /// A shell that waits until it is in the cgroup and then reads one byte of the device.
    private func start(_ cgroup: Cgroup, _ device: String) -> Int32 {
        var pipe: [Int32] = [0, 0]
        #expect(Glibc.pipe(&pipe) == 0)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, pipe[0], 0)
        posix_spawn_file_actions_addclose(&actions, pipe[1])
        let script = "read line; head -c1 \(device) >/dev/null 2>&1 </dev/null"
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup("sh"), strdup("-c"), strdup(script), nil]
        var pid: Int32 = 0
        #expect(posix_spawn(&pid, "/bin/sh", &actions, nil, arguments, environ) == 0)
        for argument in arguments { free(argument) }
        try? cgroup.add(pid)
        write(pipe[1], "\n", 1)
        close(pipe[0])
        close(pipe[1])
        return pid
    }

    @Test func `an OOM kill is reported`() throws {
        try withCgroup { cgroup in
            var limits = CgroupLimits()
            limits.memory.limit = 8 << 20
            limits.memory.swap = 8 << 20
            do { try cgroup.apply(limits, isNew: true) } catch { return }  // no memory controller or no swap accounting here
            guard var watch = try OutOfMemoryWatch(cgroup) else { return }
            let before = watch.take()
            #expect(!before)
            let child = start(cgroup, "/dev/null; exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>&1")
            var status: Int32 = 0
            #expect(waitpid(child, &status, 0) == child)
            #expect(status & 0x7F == SIGKILL)
            let after = watch.take()
            #expect(after)
        }
    }
}
