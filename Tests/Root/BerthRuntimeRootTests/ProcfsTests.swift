import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// What the runtime writes into procfs reaches the kernel and nothing else (CVE-2025-52881, CVE-2022-0811, CVE-2019-16884).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct ProcfsTests {
    @Test func `a procfs of the image is not what sysctls are written to`() throws {
        // /proc is a directory of the image with files of its own; the value must be the kernel's afterwards.
        try RuntimeTests.withBundle(["sh", "-c", "mount -t proc proc /tmp && cat /tmp/sys/net/ipv4/ip_forward"]) { (bundle) throws in
            _ = try bundle.shell("mkdir -p \(bundle.rootfs)/proc/sys/net/ipv4; echo untouched >\(bundle.rootfs)/proc/sys/net/ipv4/ip_forward")
            try bundle.configure(["cat", "/proc/sys/net/ipv4/ip_forward"]) {
                $0.linux?.sysctl = ["net.ipv4.ip_forward": "1"]
                $0.mounts.removeAll { $0.destination == "/proc" }
                $0.linux?.maskedPaths = []
                $0.linux?.readonlyPaths = []
            }
            #expect(try bundle.runContainer().output == "untouched\n")
            try bundle.configure(["cat", "/proc/sys/net/ipv4/ip_forward"]) { $0.linux?.sysctl = ["net.ipv4.ip_forward": "1"] }
            #expect(try bundle.runContainer().output == "1\n")
        }
    }

    @Test(arguments: [
        ("kernel.core_pattern", "|/bin/evil"), ("kernel.modprobe", "/bin/evil"), ("vm.overcommit_memory", "1"), ("fs.file-max", "1"), ("kernel.hostname", "evil"),
        ("net/../kernel/core_pattern", "|/bin/evil"), ("net..kernel.core_pattern", "x"), ("kernel.shm_rmid_forced", "1+kernel.core_pattern=|/bin/evil\nkernel.core_pattern=x"), ("", "1"),
    ])
    func `a sysctl that is not of the container's namespaces is refused before anything starts`(name: String, value: String) throws {
        let before = try Files.readText("/proc/sys/kernel/core_pattern")
        try RuntimeTests.withBundle(["true"], edit: { $0.linux?.sysctl = [name: value] }) { (bundle) throws in
            let result = try bundle.runContainer()
            #expect(result.code == 1)
            #expect(result.output.contains("sysctl"))
        }
        #expect(try Files.readText("/proc/sys/kernel/core_pattern") == before)
    }

    @Test func `sysctls of a namespace that is the host's are refused`() throws {
        for (kind, name) in [("network", "net.ipv4.ip_forward"), ("ipc", "kernel.msgmax"), ("uts", "kernel.domainname")] {
            let edit: (inout RuntimeSpec) -> Void = { spec in
                spec.linux?.namespaces.removeAll { $0.type == kind }
                spec.hostname = nil
                spec.linux?.sysctl = [name: "1"]
            }
            try RuntimeTests.withBundle(["true"], edit: edit) { (bundle) throws in
                #expect(try bundle.runContainer().output.contains("sysctl \"\(name)\" "))
            }
        }
    }

    @Test(arguments: ["/proc", "/proc/sys", "/proc/self/attr"])
    func `a volume over procfs does not take the labels and limits along`(destination: String) throws {
        try RuntimeTests.withBundle(["cat", "/proc/self/oom_score_adj"]) { (bundle) throws in
            _ = try bundle.shell("mkdir -p \(bundle.base)/fake/self/attr; echo fake >\(bundle.base)/fake/self/oom_score_adj")
            try bundle.configure(["true"]) {
                $0.process?.oomScoreAdj = 500
                $0.mounts.append(RuntimeSpec.Mount(destination: destination, type: "bind", source: "\(bundle.base)/fake", options: ["bind"]))
            }
            _ = try bundle.runContainer()
            #expect(try Files.readText("\(bundle.base)/fake/self/oom_score_adj") == "fake\n")
        }
    }

    @Test func `environment and arguments of another user's process cannot be read through the container's init`() throws {
        let edit: (inout RuntimeSpec) -> Void = { $0.process?.env.append("SECRET=hidden") }
        try RuntimeTests.withBundle(["sleep", "100"], edit: edit) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            let pid = try bundle.pid(of: id)
            let result = try bundle.shell("setpriv --reuid 65534 --regid 65534 --clear-groups cat /proc/\(pid)/environ")
            #expect(result.code != 0)
            #expect(!result.output.contains("hidden"))
        }
    }
}
