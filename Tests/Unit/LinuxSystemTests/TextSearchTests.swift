import Testing
@testable import LinuxSystem

@Suite struct `Fields of a text` {
    @Test(arguments: ["", ":", "::", "a", "a:", ":a", "a:b", "a::b", "4:memory:/a:b", "ä:ö", "e\u{301}:\r\n:x"])
    func `are what the library's split makes of it`(text: String) {
        let split = text.unicodeScalars.split(separator: ":", omittingEmptySubsequences: true).map { String($0) }
        #expect(text.fields(by: ":").map(String.init) == split)
        let all = text.unicodeScalars.split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
        #expect(text.fields(by: ":", keepsEmpty: true).map(String.init) == all)
        let two = text.unicodeScalars.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map { String($0) }
        #expect(text.fields(by: ":", limit: 2, keepsEmpty: true).map(String.init) == two)
    }

    @Test func `of a part are those of the part alone`() {
        #expect("a,b:c,d".fields(by: ":")[1].fields(by: ",") == ["c", "d"])
    }
}

@Suite struct `Attributes of a mount` {
    @Test func `that are listed are all set`() {
        let listed: MountAttributes = [.readonly, .nodev, .noatime]
        #expect(listed.rawValue == 0x15)
        #expect(([] as MountAttributes).isEmpty)
    }
}
