import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// A container cannot overwrite the host's programs through the processes that enter it (CVE-2019-5736).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct BinaryProtectionTests {
    /// Opens /proc/PID/exe of everybody for writing, again and again. What it gets of the image is its own; what else it gets is a line of output.
    private static let attacker = "i=0; while [ $i -lt 300 ]; do i=$((i+1)); for p in /proc/[0-9]*; do [ $p = /proc/$$ ] || { echo -n >>$p/exe; } 2>/dev/null && [ $(readlink $p/exe) != /bin/busybox ] && echo WROTE $p $(readlink $p/exe); done; done; echo DONE"

    @Test func `a container with root's capabilities does not get hold of the runtime that execs into it`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.root?.readonly = false
            let all = RuntimeTests.ownCapabilities
            spec.process?.capabilities = RuntimeSpec.Capabilities(bounding: all, effective: all, permitted: all)
            spec.process?.noNewPrivileges = false
        }
        try RuntimeTests.withBundle(["sh", "-c", Self.attacker], edit: edit) { (bundle) throws in
            _ = try bundle.shell("printf '#!/proc/self/exe\\n' >\(bundle.rootfs)/bin/evil; chmod 755 \(bundle.rootfs)/bin/evil; cp \(bundle.runtime) \(bundle.base)/before")
            let id = bundle.id()
            let result = try bundle.shell(
                """
                R="\(bundle.runtime) --root \(bundle.state)"
                $R run -b \(bundle.path) \(id) </dev/null >\(bundle.base)/attack 2>&1 & P=$!
                for i in 1 2 3 4 5 6 7 8 9 10; do $R exec \(id) /bin/evil --version </dev/null >/dev/null 2>&1; $R exec \(id) /proc/self/exe --version </dev/null >/dev/null 2>&1; done
                wait $P; cat \(bundle.base)/attack; cmp \(bundle.runtime) \(bundle.base)/before && echo SAME
                """)
            #expect(result.output.contains("DONE"))
            #expect(!result.output.contains("WROTE"))
            #expect(result.output.hasSuffix("SAME\n"))
        }
    }

    @Test func `the runtime as a container's program cannot be opened for writing from inside`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            // Created: the init is still a copy of the runtime.
            let pid = try bundle.pid(of: id)
            #expect(try !Files.readLink("/proc/\(pid)/exe").contains("busybox"))
            let attempt = try bundle.shell("nsenter -t \(pid) -p -m sh -c ': >>/proc/1/exe' 2>&1")
            #expect(attempt.code != 0)
        }
    }

    @Test func `the init is not dumpable while it is the runtime's copy`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            // The files of a process that is not dumpable belong to root, and only with CAP_SYS_PTRACE they can be followed.
            let pid = try bundle.pid(of: id)
            let result = try bundle.shell("setpriv --bounding-set=-sys_ptrace --inh-caps=-sys_ptrace readlink /proc/\(pid)/exe")
            #expect(result.code != 0)
        }
    }
}
