import Glibc

// The library's `init(cString:)` and `description` do more than is needed here (any encoding, any width and radix), in pages that a program which starts often would read for nothing else.
extension String {
    /// The text of a C string; invalid UTF-8 is replaced.
    package init(terminated text: UnsafePointer<CChar>) { self.init(decoding: UnsafeRawBufferPointer(start: text, count: strlen(text)), as: UTF8.self) }

    /// A number in decimal digits.
    package init(decimal number: Int) {
        self.init(unsafeUninitializedCapacity: 20) { buffer in
            let start = number < 0 ? 1 : 0
            var rest = number.magnitude, count = start
            repeat { (rest, count) = (rest / 10, count + 1) } while rest > 0
            rest = number.magnitude
            for position in (start..<count).reversed() {
                buffer[position] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
                rest /= 10
            }
            if start > 0 { buffer[0] = UInt8(ascii: "-") }
            return count
        }
    }
}
