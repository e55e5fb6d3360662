/// Texts as Go's fmt prints them: Docker's messages and tables are full of them.
package enum GoText {
    /// A string in double quotes with Go's escapes, as `%q` prints it. Go: strconv.Quote, strconv.IsPrint.
    package static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{7}": result += "\\a"
            case "\u{8}": result += "\\b"
            case "\u{B}": result += "\\v"
            case "\u{C}": result += "\\f"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: result += "\\x" + hexadecimal(scalar.value, digits: 2)
            case _ where scalar.isASCII || isPrinted(scalar): result.unicodeScalars.append(scalar)
            case _ where scalar.value > 0xFFFF: result += "\\U" + hexadecimal(scalar.value, digits: 8)
            default: result += "\\u" + hexadecimal(scalar.value, digits: 4)
            }
        }
        return result + "\""
    }

    /// `%q` of a list.
    package static func quoted(_ list: [String]) -> String { "[" + list.map { quoted($0) }.joined(separator: " ") + "]" }

    /// `%v` of a list.
    package static func plain(_ list: [String]) -> String { "[" + list.joined(separator: " ") + "]" }

    /// Letters, marks, numbers, punctuation and symbols. Of the spaces only ASCII's.
    private static func isPrinted(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator: false
        default: true
        }
    }

    private static func hexadecimal(_ value: UInt32, digits: Int) -> String {
        let text = String(value, radix: 16)
        return String(repeating: "0", count: max(0, digits - text.count)) + text
    }
}
