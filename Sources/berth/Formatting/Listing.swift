/// How a listing is written: `table`, `table TEMPLATE`, `json`, or a template for each row.
struct Listing {
    /// The template of the default table, with `table ` in front.
    let format: String
    /// Column titles by field.
    let headers: [(field: String, title: String)]

    /// - Parameters:
    ///   - given: `--format`, or what the configuration file says.
    ///   - table: the default columns, separated by tabs.
    ///   - quiet: the template of `--quiet`.
    static func choose(given: String, table: String, quiet: String?, headers: [(field: String, title: String)]) -> Listing {
        let isDefault = given.isEmpty || given == "table"
        let format = isDefault ? quiet ?? "table " + table : quiet != nil && !given.isEmpty && given != "json" ? quiet ?? given : given
        return Listing(format: format, headers: headers)
    }

    var isTable: Bool { format.hasPrefix("table") }

    /// Whether the template uses a field; `size` for instance is asked from the engine only then.
    func uses(_ field: String) -> Bool {
        guard format != "json", let template = try? Template(finalFormat) else { return false }
        var used = false
        let row = TemplateRow(
            typeName: "", fields: headers.map { header in
                (header.field, {
                    if header.field == field { used = true }
                    return .string("")
                })
            }, label: { _ in "" })
        _ = try? template.render(.row(row))
        return used
    }

    private var finalFormat: String {
        var text = Substring(format)
        if isTable { text = text.dropFirst("table".count) } else if format == "json" { text = "{{json .}}" }
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text).replacing("\\t", with: "\t").replacing("\\n", with: "\n")
    }

    /// - Throws: `CommandFailure` when the template is wrong.
    func render(_ rows: [TemplateRow]) throws -> String {
        do {
            var template = try Template(finalFormat)
            var body = ""
            for row in rows { body += try template.render(.row(row)) + "\n" }
            guard isTable else { return body }
            template.isHeader = true
            let titles = TemplateRow(typeName: TemplateRow.mapType, fields: headers.map { header in (header.field, { .string(header.title) }) }) { name in
                String(name.split(separator: ".").last ?? "").replacing("-", with: " ").replacing("_", with: " ")
            }
            let header = (try? template.render(.row(titles))) ?? ""
            return TableWriter().align(header + "\n" + body)
        } catch let error as TemplateError { throw CommandFailure("template parsing error: \(error.message)") }
    }
}

extension TemplateRow {
    /// A row that stands for a map: a missing field prints as `<no value>`.
    static let mapType = "map[string]string"
}

/// Text of fixed width for the tables.
enum Shortening {
    /// The first twelve characters of an id, without its algorithm.
    static func id(_ id: String) -> String {
        let bare = id.firstIndex(of: ":").map { id[id.index(after: $0)...] } ?? Substring(id)
        return String(bare.prefix(12))
    }

    /// At most `width` columns, the last one an ellipsis.
    static func ellipsis(_ text: String, _ width: Int) -> String {
        if text.utf8.count == text.unicodeScalars.count {
            return text.utf8.count <= width ? text : String(text.unicodeScalars.prefix(width - 1).map(Character.init)) + "…"
        }
        let columns = text.unicodeScalars.map { isWide($0) ? 2 : 1 }
        guard columns.reduce(0, +) > width else { return text }
        var used = 0
        var result = ""
        for (scalar, column) in zip(text.unicodeScalars, columns) {
            guard used + column <= width - 1 else { break }
            used += column
            result.unicodeScalars.append(scalar)
        }
        return result + "…"
    }

    /// East Asian wide and full-width characters take two columns.
    private static func isWide(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF, 0xAC00...0xD7A3, 0xF900...0xFAFF,
            0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
            true
        default: false
        }
    }
}

/// Orders names as people do: `web2` before `web10`.
func naturallyPrecedes(_ left: String, _ right: String) -> Bool {
    var (a, b) = (Substring(left), Substring(right))
    func isDigit(_ character: Character?) -> Bool { character.map { $0.isASCII && $0.isNumber } ?? false }
    while let x = a.first, let y = b.first {
        if isDigit(x), isDigit(y) {
            let (first, second) = (a.prefix { isDigit($0) }, b.prefix { isDigit($0) })
            let (m, n) = (first.drop { $0 == "0" }, second.drop { $0 == "0" })
            if m.count != n.count { return m.count < n.count }
            if m != n { return m < n }
            if first.count != second.count { return first.count < second.count }
            a = a.dropFirst(first.count)
            b = b.dropFirst(second.count)
        } else {
            if x != y { return x < y }
            a.removeFirst()
            b.removeFirst()
        }
    }
    return a.isEmpty && !b.isEmpty
}
