import LinuxSystem

/// Docker's json-file format: one JSON object per line.
///
///     {"log":"text\n","stream":"stdout","attrs":{"tag":"x"},"time":"2026-01-02T03:04:05.123456789Z"}
///
/// A part of a line that goes on has no `\n` in its text. All parts of a line carry the time of the first.
final class JSONFileEncoder: LogEncoder {
    private static let head = Array("{\"log\":\"".utf8)

    private let attributes: [UInt8]
    private var stdout = Tails(stream: "stdout")
    private var stderr = Tails(stream: "stderr")
    private var time: (seconds: Int, nanoseconds: Int) = (0, 0)

    /// What follows the text of a message: built once per batch and stream.
    private struct Tails {
        let stream: String
        var current: [UInt8] = []
        var isCurrent = false
        /// The tail of the line whose parts are being logged.
        var partial: [UInt8] = []
    }

    init(attributes: [(key: String, value: String)]) {
        guard !attributes.isEmpty else { self.attributes = []; return }
        var text = Array(",\"attrs\":{".utf8)
        for (index, pair) in attributes.enumerated() {
            if index > 0 { text.append(UInt8(ascii: ",")) }
            text += JSONEscape.quoted(pair.key) + [UInt8(ascii: ":")] + JSONEscape.quoted(pair.value)
        }
        self.attributes = text + [UInt8(ascii: "}")]
    }

    func begin(_ time: (seconds: Int, nanoseconds: Int)) {
        self.time = time
        stdout.isCurrent = false
        stderr.isCurrent = false
    }

    func capacity(for count: Int) -> Int { count * JSONEscape.largestExpansion + JSONEscape.slack + 160 + attributes.count }

    func encode(
        _ message: UnsafePointer<UInt8>, count: Int, from stream: OutputStream, part: LinePart, to target: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        switch stream {
        case .stdout: encode(message, count, part, &stdout, to: target)
        case .stderr: encode(message, count, part, &stderr, to: target)
        }
    }

    @inline(__always)
    private func encode(
        _ message: UnsafePointer<UInt8>, _ count: Int, _ part: LinePart, _ tails: inout Tails, to target: UnsafeMutablePointer<UInt8>
    ) -> UnsafeMutablePointer<UInt8> {
        if !tails.isCurrent { refresh(&tails) }
        target.update(from: JSONFileEncoder.head, count: JSONFileEncoder.head.count)
        var write = JSONEscape.escape(message, count: count, to: target + JSONFileEncoder.head.count)
        switch part {
        case .whole:
            write = JSONFileEncoder.append(tails.current, lineFeed: true, to: write)
        case .partial:
            if tails.partial.isEmpty { tails.partial = tails.current }
            write = JSONFileEncoder.append(tails.partial, lineFeed: false, to: write)
        case .last:
            write = JSONFileEncoder.append(tails.partial.isEmpty ? tails.current : tails.partial, lineFeed: true, to: write)
            tails.partial = []
        }
        return write
    }

    @inline(__always)
    private static func append(_ tail: borrowing [UInt8], lineFeed: Bool, to target: UnsafeMutablePointer<UInt8>) -> UnsafeMutablePointer<UInt8> {
        var write = target
        if lineFeed {
            write[0] = UInt8(ascii: "\\")
            write[1] = UInt8(ascii: "n")
            write += 2
        }
        let count = tail.count
        tail.withUnsafeBufferPointer { write.update(from: $0.baseAddress!, count: count) }
        return write + count
    }

    private func refresh(_ tails: inout Tails) {
        tails.current = Array("\",\"stream\":\"\(tails.stream)\"".utf8) + attributes + Array(",\"time\":\"\(Clock.rfc3339(time, shortened: true))\"}\n".utf8)
        tails.isCurrent = true
    }
}
