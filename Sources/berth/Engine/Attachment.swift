/// Opening the raw streams of containers and execs, and telling the engine how large the terminal is.
enum Attachment {
    static func open(_ engine: EngineClient, _ id: String, input: Bool, output: Bool, errors: Bool, keys: String) throws -> HTTPResponse {
        var query = [("stream", "1")]
        if input { query.append(("stdin", "1")) }
        if output { query.append(("stdout", "1")) }
        if errors { query.append(("stderr", "1")) }
        if !keys.isEmpty { query.append(("detachKeys", keys)) }
        return try engine.open("POST", "/containers/\(id)/attach", query: query, upgrade: true)
    }

    /// Tells the size of standard output's terminal. A failure has no consequence worth a message.
    static func resize(_ engine: EngineClient, _ path: String, growing extra: Int = 0) {
        let size = LocalTerminal(descriptor: 1).size
        guard size.height > 0, size.width > 0 else { return }
        _ = try? engine.call("POST", path, query: [("h", String(size.height + extra)), ("w", String(size.width + extra))])
    }
}

/// The keys that leave a container running: looked for in what is typed, so that the client knows that the end of the stream is not the container's.
struct DetachSequence {
    private let keys: [UInt8]
    private var matched = 0

    /// - Parameter text: such as `ctrl-p,ctrl-q`, which is what an empty one means.
    init(_ text: String) throws {
        var keys: [UInt8] = []
        for key in (text.isEmpty ? "ctrl-p,ctrl-q" : text).split(separator: ",", omittingEmptySubsequences: false) {
            if key.utf8.count == 1, let byte = key.utf8.first {
                keys.append(byte)
            } else if key.hasPrefix("ctrl-"), key.utf8.count == 6, let byte = key.utf8.last, (64...95).contains(byte) || (97...122).contains(byte) {
                keys.append(byte & 0x1F)
            } else if key == "DEL" {
                keys.append(127)
            } else {
                throw CommandFailure("invalid detach keys (\(text)): Unknown character: '\(key)'")
            }
        }
        self.keys = keys
    }

    /// What of the typed bytes goes on to the container; nil once the sequence is complete. A beginning that turns out to be something else is handed on later.
    mutating func filter(_ bytes: [UInt8]) -> [UInt8]? {
        var result: [UInt8] = []
        for byte in bytes {
            if byte == keys[matched] {
                matched += 1
                if matched == keys.count { return nil }
                continue
            }
            result += keys[..<matched]
            matched = byte == keys[0] ? 1 : 0
            if matched == keys.count { return nil }
            if matched == 0 { result.append(byte) }
        }
        return result
    }
}
