@testable import SystemdBus
import Testing

@Suite struct BusMessageTests {
    /// What a bus sends a client that calls `Hello`, byte by byte.
    private static let hello: [UInt8] = [
        0x6C, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0x6D, 0, 0, 0,
        1, 1, 0x6F, 0, 0x15, 0, 0, 0] + Array("/org/freedesktop/DBus".utf8) + [0, 0, 0,
        2, 1, 0x73, 0, 0x14, 0, 0, 0] + Array("org.freedesktop.DBus".utf8) + [0, 0, 0, 0,
        3, 1, 0x73, 0, 0x05, 0, 0, 0] + Array("Hello".utf8) + [0, 0, 0,
        6, 1, 0x73, 0, 0x14, 0, 0, 0] + Array("org.freedesktop.DBus".utf8) + [0, 0, 0, 0]

    private static var helloMessage: BusMessage {
        var message = BusMessage(.call)
        message.serial = 1
        message.path = "/org/freedesktop/DBus"
        message.interface = "org.freedesktop.DBus"
        message.member = "Hello"
        message.destination = "org.freedesktop.DBus"
        return message
    }

    @Test func `a call is written as the specification has it`() { #expect(Self.helloMessage.bytes == Self.hello) }

    @Test func `what was written is read back`() throws {
        #expect(try BusMessage.length(Self.hello) == Self.hello.count)
        #expect(try BusMessage.decode(Self.hello) == Self.helloMessage)
    }

    @Test func `every type keeps its value`() throws {
        var message = BusMessage(.signal)
        message.body = [
            .byte(7), .boolean(true), .int16(-2), .uint16(65535), .int32(-3), .uint32(4), .int64(-5), .uint64(.max), .double(0x3FF0_0000_0000_0000), .string("é"),
            .objectPath("/a"), .signature("a{sv}"), .descriptor(0), .strings([]), .strings(["a", ""]), .array(of: "(sv)", []),
            .array(of: "(sv)", [.structure([.string("Slice"), .variant(.string("a.slice"))]), .structure([.string("PIDs"), .variant(.array(of: "u", [.uint32(1)]))])]),
            .variant(.variant(.byte(1))),
        ]
        #expect(try BusMessage.decode(message.bytes) == message)
    }

    @Test func `a message of a big endian machine is understood`() throws {
        // A reply to call 5 with the string "ok".
        let bytes: [UInt8] = [
            0x42, 2, 1, 1, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0, 15,
            5, 1, 0x75, 0, 0, 0, 0, 5, 8, 1, 0x67, 0, 1, 0x73, 0, 0,
            0, 0, 0, 2, 0x6F, 0x6B, 0,
        ]
        let message = try #require(try BusMessage.decode(bytes))
        #expect(message.replySerial == 5 && message.serial == 9 && message.body == [.string("ok")])
    }

    @Test func `half a message is waited for`() throws {
        #expect(try BusMessage.length(Array(Self.hello[..<15])) == nil)
        #expect(try BusMessage.length(Array(Self.hello[..<16])) == Self.hello.count)
    }

    @Test func `no bytes whatever make the reader crash`() {
        for count in 0..<Self.hello.count { #expect(throws: BusError.self) { try BusMessage.decode(Array(Self.hello[..<count])) } }
        for index in Self.hello.indices {
            for value in [UInt8(0), 0x7F, 0x80, 0xFF] {
                var bytes = Self.hello
                bytes[index] = value
                _ = try? BusMessage.decode(bytes)
            }
        }
    }

    @Test(arguments: ["a", "(", "()", "{", "a(", "zz", ")", String(repeating: "a", count: 255), String(repeating: "(", count: 200)])
    func `a signature that is none is refused`(signature: String) {
        var decoder = BusDecoder([UInt8](repeating: 0, count: 4096))
        #expect(throws: BusError.self) { try decoder.values(signature) }
    }

    @Test func `a length beyond the message is refused`() {
        for signature in ["s", "as", "ay", "o"] {
            var decoder = BusDecoder([0xFF, 0xFF, 0xFF, 0xFF, 0x61, 0])
            #expect(throws: BusError.self) { try decoder.values(signature) }
        }
    }

    @Test func `variants within variants end somewhere`() {
        var bytes: [UInt8] = []
        for _ in 0..<1000 { bytes += [1, 0x76, 0] }
        var decoder = BusDecoder(bytes)
        #expect(throws: BusError.self) { try decoder.values("v") }
    }

    @Test(arguments: [("252.39-1~deb12u1", 252), ("v245.4-1.fc32", 245), ("245", 245), ("257 (257.7-1)", 257), ("", 0)])
    func `systemd's version is its first number`(text: String, version: Int) { #expect(SystemdManager.version(of: text) == version) }
}
