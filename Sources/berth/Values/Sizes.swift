import Glibc

/// Numbers as people write them: sizes in and out, as Docker's go-units prints them.
enum Sizes {
    /// With powers of 1000 and four significant digits: `4.27MB`.
    static func human(_ bytes: Double, precision: Int = 4) -> String {
        scaled(bytes, base: 1000, units: ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], precision: precision)
    }

    /// With powers of 1024: `7.75GiB`.
    static func binary(_ bytes: Double) -> String {
        scaled(bytes, base: 1024, units: ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"], precision: 4)
    }

    private static func scaled(_ bytes: Double, base: Double, units: [String], precision: Int) -> String {
        var size = bytes
        var index = 0
        while size >= base, index < units.count - 1 {
            size /= base
            index += 1
        }
        return GoFormat.general(size, precision: precision) + units[index]
    }

    /// A size such as `512m`, `1.5g`, `64KiB` in powers of 1024.
    /// - Throws: `InvalidValue` in go-units' words.
    static func parse(_ text: String) throws -> Int64 {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        // go-units allows one blank between number and unit and signs nowhere but in front of "-1"
        guard let value = Double(digits), !digits.isEmpty else { throw InvalidValue("invalid size: '\(text)'") }
        var unit = text.dropFirst(digits.count)
        if unit.first == " " { unit = unit.dropFirst() }
        let lowered = unit.lowercased()
        if lowered.isEmpty || lowered == "b" { return Int64(value) }
        guard let power = ["k", "m", "g", "t", "p"].firstIndex(where: { lowered.hasPrefix($0) }) else {
            throw InvalidValue("invalid suffix: '\(unit)'")
        }
        let rest = lowered.dropFirst()
        guard rest.isEmpty || rest == "b" || rest == "ib" else { throw InvalidValue("invalid suffix: '\(unit)'") }
        let size = value * pow(1024, Double(power + 1))
        guard size < 9.2e18 else { throw InvalidValue("invalid size: '\(text)'") }
        return Int64(size)
    }

    /// CPUs such as `1.5`, in units of a billionth.
    static func parseNanoCPUs(_ text: String) throws -> Int64 {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let fraction = parts.count == 2 ? String(parts[1]) : ""
        guard parts.count <= 2, !text.isEmpty, parts.allSatisfy({ $0.allSatisfy { $0.isASCII && $0.isNumber } }), text != "." else {
            throw InvalidValue("failed to parse \(text) as a rational number")
        }
        guard fraction.count <= 9 || fraction.dropFirst(9).allSatisfy({ $0 == "0" }) else { throw InvalidValue("value is too precise") }
        let digits = fraction.prefix(9) + String(repeating: "0", count: max(0, 9 - fraction.count))
        guard let whole = Int64(parts[0].isEmpty ? "0" : String(parts[0])), whole < 9_000_000_000 else {
            throw InvalidValue("failed to parse \(text) as a rational number")
        }
        return whole * 1_000_000_000 + (Int64(digits) ?? 0)
    }
}

/// Number formats of Go's fmt that the output depends on.
enum GoFormat {
    /// `%.Ng`: N significant digits, no trailing zeros, an exponent only where the number needs one.
    static func general(_ value: Double, precision: Int) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            withVaList([Int32(precision), value]) { _ = vsnprintf(base, buffer.count, "%.*g", $0) }
            return String(cString: base)
        }
    }

    /// `%.Nf`.
    static func fixed(_ value: Double, _ decimals: Int) -> String {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 400) { buffer in
            guard let base = buffer.baseAddress else { return "" }
            withVaList([Int32(decimals), value]) { _ = vsnprintf(base, buffer.count, "%.*f", $0) }
            return String(cString: base)
        }
    }
}
