import BerthDefaults
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// What is said to CRIU, and to resctrl.
@Suite struct CheckpointTests {
    @Test func `a message is read as it was written`() throws {
        var writer = ProtocolBufferWriter()
        writer.add(1, 5)
        writer.add(2, true)
        writer.add(7, -1)
        writer.add(300, "text")
        writer.nest(5) { $0.add(1, "post-restore"); $0.add(2, 4711) }
        writer.addIfSet(9, "")
        let reader = try #require(ProtocolBufferReader(writer.bytes[...]))
        #expect(reader.number(1) == 5)
        #expect(reader.flag(2) && !reader.flag(3))
        #expect(reader.number(7) == -1)
        #expect(reader.text(300) == "text")
        #expect(reader.message(5)?.text(1) == "post-restore")
        #expect(reader.message(5)?.number(2) == 4711)
        #expect(reader.text(9) == nil)
    }

    @Test(arguments: [[0x08], [0x0A, 0x05, 0x41], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], [0x0B]] as [[UInt8]])
    func `bytes that are no message are refused`(bytes: [UInt8]) {
        #expect(ProtocolBufferReader(bytes[...]) == nil)
    }

    private func options(_ words: [String]) throws -> CheckpointOptions { try CheckpointOptions(CommandLineParser.parse(words[...], CheckpointOptions.checkpoint)) }

    @Test(arguments: [["--manage-cgroups-mode", "harsh"], ["--page-server", "host"], ["--page-server", ":1"], ["--empty-ns", "mount"], ["--parent-path", "/absolute"], ["--status-fd", "4090"]])
    func `values CRIU could do nothing with are refused`(words: [String]) {
        #expect(throws: RuntimeError.self) { try options(words) }
    }

    @Test func `flags become CRIU's fields`() throws {
        var writer = ProtocolBufferWriter()
        try options(["--tcp-established", "--file-locks", "--page-server", "[::1]:8080", "--manage-cgroups-mode=soft", "id"]).write(to: &writer)
        let message = try #require(ProtocolBufferReader(writer.bytes[...]))
        #expect(message.flag(5) && message.flag(8) && !message.flag(4))
        #expect(message.message(11)?.text(1) == "::1")
        #expect(message.message(11)?.number(2) == 8080)
        #expect(message.number(34) == 3)
    }

    // MARK: resctrl

    @Test func `schemata are compared by what they say`() {
        #expect(ResctrlGroup.Schema("    L3:0=7f0;1=01F") == ResctrlGroup.Schema("L3:00=07f0;1=1f"))
        #expect(ResctrlGroup.Schema("L3:0=7f0") != ResctrlGroup.Schema("L3:0=7f1"))
    }

    @Test func `a group has the name of the class, or of the container`() {
        #expect(ResctrlGroup(.init(), id: "web", below: "/sys/fs/resctrl").path == "/sys/fs/resctrl/web")
        #expect(ResctrlGroup(.init(closID: "/"), id: "web", below: "/sys/fs/resctrl").path == "/sys/fs/resctrl")
        #expect(ResctrlGroup(.init(closID: "gold", enableMonitoring: true), id: "web", below: "/sys/fs/resctrl").monitoringPath == "/sys/fs/resctrl/gold/mon_groups/web")
    }

    @Test(arguments: [RuntimeSpec.Linux.IntelRdt(closID: ".."), .init(closID: "a/b"), .init(schemata: ["L3:0=f\nMB:0=1"]), .init(memBwSchema: "L3:0=f")])
    func `classes and schemata that would write elsewhere are refused`(config: RuntimeSpec.Linux.IntelRdt) {
        #expect(throws: RuntimeError.self) { try ResctrlGroup.check(config, id: "web") }
    }

    // MARK: Others

    @Test(arguments: [("eth0", true), ("eth%d", true), ("", false), ("..", false), ("a/b", false), ("a b", false), ("a:1", false), ("sixteen-letters-", false)])
    func `names of network devices are the kernel's`(name: String, isName: Bool) { #expect(NetworkDevices.isName(name) == isName) }

    @Test(arguments: [("1.0.0", true), ("1.2.1", true), ("1.3.0", false), ("1.3.0-rc1", false), ("1.10.0", false)])
    func `poststart hooks are judged by the version`(version: String, isLenient: Bool) { #expect(Hooks.isLenient(version) == isLenient) }
}
