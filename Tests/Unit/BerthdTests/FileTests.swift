import DockerAPI
import Testing

@testable import berthd

@Test func `a path keeps what says that a link is followed`() {
    #expect(FileService.absolute("/a/../b//c") == "/b/c")
    #expect(FileService.absolute("a/") == "/a/")
    #expect(FileService.absolute("/a/.") == "/a/.")
    #expect(FileService.absolute(".") == "/")
    #expect(FileService.absolute("/") == "/")
    #expect(FileService.absolute("/../..") == "/")
}

@Test func `the name of a member is Go's base name`() {
    #expect(FileService.name(of: "/a/b") == "b")
    #expect(FileService.name(of: "/a/b/") == "b")
    #expect(FileService.name(of: "/a/b/.") == ".")
    #expect(FileService.name(of: "/") == "/")
    #expect(FileService.parent(of: "/a/b") == "/a" && FileService.parent(of: "/a") == "/")
}

@Test func `overlay options are taken apart, layers from the topmost on`() {
    let layers = OverlayLayers(["index=off", "workdir=/w", "upperdir=/u", "lowerdir=/b:/a"])
    #expect(layers.upper == "/u" && layers.work == "/w" && layers.lower == ["/b", "/a"] && layers.options == ["index=off"])
    #expect(layers.all == ["/u", "/b", "/a"])
}

@Test func `a link has a name and an alias in each of its spellings`() throws {
    for (text, name, alias) in [("web", "web", "web"), ("web:w", "web", "w"), ("/web:/parent/w", "web", "w")] {
        let link = try LegacyLink(text)
        #expect(link.name == name && link.alias == alias)
    }
    for text in ["", "a:b:c", ":b"] { #expect(throws: DaemonError.self) { _ = try LegacyLink(text) } }
}

@Test func `an entry of the local driver is read, and a torn one is none`() throws {
    // source "stderr", time 5, line "abc", partial, metadata { last }
    let message: [UInt8] = [0x0A, 6] + Array("stderr".utf8) + [0x10, 5, 0x1A, 3] + Array("abc".utf8) + [0x20, 1, 0x2A, 2, 0x08, 1]
    message.withUnsafeBytes { bytes in
        let entry = LocalLogEntry(bytes)
        #expect(entry?.isStderr == true && entry?.nanoseconds == 5 && entry?.isComplete == true)
        #expect(entry.map { String(decoding: $0.line, as: UTF8.self) } == "abc")
        #expect(LocalLogEntry(UnsafeRawBufferPointer(rebasing: bytes[..<14])) == nil)
    }
    let framed = [0, 0, 0, UInt8(message.count)] + message + [0, 0, 0, UInt8(message.count)]
    framed.withUnsafeBytes { bytes in
        #expect(LocalLogEntry.length(bytes) == framed.count)
        #expect(LocalLogEntry.length(UnsafeRawBufferPointer(rebasing: bytes.dropLast())) == nil)
    }
    #expect([UInt8](repeating: 0xFF, count: 64).withUnsafeBytes { LocalLogEntry.length($0) } == nil)
}
