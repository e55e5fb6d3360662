import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// The real program against the kernel: what containerd, dockerd and podman do with it.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct LifecycleTests {
    @Test func `run passes the program's exit code on and leaves nothing`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "exit 42"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-b", bundle.path, id).code == 42)
            #expect(try bundle("state", id).output.contains("container does not exist"))
            #expect(try bundle.shell("ls -d /sys/fs/cgroup/*/\(id) 2>/dev/null").output.isEmpty)
        }
    }

    @Test func `what a killed runtime left without a record is in nobody's way`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "exit 42"]) { (bundle) throws in
            let id = bundle.id()
            try Files.makeDirectories("\(bundle.state)/\(id)", mode: 0o711)
            for name in ["lock", "config.json", "state.json.1.new"] { try Files.replace("\(bundle.state)/\(id)/\(name)", with: []) }
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            #expect(try bundle("delete", "-f", id).code == 0)
            #expect(!Files.exists("\(bundle.state)/\(id)"))
        }
    }

    @Test func `the life of a container goes through its states`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            #expect(try bundle("create", "-b", bundle.path, id).output.contains("container with given ID already exists"))
            #expect(try bundle("state", id).output.contains("\"status\": \"created\""))
            #expect(try bundle("start", id).code == 0)
            #expect(try bundle("start", id).output.contains("cannot start an already running container"))
            #expect(try bundle("exec", id, "sh", "-c", "exit 3").code == 3)
            #expect(try bundle("pause", id).code == 0)
            #expect(try bundle("exec", id, "true").code == 255)
            #expect(try bundle("resume", id).code == 0)
            #expect(try bundle("delete", id).output.contains("that is not stopped: running"))
            #expect(try bundle("kill", id, "KILL").code == 0)
            #expect(try bundle("delete", "--force", id).code == 0)
            #expect(try bundle("kill", id, "KILL").output.contains("container does not exist"))
        }
    }

    @Test func `a container in the foreground can be paused and removed by others`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            let result = try bundle.shell(
                """
                R="\(bundle.runtime) --root \(bundle.state)"
                $R run -b \(bundle.path) \(id) </dev/null >/dev/null 2>&1 & P=$!
                for i in 1 2 3 4 5 6 7 8 9; do sleep 0.2; $R state \(id) 2>/dev/null | grep -q '"running"' && break; done
                timeout 5 $R pause \(id) && timeout 5 $R resume \(id) && timeout 15 $R delete --force \(id); echo code $?; wait $P
                """)
            #expect(result.output == "code 0\n")
        }
    }

    @Test func `a container without a process is created, and ends when it is started`() throws {
        try RuntimeTests.withBundle([], edit: { $0.process = nil }) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            #expect(try bundle("start", id).output.contains("the config has no process"))
            #expect(try bundle("run", "-b", bundle.path, bundle.id()).output.contains("process property must not be empty"))
        }
    }

    @Test(arguments: [
        ("nowhere", "exec: \"nowhere\": executable file not found in $PATH"),
        ("/bin/nowhere", "exec: \"/bin/nowhere\": stat /bin/nowhere: no such file or directory"),
        ("/etc", "exec: \"/etc\": is a directory"),
    ])
    func `a program that cannot be run is said in Go's words`(program: String, words: String) throws {
        try RuntimeTests.withBundle([program]) { (bundle) throws in
            let result = try bundle("create", "-b", bundle.path, bundle.id())
            #expect(result.code == 1)
            #expect(result.output.contains("unable to start container process: error during container init: \(words)"))
        }
    }

    @Test func `a runtime killed half way leaves nothing that delete cannot remove`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            for delay in ["0.002", "0.004", "0.008", "0.012", "0.016"] {
                let id = bundle.id()
                _ = try bundle.shell("\(bundle.runtime) --root \(bundle.state) create -b \(bundle.path) \(id) </dev/null >/dev/null & P=$!; sleep \(delay); kill -9 $P; wait $P")
                let result = try bundle("delete", "--force", id)
                #expect(result.code == 0, "\(result.output)")
                #expect(try bundle.shell("ls -d /sys/fs/cgroup/*/\(id) 2>/dev/null").output.isEmpty)
            }
        }
    }
}
