import DockerAPI

/// Go's fmt, as far as templates need it.
enum GoPrinting {
    /// fmt.Sprint: a blank between two operands when neither is a string.
    static func print(_ values: [TemplateValue]) -> String {
        var result = ""
        for (index, value) in values.enumerated() {
            if index > 0, values[index - 1].json.stringValue == nil, value.json.stringValue == nil { result += " " }
            result += value.printed
        }
        return result
    }

    /// fmt.Sprintf with flags, width and precision for the verbs v s d q t x X f g c U %.
    static func format(_ format: String, _ values: [TemplateValue]) -> String {
        var result = ""
        var rest = Substring(format)
        var next = 0
        while let percent = rest.firstIndex(of: "%") {
            result += rest[..<percent]
            rest = rest[rest.index(after: percent)...]
            var flags: Set<Character> = []
            while let flag = rest.first, "+-# 0".contains(flag) {
                flags.insert(flag)
                rest.removeFirst()
            }
            let width = number(&rest)
            var precision: Int?
            if rest.first == "." {
                rest.removeFirst()
                precision = number(&rest) ?? 0
            }
            guard let verb = rest.popFirst() else {
                result += "%!(NOVERB)"
                break
            }
            if verb == "%" {
                result += "%"
                continue
            }
            guard next < values.count else {
                result += "%!\(verb)(MISSING)"
                continue
            }
            let value = values[next]
            next += 1
            result += aligned(one(verb, value, flags, precision), width, flags)
        }
        result += rest
        if next < values.count {
            result += "%!(EXTRA " + values[next...].map { "\(TemplateFunctions.goType($0.json))=\($0.printed)" }.joined(separator: ", ") + ")"
        }
        return result
    }

    private static func one(_ verb: Character, _ value: TemplateValue, _ flags: Set<Character>, _ precision: Int?) -> String {
        let json = value.json
        switch verb {
        case "v": return flags.contains("#") && json.stringValue != nil ? GoText.quoted(json.stringValue ?? "") : value.printed
        case "s": return precision.map { String(value.printed.prefix($0)) } ?? value.printed
        case "q": return json.stringValue.map(GoText.quoted) ?? value.printed
        case "t" where json.boolValue != nil: return value.printed
        case "d" where json.intValue != nil: return (flags.contains("+") && (json.intValue ?? 0) >= 0 ? "+" : "") + String(json.intValue ?? 0)
        case "x", "X":
            let hexadecimal: String? = json.intValue.map { String($0, radix: 16) }
            let text: String = hexadecimal ?? value.printed.utf8.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
            return verb == "X" ? text.uppercased() : text
        case "f" where json.doubleValue != nil: return GoFormat.fixed(json.doubleValue ?? 0, precision ?? 6)
        case "g" where json.doubleValue != nil: return precision.map { GoFormat.general(json.doubleValue ?? 0, precision: $0) } ?? value.printed
        case "c" where json.intValue != nil: return json.intValue.flatMap { Unicode.Scalar(UInt32(truncatingIfNeeded: $0)) }.map { String(Character($0)) } ?? ""
        default: return "%!\(verb)(\(TemplateFunctions.goType(json))=\(value.printed))"
        }
    }

    private static func aligned(_ text: String, _ width: Int?, _ flags: Set<Character>) -> String {
        guard let width, text.count < width else { return text }
        let fill = String(repeating: flags.contains("0") && !flags.contains("-") ? "0" : " ", count: width - text.count)
        return flags.contains("-") ? text + fill : fill + text
    }

    private static func number(_ rest: inout Substring) -> Int? {
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        rest = rest.dropFirst(digits.count)
        return Int(digits)
    }
}
