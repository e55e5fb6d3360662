import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Whether the tests of this folder can run: they need the kernel's cooperation, and a program without libraries for the containers.
enum RuntimeTests {
    static let isRoot = geteuid() == 0
    static let hasBusybox = Files.exists("/bin/busybox")

    /// All capabilities this machine gives to root; a virtual one may keep some.
    static var ownCapabilities: [String] {
        let line = (try? Files.readText("/proc/self/status"))?.split(separator: "\n").first { $0.hasPrefix("CapPrm:") } ?? ""
        let mask = line.split(separator: "\t").last.flatMap { UInt64($0, radix: 16) } ?? 0
        return CapabilityPlan.names.enumerated().filter { mask >> UInt64($0.offset) & 1 == 1 }.map(\.element)
    }

    /// The program under test, built beside the tests.
    static var program: String {
        get throws { try Files.readLink("/proc/self/exe").split(separator: "/").dropLast().map { "/\($0)" }.joined() + "/berth-runtime" }
    }

    /// Bundles of its own for `body`, in a directory that is removed afterwards with every container that is left.
    static func withBundle(_ arguments: [String], edit: (inout RuntimeSpec) -> Void = { _ in }, _ body: (TestBundle) throws -> Void) throws {
        let base = "/tmp/berth-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let bundle = TestBundle(base: base, runtime: try program)
        defer { bundle.remove() }
        for name in ["bin", "proc", "sys", "dev", "etc", "tmp"] { try Files.makeDirectories("\(bundle.rootfs)/\(name)") }
        let names = "sh true sleep cat id readlink ls stat grep mount umount echo touch env ps mkdir mknod head wc dd ip kill chmod hostname"
        _ = try bundle.shell("cp /bin/busybox \(bundle.rootfs)/bin/ && for n in \(names); do ln -s busybox \(bundle.rootfs)/bin/$n; done")
        try bundle.configure(arguments, edit)
        try body(bundle)
    }
}

/// A bundle with busybox, and the state directory its containers are kept in.
struct TestBundle {
    struct Result {
        let code: CInt
        /// Standard output and standard error together.
        let output: String

        var lines: [Substring] { output.split(separator: "\n") }
    }

    let base: String
    let runtime: String

    var path: String { "\(base)/bundle" }
    var rootfs: String { "\(path)/rootfs" }
    var state: String { "\(base)/state" }

    /// Writes config.json: what `spec` prints, without a terminal, with `arguments` as the program.
    func configure(_ arguments: [String], _ edit: (inout RuntimeSpec) -> Void = { _ in }) throws {
        var spec = SpecCommand.example()
        spec.process?.terminal = false
        spec.process?.args = arguments
        edit(&spec)
        try write(try ConfigLoader.encode(spec))
    }

    func write(_ config: [UInt8]) throws { try Files.replace("\(path)/config.json", with: config) }

    /// A container's name that no other test has.
    func id() -> String { "berth-test-\(getpid())-\(UInt32.random(in: 0 ... .max))" }

    /// Runs the runtime with its state in this directory.
    func callAsFunction(_ arguments: String...) throws -> Result { try run(arguments) }

    func run(_ arguments: [String]) throws -> Result {
        try shell(([runtime, "--root", state] + arguments).map { "'\($0)'" }.joined(separator: " ") + " </dev/null")
    }

    /// `run` in the foreground; the container is gone afterwards.
    func runContainer() throws -> Result { try self("run", "-b", path, id()) }

    /// Output goes to a file: a created container holds its streams open, and a pipe would not end.
    func shell(_ command: String) throws -> Result {
        let path = "\(base)-output-\(UInt32.random(in: 0 ... .max))"
        defer { unlink(path) }
        // The threads that tests run on may have it blocked, and a shell that inherits this waits for ever.
        var childEnds = sigset_t()
        sigemptyset(&childEnds)
        sigaddset(&childEnds, SIGCHLD)
        pthread_sigmask(SIG_UNBLOCK, &childEnds, nil)
        let status = system("{ \(command)\n} >\(path) 2>&1")
        return Result(code: (status >> 8) & 0xff, output: try Files.readText(path))
    }

    /// The pid of a container's init on the host.
    func pid(of id: String) throws -> Int32 {
        let text = try self("state", id).output
        let line = text.split(separator: "\n").first { $0.contains("\"pid\":") } ?? ""
        return try #require(Int32(line.filter(\.isNumber)))
    }

    fileprivate func remove() {
        for id in (try? Files.entries(of: state)) ?? [] where !id.hasPrefix(".") { _ = try? self("delete", "--force", id) }
        _ = try? shell("rm -rf --one-file-system \(base)")
    }
}
