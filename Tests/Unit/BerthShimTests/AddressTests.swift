import Testing

@testable import berth_shim

@Suite struct AddressTests {
    @Test func `paths are FIFOs and nothing is nothing`() throws {
        #expect(try StdioAddress(parsing: "") == .none)
        #expect(try StdioAddress(parsing: "/run/fifo:1") == .fifo(path: "/run/fifo:1"))
        #expect(try StdioAddress(parsing: "file:///var/log/a%20b") == .file(path: "/var/log/a b"))
    }

    @Test func `a logger's query becomes its arguments`() throws {
        #expect(try StdioAddress(parsing: "binary:///bin/log?a=b+c&flag") == .binary(path: "/bin/log", arguments: ["a", "b c", "flag"], strict: false))
        #expect(try StdioAddress(parsing: "binary-v2:///bin/log") == .binary(path: "/bin/log", arguments: [], strict: true))
    }

    @Test func `a log address says everything about the log`() throws {
        let text = "berth-log:///l/x.log?driver=json-file&max-size=1000&max-file=3&mode=non-blocking&max-buffer-size=5&attach=/a+b%2Fc.sock&tag-attrs=%7B%22k%22%3A%22v%22%7D&stdin-once=1"
        guard case .log(let log) = try StdioAddress(parsing: text) else { Issue.record("not a log"); return }
        #expect(log.path == "/l/x.log" && log.driver == .jsonFile && log.maxSize == 1000 && log.maxFiles == 3)
        #expect(!log.blocking && log.maxBufferSize == 5 && log.attach == "/a+b/c.sock" && log.attributes == "{\"k\":\"v\"}" && log.stdinOnce)
        guard case .log(let none) = try StdioAddress(parsing: "berth-log:?driver=none&attach=/x.sock") else { Issue.record("not a log"); return }
        #expect(none.driver == .none && none.path.isEmpty)
    }

    @Test(arguments: [
        "berth-log:///x?driver=syslog", "berth-log:///x?max-size=-1", "berth-log:///x?mode=maybe", "berth-log:///x?colour=red", "berth-log:?driver=local",
        "berth-log:///x?attach=rel", "http://x", "file:///a%zz", "file:///a%00b",
    ]) func `what is not understood is refused`(text: String) {
        #expect(throws: StdioAddress.Invalid.self) { try StdioAddress(parsing: text) }
    }

    @Test func `flags are Go's`() throws {
        let arguments = try ShimArguments(parsing: ["-namespace", "moby", "--id=x", "-address", "/a", "-publish-binary", "/p", "-debug", "-bundle", "/b", "delete"])
        #expect(arguments.namespace == "moby" && arguments.id == "x" && arguments.bundle == "/b" && arguments.isDebug && arguments.action == .delete)
        #expect(try ShimArguments(parsing: ["-v"]).showsVersion)
        #expect(throws: ShimArguments.Invalid.self) { try ShimArguments(parsing: ["-colour", "start"]) }
        #expect(throws: ShimArguments.Invalid.self) { try ShimArguments(parsing: ["-id"]) }
        #expect(throws: ShimArguments.Invalid.self) { try ShimArguments(parsing: ["-id", "x", "restart"]) }
    }

    @Test func `an identifier cannot leave its directory`() {
        for id in ["a", "A-b_c.d", String(repeating: "f", count: 64)] { #expect(ContainerTask.isValidID(id)) }
        for id in ["", ".", "..", "a/b", "a b", "a\n", String(repeating: "f", count: 77)] { #expect(!ContainerTask.isValidID(id)) }
    }

    @Test func `mount options are flags or the filesystem's`() {
        let options = MountOptions(["ro", "nosuid", "lowerdir=/a:/b", "index=off", "X-containerd.x=1", "suid"])
        #expect(options.flags == 1 && options.data == "lowerdir=/a:/b,index=off" && options.refused == nil)
        #expect(MountOptions(["rbind", "rw"]).isBind)
        #expect(MountOptions(["uidmap=0:1:2"]).refused == "uidmap=0:1:2")
    }

    @Test func `long overlay options become relative to a common parent`() throws {
        let options = MountOptions(["workdir=/w", "lowerdir=/var/lib/s/1/fs:/var/lib/s/22/fs:/var/lib/s/3\\:3/fs"])
        let short = try #require(options.shortened())
        #expect(short.directory == "/var/lib/s" && short.data == "workdir=/w,lowerdir=1/fs:22/fs:3\\:3/fs")
    }
}
