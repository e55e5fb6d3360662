import Glibc
import LinuxSystem
import Testing

/// `delete` while something that nobody waits for any more is still at work in the bundle.
@Suite(.enabled(if: Programs.missing == nil, "needs root, /bin/busybox and built programs"), .serialized) struct InterruptedStartTests {
    private let directory = "/tmp/berth-test-\(getpid())-late"
    private var bundle: String { "\(directory)/b" }

    /// Starts `program` in a new bundle, calls `delete` while it is at work, and sees that this has killed it.
    private func interrupt(_ program: String, _ arguments: [String], input: CInt? = nil) throws {
        var start = SpawnRequest("\(Programs.directory)/\(program)", arguments)
        start.workingDirectory = bundle
        if let input { start.descriptors = [(0, input)] }
        let pid = try start.start()
        for _ in 0..<500 where (try? Files.readLink("/proc/\(pid)/exe"))?.hasSuffix("/\(program)") != true { usleep(10_000) }
        #expect(kill(pid, 0) == 0)
        var delete = SpawnRequest("\(Programs.directory)/berth-shim", ["-namespace", "test", "-id", "late", "-bundle", bundle, "delete"])
        delete.workingDirectory = bundle
        #expect(try Children.wait(for: delete.start()).status == 0)
        // Were it still there, this ends it, with another signal.
        kill(pid, SIGTERM)
        #expect(try Children.wait(for: pid).status == 128 + UInt32(SIGKILL))
    }

    private func withBundle(_ body: () throws -> Void) throws {
        try Files.makeDirectories(bundle, mode: 0o700)
        defer { for path in [bundle, directory] { try? Files.removeFlatDirectory(path) } }
        try body()
    }

    @Test func `a shim's start whose supervisor has died makes no shim afterwards`() throws {
        try withBundle {
            // Its options never come to an end, so it stays in the middle of its start.
            let options = try Pipes.make()
            defer { for end in [options.reading, options.writing] { close(end) } }
            try interrupt("berth-shim", ["-namespace", "test", "-id", "late", "-address", "/none", "start"], input: options.reading)
        }
    }

    @Test func `a runtime's create whose shim has died makes no container afterwards`() throws {
        try withBundle {
            let settings = "{\"binary\":\"\(Programs.directory)/berth-runtime\",\"root\":\"\(directory)/state\",\"systemdCgroup\":false}"
            try Files.replace("\(bundle)/runtime-settings.json", with: Array(settings.utf8))
            // A configuration that nobody writes holds it up before it has made anything.
            try Files.makeFIFO("\(bundle)/config.json", mode: 0o600)
            try interrupt("berth-runtime", ["--root", "\(directory)/state", "create", "--bundle", bundle, "late"])
        }
    }
}
