import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// What a container sees of the machine and may write of it (CVE-2023-25809, the powercap and thermal advisories, the state directory's permissions).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct VisibilityTests {
    @Test func `the default masks hide what is there`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "for p in /proc/kcore /proc/keys /proc/timer_list /proc/sched_debug; do [ -e $p ] && cat $p | wc -c; done; ls -A /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | grep -c ."]) { (bundle) throws in
            let lines = try bundle.runContainer().lines
            #expect(!lines.isEmpty)
            #expect(lines.allSatisfy { $0 == "0" })
        }
    }

    @Test func `cgroups are read-only and release_agent cannot be written`() throws {
        let attempt = "for f in $(ls -d /sys/fs/cgroup/*/release_agent /sys/fs/cgroup/*/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null); do echo 1 >$f && echo WROTE $f; done 2>/dev/null; mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo MADE; echo DONE"
        for everything in [false, true] {
            let edit: (inout RuntimeSpec) -> Void = { spec in
                if everything {
                    let all = RuntimeTests.ownCapabilities
                    spec.process?.capabilities = RuntimeSpec.Capabilities(bounding: all, effective: all, permitted: all)
                }
            }
            try RuntimeTests.withBundle(["sh", "-c", attempt], edit: edit) { (bundle) throws in #expect(try bundle.runContainer().output == "DONE\n") }
        }
    }

    @Test func `a container in a user namespace cannot write the host's cgroups`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
            spec.linux?.namespaces.removeAll { $0.type == "cgroup" }
            spec.linux?.uidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 0, size: 65536)]
            spec.linux?.gidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 0, size: 65536)]
        }
        try RuntimeTests.withBundle(["sh", "-c", "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x && echo MADE; echo DONE"], edit: edit) { (bundle) throws in
            #expect(!(try bundle.runContainer().output.contains("MADE")))
        }
    }

    @Test func `read-only paths are, and below them too`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /proc/irq/default_smp_affinity; do echo x >$f && echo WROTE $f; done 2>/dev/null; echo DONE"]) { (bundle) throws in
            #expect(try bundle.runContainer().output == "DONE\n")
        }
    }

    @Test func `other users of the host get nothing out of the state directory`() throws {
        let edit: (inout RuntimeSpec) -> Void = { $0.process?.env.append("SECRET=hidden") }
        try RuntimeTests.withBundle(["sleep", "100"], edit: edit) { (bundle) throws in
            let id = bundle.id()
            _ = try bundle.shell("chmod 755 \(bundle.base)")
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            let stranger = "setpriv --reuid 65534 --regid 65534 --clear-groups"
            for file in ["config.json", "state.json"] {
                #expect(try bundle.shell("\(stranger) cat \(bundle.state)/\(id)/\(file)").code != 0, "\(file)")
            }
            #expect(try bundle.shell("\(stranger) ls \(bundle.state)").code != 0)
            #expect(try bundle.shell("\(stranger) ls \(bundle.state)/.seccomp").code != 0)
        }
    }

    @Test func `a new network namespace has lo alone, and it is up`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "ip -o link | wc -l; ip -o addr | grep -c 127.0.0.1"]) { (bundle) throws in
            #expect(try bundle.runContainer().output == "1\n1\n")
        }
    }

    @Test func `nothing of a container is left in the host's mounts`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            #expect(try bundle.shell("grep -c '\(bundle.base)' /proc/self/mounts").output == "0\n")
        }
    }
}
