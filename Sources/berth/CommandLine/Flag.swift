import DockerAPI

/// One flag of a command: its names, what it takes and how help shows it.
struct Flag: Sendable {
    typealias Check = @Sendable (String) throws -> String

    /// What a flag takes. The raw strings are kept as given; `ParsedFlags` converts when a command asks.
    enum Kind: Sendable {
        /// Present or absent; `--flag=false` switches it off.
        case bool
        case string
        /// A whole number within `range`; `goName` is the Go function whose error wording users know.
        case integer(typeName: String, range: ClosedRange<Int64>)
        /// Repeatable.
        case list(typeName: String)
        /// Repeatable, and each value may hold several separated by commas.
        case commaList
    }

    let name: String
    let short: Character?
    let kind: Kind
    let defaultValue: String
    /// Word after the flag in the help, empty for booleans.
    let typeName: String
    let usage: String
    /// Checks and normalises a value while the command line is read.
    let check: Check?
    var isHidden = false

    var takesValue: Bool { if case .bool = kind { false } else { true } }

    /// How error messages name it: `"-m, --memory"`.
    var quotedNames: String { short.map { "\"-\($0), --\(name)\"" } ?? "\"--\(name)\"" }

    static func bool(_ name: String, _ short: Character, default value: Bool = false, _ usage: String) -> Flag {
        make(name, short, .bool, value ? "true" : "false", "", usage, nil)
    }

    static func bool(_ name: String, default value: Bool = false, _ usage: String) -> Flag {
        make(name, nil, .bool, value ? "true" : "false", "", usage, nil)
    }

    static func string(
        _ name: String, _ short: Character, default value: String = "", type: String = "string", _ usage: String, check: Check? = nil
    ) -> Flag { make(name, short, .string, value, type, usage, check) }

    static func string(_ name: String, default value: String = "", type: String = "string", _ usage: String, check: Check? = nil) -> Flag {
        make(name, nil, .string, value, type, usage, check)
    }

    static func int(_ name: String, _ short: Character, default value: Int64 = 0, _ usage: String) -> Flag {
        make(name, short, .integer(typeName: "int", range: .min ... .max), String(value), "int", usage, nil)
    }

    static func int(_ name: String, default value: Int64 = 0, _ usage: String) -> Flag {
        make(name, nil, .integer(typeName: "int", range: .min ... .max), String(value), "int", usage, nil)
    }

    static func uint16(_ name: String, _ usage: String) -> Flag {
        make(name, nil, .integer(typeName: "uint16", range: 0...65535), "0", "uint16", usage, nil)
    }

    static func list(_ name: String, _ short: Character, type: String = "list", _ usage: String, check: Check? = nil) -> Flag {
        make(name, short, .list(typeName: type), "", type, usage, check)
    }

    static func list(_ name: String, type: String = "list", _ usage: String, check: Check? = nil) -> Flag {
        make(name, nil, .list(typeName: type), "", type, usage, check)
    }

    static func commaList(_ name: String, _ usage: String) -> Flag { make(name, nil, .commaList, "", "strings", usage, nil) }

    private static func make(
        _ name: String, _ short: Character?, _ kind: Kind, _ defaultValue: String, _ typeName: String, _ usage: String, _ check: Check?
    ) -> Flag {
        Flag(name: name, short: short, kind: kind, defaultValue: defaultValue, typeName: typeName, usage: usage, check: check)
    }

    /// Accepted for compatibility and left out of the help.
    func hidden() -> Flag {
        var copy = self
        copy.isHidden = true
        return copy
    }

    /// The value as it is stored, or what is wrong with it in the words of Go's strconv, which scripts have come to know.
    func normalise(_ value: String) throws -> String {
        let checked = try check?(value) ?? value
        switch kind {
        case .bool:
            guard let parsed = Flag.parseBool(checked) else { throw InvalidValue("strconv.ParseBool: parsing \(GoText.quoted(value)): invalid syntax") }
            return parsed ? "true" : "false"
        case .integer(let typeName, let range):
            let function = typeName.hasPrefix("uint") ? "ParseUint" : "ParseInt"
            guard let number = Flag.parseInteger(checked), range.lowerBound < 0 || !checked.hasPrefix("-") else {
                let digits = checked.drop { $0 == "-" || $0 == "+" }
                let outOfRange = !digits.isEmpty && digits.allSatisfy { $0.isASCII && $0.isNumber } && !(range.lowerBound >= 0 && checked.hasPrefix("-"))
                throw InvalidValue("strconv.\(function): parsing \(GoText.quoted(value)): \(outOfRange ? "value out of range" : "invalid syntax")")
            }
            guard range.contains(number) else { throw InvalidValue("strconv.\(function): parsing \(GoText.quoted(value)): value out of range") }
            return String(number)
        case .string, .list, .commaList: return checked
        }
    }

    /// The spellings of strconv.ParseBool.
    static func parseBool(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": true
        case "0", "f", "F", "false", "FALSE", "False": false
        default: nil
        }
    }

    /// Decimal, or with the prefix 0x, 0o, 0b or 0, as strconv.ParseInt with base 0.
    static func parseInteger(_ text: String) -> Int64? {
        let negative = text.hasPrefix("-")
        let digits = text.hasPrefix("-") || text.hasPrefix("+") ? text.dropFirst() : Substring(text)
        let lowered = digits.lowercased()
        let (body, radix): (Substring, Int) =
            lowered.hasPrefix("0x") ? (digits.dropFirst(2), 16)
            : lowered.hasPrefix("0o") ? (digits.dropFirst(2), 8)
            : lowered.hasPrefix("0b") ? (digits.dropFirst(2), 2)
            : lowered.hasPrefix("0") && lowered.count > 1 ? (digits.dropFirst(1), 8) : (digits, 10)
        guard let first = body.first, first != "-", first != "+" else { return nil }
        return Int64((negative ? "-" : "") + body, radix: radix)
    }
}
