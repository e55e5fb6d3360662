import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Nothing of the host's is open in a container, and no working directory leads out of it (CVE-2024-21626, CVE-2016-9962).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct DescriptorTests {
    @Test func `a container that waits for start holds no file of the host but its FIFO`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle.shell("\(bundle.runtime) --root \(bundle.state) create -b \(bundle.path) \(id) </dev/null 7</etc/hostname").code == 0)
            let links = try bundle.shell("for fd in /proc/\(try bundle.pid(of: id))/fd/*; do [ ${fd##*/} -lt 3 ] || readlink $fd; done").lines.map(String.init)
            let foreign = links.filter { !$0.hasSuffix("/\(id)/exec.fifo") && !$0.hasPrefix("socket:") && $0 != "/" && $0 != "/proc" }
            #expect(foreign.isEmpty, "\(links)")
        }
    }

    @Test func `no number of a descriptor is a way out as working directory of run`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            for number in 3..<24 {
                try bundle.configure(["sh", "-c", "cat ../../../../etc/hostname; stat -c LEAKED ."]) { $0.process?.cwd = "/proc/self/fd/\(number)" }
                let result = try bundle.runContainer()
                #expect(result.code != 0, "fd \(number)")
                #expect(!result.output.contains("LEAKED"))
            }
        }
    }

    @Test func `nor of exec`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            for number in 3..<24 {
                let result = try bundle("exec", "--cwd", "/proc/self/fd/\(number)", id, "stat", "-c", "LEAKED", ".")
                #expect(result.code == 255, "fd \(number)")
            }
        }
    }

    @Test func `a working directory that is a link to a descriptor is refused as well`() throws {
        try RuntimeTests.withBundle(["true"], edit: { $0.process?.cwd = "/work" }) { (bundle) throws in
            for number in 3..<16 {
                _ = try bundle.shell("rm -f \(bundle.rootfs)/work; ln -s /proc/self/fd/\(number) \(bundle.rootfs)/work")
                #expect(try bundle.runContainer().code != 0, "fd \(number)")
            }
        }
    }

    @Test func `only the standard streams reach the program, in run and in exec`() throws {
        let count = ["sh", "-c", "ls /proc/self/fd | wc -l"]
        // ls itself has the directory open.
        try RuntimeTests.withBundle(count) { (bundle) throws in
            let inherited = "exec 5</etc/passwd 6</etc 9</dev/null;"
            let line = "\(inherited) \(bundle.runtime) --root \(bundle.state)"
            #expect(try bundle.shell("\(line) run -b \(bundle.path) \(bundle.id()) </dev/null").output == "4\n")
            try bundle.configure(["sleep", "100"])
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            #expect(try bundle.shell("\(line) exec \(id) sh -c 'ls /proc/self/fd | wc -l' </dev/null").output == "4\n")
        }
    }

    @Test func `preserved descriptors reach the program, others do not`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "cat <&3; ls /proc/self/fd/4 2>&1 | grep -c 'No such'"]) { (bundle) throws in
            let result = try bundle.shell("echo kept >\(bundle.base)/kept; exec 3<\(bundle.base)/kept 4</etc; \(bundle.runtime) --root \(bundle.state) run --preserve-fds 1 -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(result.output == "kept\n1\n")
        }
    }

    @Test func `hooks inherit nothing but their standard streams`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let file = "\(bundle.base)/hook"
            try bundle.configure(["true"]) {
                var hooks = RuntimeSpec.Hooks()
                hooks.createRuntime = [RuntimeSpec.Hook(path: "/bin/busybox", args: ["sh", "-c", "ls /proc/self/fd | busybox wc -l >\(file)"], env: ["PATH=/bin:/usr/bin"])]
                $0.hooks = hooks
            }
            let result = try bundle.shell("exec 7</etc; \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(result.code == 0)
            #expect(try Files.readText(file) == "4\n")
        }
    }
}
