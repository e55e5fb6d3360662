import Testing
@testable import LinuxSystem

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
        #expect("/a/\u{301}b".parentPath == "/a" && "/a".parentPath == "" && "a".parentPath == "")
        #expect("/proc/\u{301}".begins(with: "/proc/") && "/proc".begins(with: "") && "".begins(with: ""))
        #expect(!"/pro".begins(with: "/proc") && !"/Proc".begins(with: "/proc") && !"".begins(with: "/"))
        #expect("/a/\u{301}b".dropping(bytes: 3) == "\u{301}b")
    }
}
