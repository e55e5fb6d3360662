import Cgroups
import SystemdBus
import Testing

@testable import berth_runtime

@Suite struct SystemdUnitTests {
    @Test(arguments: [
        ("", "berth-web.scope", "system.slice"), ("machine.slice:docker:abc", "docker-abc.scope", "machine.slice"), ("::abc", "-abc.scope", "system.slice"),
        ("a.slice:x:kubepods-pod1.slice", "kubepods-pod1.slice", "a.slice"),
    ])
    func `cgroupsPath names slice and unit`(path: String, name: String, slice: String) throws {
        #expect(try SystemdUnit.parse(path, id: "web", isUser: false) == SystemdUnit(name: name, slice: slice, isUser: false))
    }

    @Test func `a user's containers are in user.slice`() throws { #expect(try SystemdUnit.parse(nil, id: "web", isUser: true).slice == "user.slice") }

    @Test(arguments: ["/foo/bar", "a.slice:b", "a.slice:b:c:d"])
    func `a path of the other driver is refused in runc's words`(path: String) {
        let error = #expect(throws: RuntimeError.self) { try SystemdUnit.parse(path, id: "web", isUser: false) }
        #expect(error?.message == "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"\(path)\" instead")
    }

    @Test(arguments: ["a/b.slice:p:n", "a--b.slice:p:n", "-a.slice:p:n", ".slice:p:n", "a.scope:p:n", "a.slice:p:../n", "a.slice:p q:n", "a.slice:p:", "a.slice:p:n\n"])
    func `names that systemd would not take never reach it`(path: String) {
        #expect(throws: RuntimeError.self) { try SystemdUnit.parse(path, id: "web", isUser: false) }
    }

    @Test func `dashes in a slice are directories`() throws {
        #expect(try SystemdUnit.directory(ofSlice: "a-b-c.slice") == "/a.slice/a-b.slice/a-b-c.slice")
        #expect(try SystemdUnit.directory(ofSlice: "-.slice") == "")
    }
}

@Suite struct SystemdPropertiesTests {
    private func names(_ list: [SystemdManager.Property]) -> [String] { list.map(\.name) }

    private func value(_ name: String, _ list: [SystemdManager.Property]) -> BusValue? { list.last { $0.name == name }?.value }

    @Test func `limits become properties of v2`() throws {
        var limits = CgroupLimits()
        limits.memory.limit = 64 << 20
        limits.memory.swap = 96 << 20
        limits.memory.reservation = 1 << 20
        limits.cpu.shares = 1024
        limits.cpu.cpus = "0-1,9"
        limits.pids = 7
        let list = try SystemdProperties.make(&limits, isUnified: true, version: 252)
        #expect(value("MemoryMax", list) == .uint64(64 << 20) && value("MemorySwapMax", list) == .uint64(32 << 20) && value("MemoryLow", list) == .uint64(1 << 20))
        #expect(value("CPUWeight", list) == .uint64(100) && value("TasksMax", list) == .uint64(7))
        #expect(value("AllowedCPUs", list) == .array(of: "y", [.byte(3), .byte(2)]))
    }

    @Test func `v1 has its own names`() throws {
        var limits = CgroupLimits()
        limits.memory.limit = -1
        limits.cpu.shares = 512
        limits.blockIO.weight = 100
        #expect(names(try SystemdProperties.make(&limits, isUnified: false, version: 252)) == ["MemoryLimit", "CPUShares", "BlockIOWeight"])
    }

    @Test(arguments: [
        (Int64(4000), UInt64(10_000), UInt64(400_000), Int64(4000)), (45_001, 100_000, 460_000, 46_000), (-1, 50_000, .max, -1), (.max, 1, .max, .max),
    ])
    func `a quota is rounded up to percents, in the file too`(quota: Int64, period: UInt64, perSecond: UInt64, file: Int64) throws {
        var limits = CgroupLimits()
        (limits.cpu.quota, limits.cpu.period) = (quota, period)
        let list = try SystemdProperties.make(&limits, isUnified: true, version: 252)
        #expect(value("CPUQuotaPerSecUSec", list) == .uint64(perSecond) && value("CPUQuotaPeriodUSec", list) == .uint64(period))
        #expect(limits.cpu.quota == file)
    }

