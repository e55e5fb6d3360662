import LinuxSystem
import Testing

@Suite struct PlainTextTests {
    @Test(arguments: [0, 7, 10, -1, 4_294_967_295, .max, .min]) func `a number is written in decimal digits`(number: Int) {
        #expect(String(decimal: number) == "\(number)")
    }

    @Test func `the text of a C string ends at its zero, and what is no UTF-8 is replaced`() {
        let bytes: [UInt8] = [0x61, 0xFF, 0xC3, 0xB6, 0, 0x62]
        let text = bytes.withUnsafeBufferPointer { $0.withMemoryRebound(to: CChar.self) { String(terminated: $0.baseAddress!) } }
        #expect(text == "a\u{FFFD}ö")
    }
}
