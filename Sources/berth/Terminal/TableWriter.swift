/// Columns as Go's tabwriter aligns them: cells end at tabs, a column is as wide as its widest cell in consecutive lines that have it, and the last cell of a
/// line belongs to no column.
struct TableWriter {
    var minimumWidth = 10
    var padding = 3

    func align(_ text: String) -> String {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0.split(separator: "\t", omittingEmptySubsequences: false) }
        let endsWithNewline = lines.last.map { $0.count == 1 && $0[0].isEmpty } ?? false
        if endsWithNewline { lines.removeLast() }
        var widths = lines.map { [Int](repeating: 0, count: $0.count) }
        format(lines, 0..<lines.count, column: 0, &widths)
        var result = ""
        for (index, line) in lines.enumerated() {
            for (column, cell) in line.enumerated() {
                result += cell
                if column < line.count - 1 {
                    result += String(repeating: " ", count: max(0, widths[index][column] - cell.unicodeScalars.count))
                }
            }
            if index < lines.count - 1 || endsWithNewline { result += "\n" }
        }
        return result
    }

    /// Sets the width of `column` over every run of lines that have a tab behind it, then does the same for the next column inside that run.
    private func format(_ lines: [[Substring]], _ range: Range<Int>, column: Int, _ widths: inout [[Int]]) {
        var start = range.lowerBound
        while start < range.upperBound {
            guard lines[start].count - 1 > column else {
                start += 1
                continue
            }
            var end = start
            while end < range.upperBound, lines[end].count - 1 > column { end += 1 }
            let run = start..<end
            let widest = run.map { lines[$0][column].unicodeScalars.count }.max() ?? 0
            let width = widest == 0 && minimumWidth == 0 ? 0 : max(widest + padding, minimumWidth)
            for line in run { widths[line][column] = width }
            format(lines, run, column: column + 1, &widths)
            start = end
        }
    }
}
