extension JSONValue {
    /// On one line without blanks, as Go's encoder writes it without its HTML escapes.
    var text: String {
        var result = ""
        write(to: &result)
        return result
    }

    /// The same with `<`, `>` and `&` escaped, which Go does unless told otherwise.
    var htmlSafeText: String { text.replacing("<", with: "\\u003c").replacing(">", with: "\\u003e").replacing("&", with: "\\u0026") }

    private func write(to result: inout String) {
        switch self {
        case .null: result += "null"
        case .bool(let value): result += value ? "true" : "false"
        case .number(let text): result += text
        case .string(let value): JSONValue.writeString(value, to: &result)
        case .array(let values):
            result += "["
            for (index, value) in values.enumerated() {
                if index > 0 { result += "," }
                value.write(to: &result)
            }
            result += "]"
        case .object(let object):
            result += "{"
            for (index, member) in object.members.enumerated() {
                if index > 0 { result += "," }
                JSONValue.writeString(member.key, to: &result)
                result += ":"
                member.value.write(to: &result)
            }
            result += "}"
        }
    }

    static func writeString(_ value: String, to result: inout String) {
        result += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            case "\u{8}": result += "\\b"
            case "\u{C}": result += "\\f"
            case "\u{2028}": result += "\\u2028"
            case "\u{2029}": result += "\\u2029"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        result += "\""
    }
}

/// Lays JSON text out over lines without reading it into values, so that every byte of a string or number stays as the engine wrote it.
enum JSONIndenter {
    static func indent(_ bytes: [UInt8], by step: String = "    ") -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count * 2)
        let step = Array(step.utf8)
        var depth = 0
        var index = 0
        var pendingBreak = false

        func newline() {
            result.append(10)
            for _ in 0..<depth { result += step }
        }
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == 32 || byte == 10 || byte == 13 || byte == 9 { continue }
            let closes = byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
            if pendingBreak {
                pendingBreak = false
                if !closes {
                    depth += 1
                    newline()
                } else {
                    result.append(byte)
                    continue
                }
            }
            switch byte {
            case UInt8(ascii: "\""):
                let start = index - 1
                while index < bytes.count, bytes[index] != UInt8(ascii: "\"") { index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1 }
                index = min(index + 1, bytes.count)
                result += bytes[start..<index]
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                result.append(byte)
                pendingBreak = true
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth = max(0, depth - 1)
                newline()
                result.append(byte)
            case UInt8(ascii: ","):
                result.append(byte)
                newline()
            case UInt8(ascii: ":"): result += [byte, 32]
            default: result.append(byte)
            }
        }
        return result
    }
}
