import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Capabilities, groups and no_new_privs of what runs in a container (CVE-2022-29162, 2022-24769, 2022-36109 …).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct PrivilegeTests {
    private static let few = ["CAP_KILL", "CAP_NET_BIND_SERVICE", "CAP_AUDIT_WRITE"]
    /// Bits 5, 10 and 29.
    private static let fewMask = "0000000020000420"
    private static let none = "0000000000000000"

    private static func sets(_ output: String) -> [Substring: Substring] {
        var found: [Substring: Substring] = [:]
        for line in output.split(separator: "\n") where line.hasPrefix("Cap") {
            let parts = line.split(separator: "\t")
            if parts.count == 2 { found[parts[0].dropLast()] = parts[1] }
        }
        return found
    }

    @Test(arguments: [(UInt32(0), false), (0, true), (1000, false), (1000, true)])
    func `run and exec have the config's five sets and nothing inheritable`(uid: UInt32, ambient: Bool) throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.process?.user.uid = uid
            spec.process?.capabilities = RuntimeSpec.Capabilities(
                bounding: Self.few, effective: Self.few, inheritable: ambient ? Self.few : [], permitted: Self.few, ambient: ambient ? Self.few : [])
        }
        let look = ["sh", "-c", "grep Cap /proc/self/status"]
        try RuntimeTests.withBundle(look, edit: edit) { (bundle) throws in
            func check(_ output: String) {
                let sets = Self.sets(output)
                #expect(sets["CapInh"] == (ambient ? Self.fewMask : Self.none)[...])
                #expect(sets["CapBnd"] == Self.fewMask[...])
                #expect(sets["CapAmb"] == (ambient ? Self.fewMask : Self.none)[...])
                // A user other than root keeps over execve what is ambient.
                let kept = uid == 0 || ambient ? Self.fewMask : Self.none
                #expect(sets["CapPrm"] == kept[...])
                #expect(sets["CapEff"] == kept[...])
            }
            check(try bundle.runContainer().output)
            try bundle.configure(["sleep", "100"], edit)
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            check(try bundle.run(["exec", id] + look).output)
        }
    }

    @Test func `a capability added by exec is never inheritable`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            let sets = Self.sets(try bundle("exec", "--cap", "CAP_NET_ADMIN", id, "grep", "Cap", "/proc/self/status").output)
            #expect(sets["CapInh"] == Self.none[...])
            #expect(sets["CapEff"] == "0000000020001420")
        }
    }

    @Test func `unknown capabilities are left out with a warning`() throws {
        let edit: (inout RuntimeSpec) -> Void = { $0.process?.capabilities?.bounding.append("CAP_TIME_TRAVEL") }
        try RuntimeTests.withBundle(["true"], edit: edit) { (bundle) throws in
            let result = try bundle.runContainer()
            #expect(result.code == 0)
            #expect(result.output.contains("ignoring unknown or unavailable capabilities: [CAP_TIME_TRAVEL]"))
        }
    }

    @Test func `groups are the config's and no others`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.process?.user.uid = 1000
            spec.process?.user.gid = 1001
            spec.process?.user.additionalGids = [7, 2000]
        }
        try RuntimeTests.withBundle(["sh", "-c", "id -u; id -g; grep Groups /proc/self/status"], edit: edit) { (bundle) throws in
            // The caller's own supplementary groups are no business of the container's.
            let result = try bundle.shell("setpriv --groups 4,24,27 \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(result.lines.map { $0.split(separator: "\t").last?.split(separator: " ").joined(separator: " ") ?? "" } == ["1000", "1001", "7 2000"])
        }
    }

    @Test func `no_new_privs holds for exec unless it says otherwise`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            #expect(try bundle("exec", id, "grep", "NoNewPrivs", "/proc/self/status").output == "NoNewPrivs:\t1\n")
            #expect(try bundle("exec", "--no-new-privs=false", id, "grep", "NoNewPrivs", "/proc/self/status").output == "NoNewPrivs:\t0\n")
        }
    }

    @Test func `root of a user namespace has no capability on the host`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
            spec.linux?.uidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 100_000, size: 65536)]
            spec.linux?.gidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 100_000, size: 65536)]
            spec.process?.capabilities = RuntimeSpec.Capabilities(bounding: CapabilityPlan.names, effective: CapabilityPlan.names, permitted: CapabilityPlan.names)
        }
        try RuntimeTests.withBundle(["sleep", "100"], edit: edit) { (bundle) throws in
            _ = try bundle.shell("chmod 755 \(bundle.base) \(bundle.path) \(bundle.rootfs)")
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).output == "")
            let pid = try bundle.pid(of: id)
            #expect(try Files.status("/proc/\(pid)").st_uid == 100_000)
            // What only root of the host may: a device that the group does not know, and the host's name.
            #expect(try bundle("exec", id, "mknod", "/tmp/sda", "b", "8", "0").code != 0)
            #expect(try bundle("exec", id, "sh", "-c", "echo 1 >/proc/sys/vm/drop_caches").code != 0)
        }
    }
}
