import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// What a program finds when it starts, and what its starter hears.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct LaunchDetailTests {
    @Test func `a container runs on every CPU, wherever its runtime was pinned`() throws {
        try RuntimeTests.withBundle(["grep", "Cpus_allowed:", "/proc/self/status"]) { (bundle) throws in
            let pinned = try bundle.shell("taskset 1 \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(try pinned.output == bundle.runContainer().output)
        }
    }

    @Test func `exec with a capability that is inheritable makes it ambient`() throws {
        try RuntimeTests.withBundle(["sleep", "100"], edit: { spec in
            spec.process?.capabilities = RuntimeSpec.Capabilities(
                bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_KILL"], inheritable: ["CAP_CHOWN"], permitted: ["CAP_KILL"])
        }) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            #expect(try bundle("exec", "--cap", "CAP_CHOWN", id, "grep", "CapAmb", "/proc/self/status").output == "CapAmb:\t0000000000000001\n")
        }
    }

    @Test func `an ambient capability that the kernel will refuse is a warning`() throws {
        try RuntimeTests.withBundle(["true"], edit: { $0.process?.capabilities?.ambient = ["CAP_KILL"] }) { (bundle) throws in
            let result = try bundle.runContainer()
            #expect(result.code == 0 && result.output.contains("can't raise ambient capability CAP_KILL: "))
        }
    }

    @Test func `a startContainer hook without an environment has the program's`() throws {
        try RuntimeTests.withBundle(["cat", "/tmp/said"], edit: { spec in
            spec.root?.readonly = false
            spec.process?.env.append("WHO=program")
            spec.hooks = RuntimeSpec.Hooks()
            spec.hooks?.startContainer = [RuntimeSpec.Hook(path: "/bin/sh", args: ["sh", "-c", "echo $WHO >/tmp/said"])]
        }) { (bundle) throws in #expect(try bundle.runContainer().output == "program\n") }
    }

    /// IFF_UP and IFF_LOOPBACK.
    @Test(arguments: [false, true]) func `lo is up in a new network namespace`(inUserNamespace: Bool) throws {
        try RuntimeTests.withBundle(["cat", "/sys/class/net/lo/flags"], edit: { spec in
            guard inUserNamespace else { return }
            spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
            spec.linux?.uidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 0, size: 65536)]
            spec.linux?.gidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 0, size: 65536)]
        }) { (bundle) throws in #expect(try bundle.runContainer().output == "0x9\n") }
    }

    @Test func `lo is up when createRuntime hooks look, which run in the runtime's own network namespace`() throws {
        let look = "pid=$(sed 's/.*\"pid\":\\([0-9]*\\).*/\\1/'); readlink /proc/self/ns/net >\"$SAID\"; nsenter -t $pid -n ip -o link show lo >>\"$SAID\""
        let said = "/tmp/berth-test-\(getpid())-lo"
        defer { unlink(said) }
        try RuntimeTests.withBundle(["true"], edit: { spec in
            spec.hooks = RuntimeSpec.Hooks()
            spec.hooks?.createRuntime = [RuntimeSpec.Hook(path: "/bin/sh", args: ["sh", "-c", look], env: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SAID=\(said)"])]
        }) { (bundle) throws in
            let result = try bundle.runContainer()
            #expect(result.code == 0, "\(result.output)")
            let lines = try Files.readText(said).split(separator: "\n")
            #expect(try lines.first.map(String.init) == Files.readLink("/proc/self/ns/net"))
            #expect(lines.last?.contains("UP,LOWER_UP") == true)
        }
    }

    @Test func `a createContainer hook stands in the root directory`() throws {
        try RuntimeTests.withBundle(["cat", "/tmp/said"], edit: { spec in
            spec.root?.readonly = false
            spec.hooks = RuntimeSpec.Hooks()
            spec.hooks?.createContainer = [RuntimeSpec.Hook(path: "/bin/sh", args: ["sh", "-c", "echo here >./tmp/said"])]
        }) { (bundle) throws in #expect(try bundle.runContainer().output == "here\n") }
    }

    @Test func `a hook that a signal ends is said with the signal's name`() throws {
        try RuntimeTests.withBundle(["true"], edit: { spec in
            spec.hooks = RuntimeSpec.Hooks()
            spec.hooks?.createRuntime = [RuntimeSpec.Hook(path: "/bin/sh", args: ["sh", "-c", "kill -SYS $$"])]
        }) { (bundle) throws in #expect(try bundle.runContainer().output.contains("error running createRuntime hook #0: /bin/sh: signal: bad system call")) }
    }

    @Test func `a created container can be ended by SIGTERM`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            let process = try Processes.open(try bundle.pid(of: id))
            #expect(try bundle("kill", id, "TERM").code == 0)
            #expect(try !Processes.poll([process.rawValue], timeoutMilliseconds: 10_000).isEmpty)
        }
    }

    @Test func `a program that cannot be executed is all that run prints`() throws {
        try RuntimeTests.withBundle(["/tmp/script"]) { (bundle) throws in
            _ = try bundle.shell("printf '#!/nowhere\\n' >\(bundle.rootfs)/tmp/script; chmod 755 \(bundle.rootfs)/tmp/script")
            let result = try bundle.runContainer()
            #expect(result.code == 1 && result.output == "exec /tmp/script: no such file or directory\n")
        }
    }

    @Test func `debug lines name the stages, on standard error or in the log`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let lines = ["nsexec container setup", "child process in init()", "init: closing the pipe to signal completion"]
            let printed = try bundle("--debug", "run", "-b", bundle.path, bundle.id()).output
            for line in lines { #expect(printed.contains("level=debug msg=\"\(line)\"")) }
            let log = "\(bundle.base)/log"
            #expect(try bundle("--debug", "--log", log, "--log-format", "json", "run", "-b", bundle.path, bundle.id()).output.isEmpty)
            let text = try Files.readText(log)
            for line in lines { #expect(text.contains("{\"level\":\"debug\",\"msg\":\"\(line)\"")) }
        }
    }

    @Test func `under another name the program speaks under that name`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            _ = try bundle.shell("ln -s \(bundle.runtime) \(bundle.base)/runc")
            #expect(try bundle.shell("\(bundle.base)/runc --version").output.hasPrefix("runc version "))
            #expect(try bundle.shell("\(bundle.base)/runc --root \(bundle.state) run -b /nowhere x").output.hasPrefix("runc run failed: "))
            #expect(try bundle.shell("\(bundle.base)/runc list -h").output.contains("runc list - "))
        }
    }

    @Test func `SIGKILL reaches what a container without a pid namespace has left`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "sleep 100 & echo $! >/tmp/pid; sleep 100"], edit: { spec in
            spec.root?.readonly = false
            spec.linux?.namespaces.removeAll { $0.type == "pid" }
        }) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            _ = try bundle.shell("for i in 1 2 3 4 5 6 7 8 9; do [ -s \(bundle.rootfs)/tmp/pid ] && break; sleep 0.1; done; kill -9 \(try bundle.pid(of: id))")
            let left = try Processes.open(try #require(Int32(try Files.readText("\(bundle.rootfs)/tmp/pid").split(separator: "\n")[0])))
            #expect(try bundle("kill", id, "KILL").code == 0)
            #expect(try !Processes.poll([left.rawValue], timeoutMilliseconds: 10_000).isEmpty)
        }
    }
}
