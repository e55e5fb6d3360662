/// Identifiers as Docker makes them: 64 hexadecimal digits from the system's random source.
enum Identifier {
    static func random(digits: Int = 64) -> String {
        var generator = SystemRandomNumberGenerator()
        while true {
            var text = ""
            while text.utf8.count < digits {
                let part = String(generator.next() as UInt64, radix: 16)
                text += String(repeating: "0", count: 16 - part.utf8.count) + part
            }
            text = String(text.prefix(digits))
            // The first twelve serve as a host name: all digits would look like a number.
            if digits < 12 || text.utf8.prefix(12).contains(where: { $0 > 57 }) { return text }
        }
    }
}
