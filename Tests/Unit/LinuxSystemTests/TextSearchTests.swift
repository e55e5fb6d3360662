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

/// A slash with a combining mark behind it is one character of Swift's, and a slash for the kernel.
@Suite struct `Paths with combining marks` {
    @Test func `have the components that the kernel sees`() {
        #expect(RootedPath.components("../\u{301}a/b") == ["..", "\u{301}a", "b"])
        #expect(RootedPath.leavesRoot("../\u{301}a"))
        #expect(RootedPath.cleaned("/a/../\u{301}b/../../c") == "/c")
    }

    @Test func `begin and end where the kernel sees it`() {
        #expect("/\u{301}etc".isAbsolutePath)
        #expect(!"etc/\u{301}".isAbsolutePath && !"".isAbsolutePath)
        #expect("a/\u{301}b".lastComponent == "\u{301}b")
        #expect("a".lastComponent == "a" && "a/".lastComponent == "")
        #expect("/proc/\u{301}".begins(with: "/proc/") && "/proc".begins(with: "") && "".begins(with: ""))
        #expect(!"/pro".begins(with: "/proc") && !"/Proc".begins(with: "/proc") && !"".begins(with: "/"))
        #expect("/a/\u{301}b".dropping(bytes: 3) == "\u{301}b")
    }
}

@Suite struct `Attributes of a mount` {
    @Test func `that are listed are all set`() {
        let listed: MountAttributes = [.readonly, .nodev, .noatime]
        #expect(listed.rawValue == 0x15)
        #expect(([] as MountAttributes).isEmpty)
    }
}
