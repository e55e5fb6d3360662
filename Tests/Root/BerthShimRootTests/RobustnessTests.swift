import Glibc
import LinuxSystem
import TaskAPI
import Testing

/// What a container may do to its shim, and what a shim may cost. BERTH_TEST_LONG=1 runs the numbers in full.
@Suite(.enabled(if: Programs.missing == nil, "needs root, /bin/busybox and built programs"), .serialized) struct RobustnessTests {
    private static let isLong = getenv("BERTH_TEST_LONG") != nil

    private func withShim(_ arguments: [String], hasPIDs: Bool = true, _ body: (ShimUnderTest) throws -> Void) throws {
        let shim = try ShimUnderTest(arguments, hasPIDs: hasPIDs)
        defer { shim.tearDown() }
        try body(shim)
    }

    private func address(_ shim: ShimUnderTest, _ parameters: String, path: String = "c.log") -> StdioAddresses {
        let address = "berth-log://\(shim.directory)/\(path)?attach=\(shim.bundle)/io.sock&\(parameters)"
        return StdioAddresses(stdout: address, stderr: address)
    }

    /// KiB, from `smaps_rollup` or `status`.
    private func memory(_ shim: ShimUnderTest, _ field: String, in file: String = "smaps_rollup") throws -> Int {
        let line = try Files.readText("/proc/\(try shim.pid)/\(file)").split(separator: "\n").first { $0.hasPrefix("\(field):") }
        return Int(line?.split(separator: " ").dropLast().last?.split(separator: "\t").last ?? "") ?? 0
    }

    @Test func `a gigabyte without a line feed is cut, logged and forgotten`() throws {
        let bytes = Self.isLong ? 10_000_000_000 : 1_000_000_000
        try withShim(["head", "-c", "\(bytes)", "/dev/zero"]) { shim in
            _ = try shim.create(address(shim, "driver=local&max-size=1048576&max-file=2"))
            try shim.start()
            #expect(try shim.wait() == 0)
            #expect(try memory(shim, "VmHWM", in: "status") < 16_000)
        }
    }

    @Test(arguments: ["\\000", "\\377\\376", "\\360\\220", "\\033[31m\\r\\b"]) func `hostile bytes become valid lines and nothing is lost`(bytes: String) throws {
        let script = "i=0; while [ $i -lt 20000 ]; do printf '\(bytes)%d\\n' $i; i=$((i+1)); done"
        // Into JSON.
        try withShim(["sh", "-c", script.replacing("\\", with: "\\\\")]) { shim in
            _ = try shim.create(address(shim, "driver=json-file"))
            try shim.start()
            #expect(try shim.wait() == 0)
            let lines = try Files.readText("\(shim.directory)/c.log").split(separator: "\n")
            #expect(lines.count == 20_000)
            for (number, line) in lines.enumerated() where !line.contains("\(number)\\n\",\"stream\":\"stdout\",\"time\":\"") {
                Issue.record("line \(number) is \(line)")
                break
            }
        }
    }

    @Test func `a creation that does not come to an end is ended by SIGKILL, and the next one succeeds`() throws {
        try withShim(["sleep", "1000"]) { shim in
            // A configuration that nobody writes holds the runtime up.
            let config = "\(shim.bundle)/config.json"
            rename(config, "\(config).kept")
            try Files.makeFIFO(config, mode: 0o600)
            let creation = try shim.beginCreate()
            let children = "/proc/\(try shim.pid)/task/\(try shim.pid)/children"
            for _ in 0..<500 where try Files.readText(children).isEmpty { usleep(10_000) }
            #expect(throws: TTRPCStatus.self) { try shim.delete() }
            try shim.kill(SIGKILL)
            #expect(throws: TTRPCStatus.self) { try shim.answer(to: creation) }
            #expect(throws: TTRPCStatus.self) { try shim.state() }
            #expect(try Files.readText(children).isEmpty)
            rename("\(config).kept", config)
            #expect(try shim.create() > 0)
            try shim.start()
            #expect(try shim.state().status == .running)
        }
    }

    @Test func `a storm of orphans is reaped, and the container's own end is not missed in it`() throws {
        let count = Self.isLong ? 100_000 : 5000
        try withShim(["sh", "-c", "i=0; while [ $i -lt \(count) ]; do (true &); i=$((i+1)); done; exit 5"], hasPIDs: false) { shim in
            _ = try shim.create(address(shim, "driver=json-file"))
            try shim.start()
            #expect(try shim.wait() == 5)
            let children = try Files.readText("/proc/\(try shim.pid)/task/\(try shim.pid)/children")
            #expect(children.split(separator: " ").count < 50, "\(children.prefix(200))")
            #expect(try memory(shim, "Anonymous") < 600)
        }
    }

    @Test func `a full disk holds the container up for seconds, and the log says what it could not take`() throws {
        try withShim(["sh", "-c", "i=0; while [ $i -lt 60000 ]; do echo a line that fills the disk $i; i=$((i+1)); done; echo done >&2; sleep 100"]) { shim in
            let disk = "\(shim.directory)/disk"
            try Files.makeDirectory(disk)
            try syscallMount(disk)
            defer { umount2(disk, CInt(MNT_DETACH)) }
            let output = address(shim, "driver=json-file", path: "disk/c.log")
            _ = try shim.create(output)
            let client = try shim.attach("io.sock", flags: 4)
            defer { close(client) }
            try shim.start()
            // The writer gets to its end although nothing can be logged any more.
            var said: [UInt8] = []
            while !said.suffix(5).elementsEqual(Array("done\n".utf8)) { try SocketIO.read(from: client) { said += $0 } }
            // Room again: the marker comes by itself.
            _ = truncate("\(disk)/filler", 0)
            for _ in 0..<500 {
                if try Files.readText("\(disk)/c.log").contains("bytes of log entries were lost") { break }
                usleep(10_000)
            }
            let lines = try Files.readText("\(disk)/c.log").split(separator: "\n")
            #expect(lines.contains { $0.contains("bytes of log entries were lost: the disk took no more") && $0.contains("\"stderr\"") })
            #expect(lines.allSatisfy { $0.hasPrefix("{\"log\":\"") && $0.hasSuffix("Z\"}") }, "no half entry")
            try shim.kill(SIGKILL)
            _ = try shim.wait()
        }
    }

    /// Two MiB, of which one is taken by a file that can be emptied.
    private func syscallMount(_ disk: String) throws {
        if mount("tmpfs", disk, "tmpfs", 0, "size=2m") != 0 { throw SystemError(call: "mount", subject: disk, errno: Errno(rawValue: errno)) }
        try Files.replace("\(disk)/filler", with: [UInt8](repeating: 0, count: 1 << 20))
    }

    @Test func `an idle shim does not wake and needs next to nothing`() throws {
        try withShim(["sleep", "1000"]) { shim in
            _ = try shim.create(address(shim, "driver=json-file"))
            try shim.start()
            try shim.events.collect(until: "/tasks/start")
            let pid = try shim.pid
            func switches() throws -> Int {
                let line = try Files.readText("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("voluntary_ctxt_switches:") }
                return Int(line?.split(separator: "\t").last ?? "") ?? 0
            }
            // Half a second after the last work the buffers are given back; from then on nothing happens at all.
            var last = try switches()
            for _ in 0..<50 {
                usleep(600_000)
                let now = try switches()
                if now == last { break }
                last = now
            }
            let before = try Files.readText("/proc/\(pid)/schedstat")
            usleep(3_000_000)
            #expect(try Files.readText("/proc/\(pid)/schedstat") == before)
            #expect(try memory(shim, "Anonymous") <= 280)
        }
    }
}