    @Test func `an old systemd is not told what it does not know`() throws {
        var limits = CgroupLimits()
        (limits.cpu.quota, limits.cpu.period, limits.cpu.cpus, limits.cpu.idle) = (1000, 100_000, "0", 1)
        #expect(names(try SystemdProperties.make(&limits, isUnified: true, version: 239)) == ["CPUQuotaPerSecUSec"])
    }

    @Test func `devices are what is allowed, everything else is not`() throws {
        var limits = CgroupLimits()
        limits.devices = [DeviceRule(allow: false), DeviceRule(allow: true, kind: .character, major: 1, minor: 3, access: [.read, .write]), DeviceRule(allow: true, kind: .block, major: 8)]
        let list = try SystemdProperties.make(&limits, isUnified: true, version: 252)
        #expect(value("DevicePolicy", list) == .string("strict"))
        #expect(
            value("DeviceAllow", list)
                == .array(of: "(ss)", [.structure([.string("/dev/char/1:3"), .string("rw")]), .structure([.string("block-8"), .string("rwm")])]))
    }

    @Test func `files of v2 become properties as well`() throws {
        var limits = CgroupLimits()
        limits.unified = ["cpu.max": "45001 100000", "memory.high": "max", "memory.oom.group": "1", "pids.max": "9"]
        let list = try SystemdProperties.make(&limits, isUnified: true, version: 252)
        #expect(Set(names(list)) == ["CPUQuotaPeriodUSec", "CPUQuotaPerSecUSec", "MemoryHigh", "TasksMax"])
        #expect(limits.unified["cpu.max"] == "46000 100000")
        limits.unified = ["memory.max": "lots"]
        #expect(throws: RuntimeError.self) { try SystemdProperties.make(&limits, isUnified: true, version: 252) }
    }
}

@Suite struct SystemdAnnotationsTests {
    private let prefix = "org.systemd.property."

    @Test(arguments: [
        ("TimeoutStopSec", "2", "TimeoutStopUSec", BusValue.uint64(2_000_000)), ("TimeoutStopUSec", "uint64 5", "TimeoutStopUSec", .uint64(5)),
        ("CollectMode", "'inactive-or-failed'", "CollectMode", .string("inactive-or-failed")), ("SendSIGHUP", "true", "SendSIGHUP", .boolean(true)),
        ("After", "['a.service', 'b.service']", "After", .strings(["a.service", "b.service"])), ("KillSignal", "int32 9", "KillSignal", .int32(9)),
    ])
    func `a property that concerns the unit alone is passed on`(name: String, text: String, passed: String, value: BusValue) throws {
        #expect(try SystemdAnnotations.properties([prefix + name: text, "other": "x"]) == [.init(passed, value)])
    }

    @Test(arguments: [
        ("SuccessAction", "'poweroff-force'"), ("FailureAction", "'reboot'"), ("Wants", "['poweroff.target']"), ("Requires", "['x.service']"), ("OnFailure", "['x.service']"),
        ("Slice", "'init.scope'"), ("PIDs", "[uint32 1]"), ("Delegate", "false"), ("ExecStartPre", "'x'"), ("DevicePolicy", "'auto'"), ("DeviceAllow", "[]"), ("", "1"),
        ("Description", "'a\nSuccessAction=b'"), ("Description", "plain"), ("CollectMode", "'a', 'b'"), ("TimeoutStopSec", "99999999999999999999"), ("CPUWeight", "-1"),
    ])
    func `what acts on the host, and what is no value, is refused`(name: String, text: String) {
        let error = #expect(throws: RuntimeError.self) { try SystemdAnnotations.properties([prefix + name: text]) }
        #expect(error?.message.hasPrefix("annotations: \(prefix)\(name): ") == true)
    }
}
