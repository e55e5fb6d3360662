import Testing

@testable import Cgroups

private func lines(_ writes: [CgroupWrite]) -> [String] { writes.map { "\($0.file)=\($0.value)" } }

@Suite struct LimitsPlanTests {
    private var limits = CgroupLimits()

    @Test mutating func `v1 takes the numbers as they are`() throws {
        limits.memory.limit = 512 << 20
        limits.memory.swap = 1 << 30
        limits.memory.reservation = 1 << 20
        limits.memory.swappiness = 0
        limits.cpu.shares = 512
        limits.cpu.quota = 50_000
        limits.cpu.period = 100_000
        limits.cpu.cpus = "0-1"
        limits.pids = 7
        #expect(
            lines(try LimitsPlan.v1(limits, isNew: true)) == [
                "cpu.shares=512", "cpu.cfs_period_us=100000", "cpu.cfs_quota_us=50000", "cpuset.cpus=0-1", "memory.limit_in_bytes=536870912",
                "memory.memsw.limit_in_bytes=1073741824", "memory.soft_limit_in_bytes=1048576", "memory.swappiness=0", "pids.max=7",
            ])
    }

    @Test mutating func `v2 gets them translated`() throws {
        limits.memory.limit = 512 << 20
        limits.memory.swap = 1 << 30
        limits.memory.reservation = 1 << 20
        limits.cpu.shares = 1024
        limits.cpu.quota = -1
        limits.cpu.cpus = "0-1"
        limits.pids = -1
        limits.unified = ["memory.high": "5\n", "cpu.max": "1 2"]
        #expect(
            lines(try LimitsPlan.v2(limits, isNew: false)) == [
                "cpu.weight=100", "cpu.max=max 100000", "cpuset.cpus=0-1", "memory.swap.max=536870912", "memory.max=536870912", "memory.low=1048576",
                "pids.max=max", "cpu.max=1 2", "memory.high=5",
            ])
    }

    @Test mutating func `a new cgroup is not told what it is already`() throws {
        limits.pids = -1
        limits.cpu.shares = 0
        limits.memory.disableOOMKiller = false
        limits.memory.limit = -1
        limits.blockIO.weight = 0
        limits.networkClass = 0
        #expect(lines(try LimitsPlan.v1(limits, isNew: true)) == ["memory.limit_in_bytes=-1"])
        #expect(
            lines(try LimitsPlan.v1(limits, isNew: false)) == [
                "memory.limit_in_bytes=-1", "memory.memsw.limit_in_bytes=-1", "memory.oom_control=0", "pids.max=max", "net_cls.classid=0",
            ])
    }

    @Test mutating func `no processes at all means one`() throws {
        limits.pids = 0
        #expect(lines(try LimitsPlan.v1(limits, isNew: true)) == ["pids.max=1"])
        #expect(lines(try LimitsPlan.v2(limits, isNew: true)) == ["pids.max=1"])
    }

    @Test(arguments: [(2, 1), (1024, 100), (262_144, 10_000), (512, 59), (100, 17)] as [(UInt64, UInt64)])
    func `shares become weights on a curve through the default`(shares: UInt64, weight: UInt64) {
        #expect(LimitsPlan.weight(shares: shares) == weight)
    }

    @Test(arguments: [(10, 1), (1000, 10_000), (500, 4950)] as [(UInt16, UInt64)])
    func `block weights become io weights`(weight: UInt16, converted: UInt64) {
        #expect(LimitsPlan.ioWeight(weight) == converted)
    }

    @Test mutating func `devices of block I O are named by number`() throws {
        limits.blockIO.readBytes = [.init(major: 8, minor: 0, rate: 1000)]
        limits.blockIO.deviceWeights = [.init(major: 8, minor: 16, weight: 10)]
        #expect(lines(try LimitsPlan.v1(limits, isNew: true)) == ["blkio.weight_device=8:16 10", "blkio.throttle.read_bps_device=8:0 1000"])
        let v2 = try LimitsPlan.v2(limits, isNew: true)
        #expect(lines(v2) == ["io.bfq.weight=8:16 10", "io.max=8:0 rbps=1000"])
        #expect(v2.first.map { lines($0.alternatives) } == ["io.weight=8:16 1"])
    }

    @Test func `what cannot be is refused with the field`() {
        func message(_ change: (inout CgroupLimits) -> Void, v2: Bool = false) -> String {
            var limits = CgroupLimits()
            change(&limits)
            do {
                _ = try v2 ? LimitsPlan.v2(limits, isNew: true) : LimitsPlan.v1(limits, isNew: true)
                return "accepted"
            } catch { return error.description }
        }
        #expect(message { $0.cpu.shares = 1 } == "linux.resources.cpu.shares: 1 is below the minimum of 2")
        #expect(message { $0.memory.swappiness = 101 } == "linux.resources.memory.swappiness: 101 is not between 0 and 100")
        #expect(message { $0.memory.limit = -2 } == "linux.resources.memory.limit: -2 is neither -1 nor a size")
        #expect(message { $0.unified = ["memory.high": "1"] } == "linux.resources.unified: invalid configuration: only cgroup v2 has such files, this machine runs v1")
        #expect(message({ $0.unified = ["nothing": "1"] }, v2: true) == "linux.resources.unified: the specified key has not the form CONTROLLER.VALUE `nothing`")
        #expect(message({ $0.unified = ["../x.y": "1"] }, v2: true) == "linux.resources.unified: \"../x.y\" is no file of a cgroup")
        #expect(message({ $0.memory.swap = 5 }, v2: true) == "linux.resources.memory.swap: 5 includes the memory limit, which is not given")
        #expect(message({ $0.memory.disableOOMKiller = true }, v2: true).hasPrefix("linux.resources.memory.disableOOMKiller: "))
        #expect(message({ $0.networkClass = 1 }, v2: true).hasPrefix("linux.resources.network.classID: "))
    }
}
