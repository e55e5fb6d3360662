import Glibc
import Testing

@testable import Cgroups

@Suite struct CgroupTests {
    private let mountinfo = """
        31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
        40 31 0:37 / /sys/fs/cgroup/sys\\040temd rw shared:1 - cgroup cgroup rw,xattr,name=systemd
        36 31 0:33 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
        42 31 0:33 / /elsewhere rw - cgroup cgroup rw,memory
        """

    @Test func `the layout is read from the list of mounts`() {
        let layout = CgroupLayout.parse(mountinfo: mountinfo)
        #expect(
            layout.v1 == [
                .init(controllers: ["cpu", "cpuacct"], mountPoint: "/sys/fs/cgroup/cpu,cpuacct"),
                .init(controllers: ["name=systemd"], mountPoint: "/sys/fs/cgroup/sys temd"),
                .init(controllers: ["memory"], mountPoint: "/sys/fs/cgroup/memory", root: "/docker/x"),
            ])
        #expect(layout.v2?.mountPoint == "/sys/fs/cgroup/unified")
        #expect(!layout.isUnified)
    }

    @Test func `an absolute path starts at each hierarchy and cannot leave it`() throws {
        let cgroup = try Cgroup(layout: CgroupLayout.parse(mountinfo: mountinfo), path: "/a/../../b")
        #expect(cgroup.v1.map(\.path) == ["/sys/fs/cgroup/cpu,cpuacct/b", "/sys/fs/cgroup/sys temd/b", "/sys/fs/cgroup/memory/b"])
        #expect(cgroup.v2?.path == "/sys/fs/cgroup/unified/b")
        #expect(throws: CgroupError.self) { try Cgroup(layout: CgroupLayout.parse(mountinfo: mountinfo), path: "/..") }
    }

    @Test func `a subgroup stays below`() throws {
        let cgroup = try Cgroup(layout: CgroupLayout.parse(mountinfo: mountinfo), path: "/a")
        #expect(try cgroup.child("../x").v2?.path == "/sys/fs/cgroup/unified/a/x")
    }

    /// A directory in place of a hierarchy: what is made and written can be looked at, the rest is the kernel's.
    private func withFakeHierarchy(_ body: (CgroupLayout, String) throws -> Void) throws {
        var template = Array("/tmp/berth-test-\(getpid())-XXXXXX".utf8CString)
        let root = String(cString: try #require(mkdtemp(&template)))
        defer { remove(root) }
        for name in ["cpuset", "pids"] { mkdir("\(root)/\(name)", 0o755) }
        try body(
            CgroupLayout(v1: ["cpuset", "pids"].map { .init(controllers: [$0], mountPoint: "\(root)/\($0)") }), root)
    }

    private func remove(_ path: String) {
        for name in CgroupFiles.children(of: path) { remove("\(path)/\(name)") }
        for name in ["pids.max", "cgroup.procs"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    @Test(arguments: [
        (Int64(1024), Int64?.none, "linux.resources.memory.limit: rejecting memory limit 1024 < usage 4096"),
        (1024, 2048, "linux.resources.memory.swap: rejecting memory+swap limit 2048 < usage 4096"), (8192, 16384, ""), (-1, -1, ""),
    ])
    func `a limit below what is used is refused where that is asked for`(limit: Int64, swap: Int64?, problem: String) throws {
        var template = Array("/tmp/berth-test-\(getpid())-XXXXXX".utf8CString)
        let root = String(cString: try #require(mkdtemp(&template)))
        let cgroup = try Cgroup(layout: CgroupLayout(v1: [], v2: .init(controllers: [], mountPoint: root)), path: "/x")
        mkdir("\(root)/x", 0o755)
        defer {
            unlink("\(root)/x/memory.current")
            rmdir("\(root)/x")
            rmdir(root)
        }
        let file = try #require(fopen("\(root)/x/memory.current", "w"))
        fputs("4096\n", file)
        fclose(file)
        var limits = CgroupLimits()
        limits.memory.limit = limit
        limits.memory.swap = swap
        try cgroup.checkUse(limits)
        limits.memory.checkBeforeUpdate = true
        if problem.isEmpty { try cgroup.checkUse(limits) } else { #expect { try cgroup.checkUse(limits) } throws: { "\($0)" == problem } }
    }

    @Test func `making tells what is new and can be undone`() throws {
        try withFakeHierarchy { layout, root in
            let cgroup = try Cgroup(layout: layout, path: "/docker/x")
            let first = try cgroup.create()
            #expect(first.isNew)
            #expect(first.made == ["\(root)/cpuset/docker", "\(root)/cpuset/docker/x", "\(root)/pids/docker", "\(root)/pids/docker/x"])
            #expect(try !cgroup.create().isNew)
            #expect(cgroup.exists)
            first.undo()
            #expect(!cgroup.exists)
            #expect(CgroupFiles.children(of: "\(root)/pids").isEmpty)
        }
    }

    @Test func `a missing controller is named with the value it should have had`() throws {
        try withFakeHierarchy { layout, root in
            let cgroup = try Cgroup(layout: layout, path: "/x")
            try cgroup.create()
            var limits = CgroupLimits()
            limits.memory.limit = 5
            #expect(message(cgroup, limits) == "memory.limit_in_bytes cannot be set to 5: this machine has no memory controller")
            limits = CgroupLimits()
            limits.pids = 3
            #expect(message(cgroup, limits) == "pids.max cannot be set to 3: the requested cgroup controller `pids` is not available at \(root)/pids/x")
        }
    }

    private func message(_ cgroup: Cgroup, _ limits: CgroupLimits) -> String {
        do throws(CgroupError) {
            try cgroup.apply(limits, isNew: true)
            return "accepted"
        } catch { return error.description }
    }
}
