/// Shows the progress messages of pull, push, load, import: bars that move in place on a terminal, plain lines elsewhere.
struct ProgressDisplay {
    private let write: (String) -> Void
    private let isTerminal: Bool
    private let width: Int
    /// Which line below the first bar belongs to which layer.
    private var lines: [String: Int] = [:]

    /// - Parameter width: columns of the terminal; under 110 the bars are left out, as Docker does.
    init(isTerminal: Bool, width: Int, write: @escaping (String) -> Void) {
        self.isTerminal = isTerminal
        self.width = width == 0 ? 200 : width
        self.write = write
    }

    /// Shows a whole stream.
    /// - Throws: `CommandFailure` with the error the stream ends in.
    mutating func show(_ response: HTTPResponse, onAux: (JSONValue) -> Void = { _ in }) throws {
        var stream = JSONStream()
        while case let bytes = try response.read(), !bytes.isEmpty {
            for message in try stream.append(bytes) { try show(message, onAux) }
        }
    }

    mutating func show(_ message: JSONValue, _ onAux: (JSONValue) -> Void = { _ in }) throws {
        if let aux = message["aux"], !aux.isNull {
            onAux(aux)
            return
        }
        let id = message.string("id")
        let progress = message["progressDetail"]
        var distance = 0
        if !id.isEmpty, progress != nil || !message.string("progress").isEmpty {
            if lines[id] == nil {
                lines[id] = lines.count
                if isTerminal { write("\n") }
            }
            distance = lines.count - (lines[id] ?? 0)
            if isTerminal { write("\u{1B}[\(distance)A") }
        } else {
            lines = [:]
        }
        let failure = message["errorDetail"].map { ($0.int("code"), $0.string("message")) } ?? (message["error"]?.stringValue).map { (0, $0) }
        if failure == nil { showLine(message, progress: progress) }
        if distance > 0, isTerminal { write("\u{1B}[\(distance)B") }
        if let (code, text) = failure { throw CommandFailure(code == 401 ? "authentication is required" : text) }
    }

    private func showLine(_ message: JSONValue, progress: JSONValue?) {
        let bar = progress.map(ProgressDisplay.bar(width)) ?? ""
        let (stream, id) = (message.string("stream"), message.string("id"))
        var text = ""
        var end = ""
        if isTerminal, stream.isEmpty, progress != nil {
            text = "\u{1B}[2K\r"
            end = "\r"
        } else if !bar.isEmpty {
            // Progress without a terminal would only fill a log
            return
        }
        if !id.isEmpty { text += "\(id): " }
        if !message.string("from").isEmpty { text += "(from \(message.string("from"))) " }
        if progress != nil, isTerminal {
            text += "\(message.string("status")) \(bar)\(end)"
        } else if !stream.isEmpty {
            text += stream + end
        } else {
            text += "\(message.string("status"))\(end)\n"
        }
        write(text)
    }

    private static func bar(_ width: Int) -> (JSONValue) -> String {
        { progress in
            let (current, total, units) = (progress.int("current"), progress.int("total"), progress.string("units"))
            if current <= 0, total <= 0 { return "" }
            func right(_ text: String) -> String { String(repeating: " ", count: max(0, 8 - text.count)) + text }
            if total <= 0 { return units.isEmpty ? right(Sizes.human(Double(current))) : "\(current) \(units)" }
            let half = min(50, Int(Double(current) / Double(total) * 100) / 2)
            let box = width > 110 ? "[" + String(repeating: "=", count: half) + ">" + String(repeating: " ", count: 50 - half) + "] " : ""
            if progress.bool("hidecounts") { return box }
            if !units.isEmpty { return box + (current > total ? "\(current) \(units)" : "\(current)/\(total) \(units)") }
            let now = right(Sizes.human(Double(current)))
            return box + (current > total ? now : "\(now)/\(Sizes.human(Double(total)))")
        }
    }
}

/// JSON values that arrive one after another in pieces of any size.
struct JSONStream {
    private var rest: [UInt8] = []
    private var depth = 0
    private var inString = false
    private var escaped = false
    private var scanned = 0

    /// The values that are complete now.
    mutating func append(_ bytes: ArraySlice<UInt8>) throws -> [JSONValue] {
        rest += bytes
        var values: [JSONValue] = []
        var start = 0
        while scanned < rest.count {
            let byte = rest[scanned]
            scanned += 1
            if inString {
                if escaped { escaped = false } else if byte == UInt8(ascii: "\\") { escaped = true } else if byte == UInt8(ascii: "\"") { inString = false }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): inString = true
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                depth -= 1
                if depth == 0 {
                    do { values.append(try JSONParser.parse(Array(rest[start..<scanned]))) } catch { throw CommandFailure("invalid character in stream") }
                    start = scanned
                }
            default: break
            }
        }
        rest.removeSubrange(0..<start)
        scanned -= start
        return values
    }
}
