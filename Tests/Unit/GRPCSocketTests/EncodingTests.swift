import BerthDefaults
import Testing
@testable import GRPCSocket

@Suite struct `Headers and codes` {
    @Test(arguments: ["", "plain", "100% sure", "é\n\t", "日本"])
    func `a message survives percent encoding`(text: String) {
        let encoded = GRPCStatus.percentEncoded(text)
        #expect(encoded.utf8.allSatisfy { (0x20...0x7e).contains($0) })
        #expect(GRPCStatus.percentDecoded(encoded) == text)
    }

    @Test func `what is no escape stays as it is`() {
        #expect(GRPCStatus.percentDecoded("50% of %zz and %4") == "50% of %zz and %4")
    }

    @Test(arguments: [(Duration.milliseconds(5), "5000000n"), (.seconds(1), "1000000u"), (.seconds(3600), "3600000m"), (.seconds(400_000_000), "6666666M")])
    func `timeouts have at most eight digits`(timeout: Duration, text: String) {
        #expect(GRPCStatus.encodeTimeout(timeout) == text)
        #expect(text.count <= 9)
    }

    @Test(arguments: [("10S", Duration.seconds(10)), ("1H", .seconds(3600)), ("250m", .milliseconds(250)), ("7n", .nanoseconds(7))])
    func `timeouts are read with every unit`(text: String, timeout: Duration) { #expect(GRPCStatus.decodeTimeout(text) == timeout) }

    @Test(arguments: ["", "S", "10", "10x", "-1S", "123456789S"])
    func `a malformed timeout is none`(text: String) { #expect(GRPCStatus.decodeTimeout(text) == nil) }

    @Test(arguments: [[], [0], [1, 2], [255, 254, 253], Array(0...255)] as [[UInt8]])
    func `binary headers survive base64`(bytes: [UInt8]) { #expect(HeaderBase64.decode(HeaderBase64.encode(bytes)) == bytes) }

    @Test(arguments: ErrorCode.allCases)
    func `our codes come back from the wire, but for two that gRPC does not know`(code: ErrorCode) {
        let expected: ErrorCode = code == .conflict || code == .notModified ? .failedPrecondition : code
        #expect(GRPCStatus(code, "").errorCode == expected)
    }
}
