import Glibc
import LinuxSystem
import Testing

private let isRoot = geteuid() == 0

/// The real program against the kernel. It is found beside the tests; a bundle is built from the machine's static busybox.
@Suite(.enabled(if: isRoot, "needs root"), .enabled(if: Files.exists("/bin/busybox"), "needs busybox-static"), .serialized)
struct LifecycleTests {
    private struct Result {
        let code: CInt
        let output: String
    }

    /// A bundle with one program, and a state directory, both removed afterwards with every container in them.
    private func withBundle(_ arguments: [String], edit: (String) -> String = { $0 }, _ body: (_ bundle: String, _ runtime: ([String]) throws -> Result) throws -> Void) throws {
        let base = "/tmp/berth-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] { try Files.makeDirectories("\(base)/bundle/rootfs/\(name)") }
        defer { _ = try? shell("rm -rf --one-file-system \(base)") }
        _ = try shell("cp /bin/busybox \(base)/bundle/rootfs/bin/ && for n in sh true sleep cat id readlink; do ln -s busybox \(base)/bundle/rootfs/bin/$n; done")
        let program = try Files.readLink("/proc/self/exe")
        let runtime = program.split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/berth-runtime"
        _ = try shell("\(runtime) spec -b \(base)/bundle")
        var config = try Files.readText("\(base)/bundle/config.json")
        config = config.replacing("\"terminal\": true", with: "\"terminal\": false").replacing("\"sh\"", with: arguments.map { "\"\($0)\"" }.joined(separator: ","))
        try Files.replace("\(base)/bundle/config.json", with: Array(edit(config).utf8))
        try body("\(base)/bundle") { try shell(([runtime, "--root", "\(base)/state"] + $0).map { "'\($0)'" }.joined(separator: " ") + " </dev/null") }
    }

    /// Output goes to a file: a created container holds its streams open, and a pipe would not end.
    private func shell(_ command: String) throws -> Result {
        let path = "/tmp/berth-test-\(getpid())-output"
        defer { unlink(path) }
        let status = system("{ \(command); } >\(path) 2>&1")
        return Result(code: (status >> 8) & 0xff, output: try Files.readText(path))
    }

    private func id() -> String { "berth-test-\(getpid())-\(UInt32.random(in: 0 ... .max))" }

    @Test func `run passes the program's exit code on and leaves nothing`() throws {
        try withBundle(["sh", "-c", "exit 42"]) { (bundle, runtime) throws in
            let id = id()
            #expect(try runtime(["run", "-b", bundle, id]).code == 42)
            #expect(try runtime(["state", id]).output.contains("container does not exist"))
            #expect(try shell("ls -d /sys/fs/cgroup/*/\(id) 2>/dev/null").output.isEmpty)
        }
    }

    @Test func `the life of a container goes through its states`() throws {
        try withBundle(["sleep", "100"]) { (bundle, runtime) throws in
            let id = id()
            #expect(try runtime(["create", "-b", bundle, id]).code == 0)
            #expect(try runtime(["create", "-b", bundle, id]).output.contains("container with given ID already exists"))
            #expect(try runtime(["state", id]).output.contains("\"status\": \"created\""))
            #expect(try runtime(["start", id]).code == 0)
            #expect(try runtime(["start", id]).output.contains("cannot start an already running container"))
            #expect(try runtime(["exec", id, "sh", "-c", "exit 3"]).code == 3)
            #expect(try runtime(["pause", id]).code == 0)
            #expect(try runtime(["exec", id, "true"]).code == 255)
            #expect(try runtime(["resume", id]).code == 0)
            #expect(try runtime(["delete", id]).output.contains("that is not stopped: running"))
            #expect(try runtime(["kill", id, "KILL"]).code == 0)
            #expect(try runtime(["delete", "--force", id]).code == 0)
            #expect(try runtime(["kill", id, "KILL"]).output.contains("container does not exist"))
        }
    }

    @Test(arguments: [
        ("nowhere", "exec: \"nowhere\": executable file not found in $PATH"),
        ("/bin/nowhere", "exec: \"/bin/nowhere\": stat /bin/nowhere: no such file or directory"),
        ("/etc", "exec: \"/etc\": is a directory"),
    ])
    func `a program that cannot be run is said in Go's words`(program: String, words: String) throws {
        try withBundle([program]) { (bundle, runtime) throws in
            let result = try runtime(["create", "-b", bundle, id()])
            #expect(result.code == 1)
            #expect(result.output.contains("unable to start container process: error during container init: \(words)"))
        }
    }

    @Test func `the binary that containers can reach is on a read-only mount`() throws {
        try withBundle(["sh", "-c", "exec /proc/self/exe --version"]) { (bundle, runtime) throws in
            let result = try runtime(["run", "-b", bundle, id()])
            // busybox's own link, not the runtime's.
            #expect(!result.output.contains("berth-runtime version"))
        }
        try withBundle(["/proc/self/exe", "--version"]) { (bundle, runtime) throws in
            // The init's link does lead to the runtime; it must not be writable, which opening it for writing shows from outside.
            let result = try runtime(["run", "-b", bundle, id()])
            #expect(result.output.contains("berth-runtime version") || result.code != 0)
        }
    }

    @Test(arguments: ["/proc/self/fd/5", "/proc/self/fd/7", "/proc/self/fd/8"])
    func `a leaked descriptor is no way out as working directory`(cwd: String) throws {
        try withBundle(["sh", "-c", "cat /etc/hostname"], edit: { $0.replacing("\"cwd\": \"/\"", with: "\"cwd\": \"\(cwd)\"") }) { (bundle, runtime) throws in
            #expect(try runtime(["run", "-b", bundle, id()]).code != 0)
        }
    }

    @Test func `only the standard streams reach the program`() throws {
        try withBundle(["sh", "-c", "echo $(readlink /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5)."]) { (bundle, runtime) throws in
            #expect(try runtime(["run", "-b", bundle, id()]).output.hasSuffix(".\n"))
        }
    }

    @Test func `links of the image stay inside the root`() throws {
        try withBundle(["true"]) { (bundle, runtime) throws in
            for name in ["dev", "sys", "etc"] { _ = try shell("rm -rf '\(bundle)/rootfs/\(name)' && ln -s /tmp/berth-test-outside '\(bundle)/rootfs/\(name)'") }
            _ = try runtime(["run", "-b", bundle, id()])
            #expect(!Files.exists("/tmp/berth-test-outside"))
        }
    }

    @Test func `a runtime killed half way leaves nothing that delete cannot remove`() throws {
        try withBundle(["sleep", "100"]) { (bundle, runtime) throws in
            for delay in ["0.002", "0.004", "0.008", "0.012", "0.016"] {
                let id = id()
                let program = try Files.readLink("/proc/self/exe").split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/berth-runtime"
                let state = String(bundle.dropLast("/bundle".count)) + "/state"
                _ = try shell("\(program) --root \(state) create -b \(bundle) \(id) </dev/null >/dev/null & P=$!; sleep \(delay); kill -9 $P; wait $P")
                #expect(try runtime(["delete", "--force", id]).code == 0)
                #expect(try shell("ls -d /sys/fs/cgroup/*/\(id) 2>/dev/null").output.isEmpty)
            }
        }
    }
}
