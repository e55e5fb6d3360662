import Glibc
import LinuxSystem
import TaskAPI
import Testing

/// A real shim with a real runtime, from the supervisor's side of the socket.
@Suite(.enabled(if: Programs.missing == nil, "needs root, /bin/busybox and built programs"), .serialized) struct ShimRootTests {
    private func withShim(_ arguments: [String], terminal: Bool = false, _ body: (ShimUnderTest) throws -> Void) throws {
        let shim = try ShimUnderTest(arguments, terminal: terminal)
        defer { shim.tearDown() }
        try body(shim)
    }

    private func logged(_ shim: ShimUnderTest, _ parameters: String = "", stdin: Bool = false) -> StdioAddresses {
        let address = "berth-log://\(shim.directory)/c.log?driver=json-file&attach=\(shim.bundle)/io.sock\(parameters)"
        return StdioAddresses(stdin: stdin ? address : "", stdout: address, stderr: address)
    }

    private func messages(_ shim: ShimUnderTest) throws -> [String] {
        try Files.readText("\(shim.directory)/c.log").split(separator: "\n").map { line in
            String(line.dropFirst("{\"log\":\"".count).prefix { $0 != "\"" })
        }
    }

    private func mounts(below path: String) throws -> [String] {
        try Files.readText("/proc/self/mountinfo").split(separator: "\n").filter { $0.contains(path) }.map(String.init)
    }

    @Test func `a container lives, is logged and leaves nothing`() throws {
        try withShim(["sh", "-c", "echo one; echo two >&2; exit 7"]) { shim in
            _ = try shim.create(logged(shim))
            #expect(try mounts(below: shim.bundle).isEmpty)
            let client = try shim.attach("io.sock", flags: 6)
            try shim.start()
            #expect(try shim.wait() == 7)
            #expect(try shim.state().status == .stopped)
            #expect(try messages(shim) == ["one\\n", "two\\n"])
            #expect(try SocketIO.readToEnd(client) == [1, 0, 0, 0, 0, 0, 0, 4] + Array("one\n".utf8) + [2, 0, 0, 0, 0, 0, 0, 4] + Array("two\n".utf8))
            close(client)
            #expect(try shim.delete().exitStatus == 7)
            try shim.events.collect(until: "/tasks/delete")
            #expect(shim.events.topics == ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"])
            let pid = try shim.pid
            _ = try shim.call("Shutdown", ProcessRequest(id: shim.id).encoded())
            for _ in 0..<200 where Files.exists("/proc/\(pid)") { usleep(10_000) }
            #expect(!Files.exists("/proc/\(pid)"))
            #expect(try Files.entries(of: shim.bundle).filter { $0.hasSuffix(".sock") || $0.hasPrefix("runtime-log") }.isEmpty)
        }
    }

    @Test func `execs have input, output and exit codes of their own`() throws {
        try withShim(["sleep", "100"]) { shim in
            _ = try shim.create()
            try shim.start()
            let address = "berth-log:?driver=none&attach=\(shim.bundle)/e.sock&stdin-once=1"
            try shim.addExec("e", ["sh", "-c", "cat; exit 3"], StdioAddresses(stdin: address, stdout: address, stderr: address))
            let client = try shim.attach("e.sock", flags: 3)
            try shim.start("e")
            try SocketIO.writeAll(Array("in".utf8), to: client)
            shutdown(client, CInt(SHUT_WR))
            #expect(try SocketIO.readToEnd(client) == [1, 0, 0, 0, 0, 0, 0, 2] + Array("in".utf8))
            #expect(try shim.wait("e") == 3)
            #expect(try shim.delete("e").exitStatus == 3)
            #expect(throws: TTRPCStatus.self) { try shim.state("e") }
            close(client)
        }
    }

    @Test func `the end of an exec that is over before its start returns is told after its output is logged`() throws {
        try withShim(["sleep", "100"]) { shim in
            _ = try shim.create()
            try shim.start()
            for number in 0..<100 {
                let address = "berth-log://\(shim.directory)/e\(number).log?driver=json-file"
                try shim.addExec("e", ["echo", "x"], StdioAddresses(stdout: address, stderr: address))
                try shim.start("e")
                #expect(try shim.wait("e") == 0)
                #expect(try Files.readText("\(shim.directory)/e\(number).log").hasPrefix("{\"log\":\"x\\n\""), "exec \(number)")
                _ = try shim.delete("e")
            }
        }
    }

    @Test func `two hundred execs at once all report their own end`() throws {
        try withShim(["sleep", "100"]) { shim in
            _ = try shim.create()
            try shim.start()
            for number in 0..<200 { try shim.addExec("e\(number)", ["sh", "-c", "exit \(number)"]) }
            let starts = try (0..<200).map { try shim.send("Start", ProcessRequest(id: shim.id, execID: "e\($0)").encoded()) }
            for stream in starts { _ = try shim.answer(to: stream) }
            for number in 0..<200 { #expect(try shim.wait("e\(number)") == UInt32(number)) }
            for number in 0..<200 { _ = try shim.delete("e\(number)") }
            #expect(try Files.entries(of: "/proc/\(try shim.pid)/fd").count < 16)
        }
    }

    @Test func `an exec that is deleted before its start leaves no descriptor`() throws {
        try withShim(["sleep", "100"]) { shim in
            _ = try shim.create()
            try shim.start()
            let before = try Files.entries(of: "/proc/\(try shim.pid)/fd").count
            let address = "berth-log:?driver=none&attach=\(shim.bundle)/e.sock"
            for _ in 0..<20 {
                try shim.addExec("e", ["true"], StdioAddresses(stdin: address, stdout: address, stderr: address))
                _ = try shim.delete("e")
            }
            #expect(try Files.entries(of: "/proc/\(try shim.pid)/fd").count == before)
        }
    }

    @Test func `a terminal has a size and both directions`() throws {
        try withShim(["sh", "-c", "stty size; read x; echo got $x"], terminal: true) { shim in
            let address = "berth-log:?driver=none&attach=\(shim.bundle)/io.sock"
            _ = try shim.create(StdioAddresses(stdin: address, stdout: address, terminal: true))
            let client = try shim.attach("io.sock", flags: 7)
            // ResizePtyRequest {id, exec_id, width 100, height 30}
            _ = try shim.call("ResizePty", ProcessRequest(id: shim.id).encoded() + [0x18, 100, 0x20, 30])
            try shim.start()
            try SocketIO.writeAll(Array("me\n".utf8), to: client)
            let output = String(decoding: try SocketIO.readToEnd(client), as: UTF8.self)
            #expect(output.contains("30 100\r\n") && output.hasSuffix("got me\r\n"))
            #expect(try shim.wait() == 0)
            close(client)
        }
    }

    @Test func `a reader that stops reading stalls neither container nor log`() throws {
        try withShim(["sh", "-c", "seq 1 300000"]) { shim in
            _ = try shim.create(logged(shim))
            let client = try shim.attach("io.sock", flags: 2)
            try shim.start()
            #expect(try shim.wait() == 0)
            #expect(try messages(shim).last == "300000\\n")
            close(client)
        }
    }

    @Test func `output without a line feed does not gather in memory`() throws {
        try withShim(["sh", "-c", "yes | head -c 30000000 | busybox tr -d '\\\\n'"]) { shim in
            _ = try shim.create(logged(shim))
            try shim.start()
            #expect(try shim.wait() == 0)
            let status = try Files.readText("/proc/\(try shim.pid)/status")
            let peak = Int(status.split(separator: "\n").first { $0.hasPrefix("VmHWM") }?.split(separator: " ").dropLast().last ?? "0") ?? 0
            #expect(peak < 16_000)
        }
    }

    @Test func `a shim killed takes its container along when delete is called`() throws {
        try withShim(["sleep", "100"]) { shim in
            let container = try shim.create(logged(shim))
            try shim.start()
            Glibc.kill(try shim.pid, SIGKILL)
            var request = SpawnRequest("\(Programs.directory)/berth-shim", ["-namespace", "test", "-id", shim.id, "-bundle", shim.bundle, "delete"])
            request.workingDirectory = shim.bundle
            let exit = try Children.wait(for: request.start())
            #expect(exit.status == 0)
            for _ in 0..<100 where Files.exists("/proc/\(container)/ns/pid") { usleep(10_000) }
            #expect((try? Files.readLink("/proc/\(container)/exe")) == nil)
            #expect(try Files.entries(of: shim.bundle).filter { $0.hasSuffix(".sock") }.isEmpty)
        }
    }

    @Test func `a failed creation leaves nothing and can be repeated`() throws {
        try withShim(["/does/not/exist"]) { shim in
            for _ in 0..<2 {
                let failure = #expect(throws: TTRPCStatus.self) { _ = try shim.create(logged(shim)) }
                #expect(failure?.message.hasPrefix("OCI runtime create failed: ") == true)
                #expect(!Files.exists("\(shim.bundle)/io.sock"))
            }
            #expect(throws: TTRPCStatus.notFoundTask) { try shim.state() }
        }
    }
}

extension TTRPCStatus {
    static let notFoundTask = TTRPCStatus(.notFound, "container not created: not found")
}
