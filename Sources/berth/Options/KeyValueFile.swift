import Glibc
import LinuxSystem

/// Files of `KEY=VALUE` lines, as --env-file and --label-file take them.
enum KeyValueFile {
    /// - Parameter lookup: gives the value of a key that stands alone; without it the bare key is kept.
    static func read(_ path: String, lookup: ((String) -> String?)? = nil) throws -> [String] {
        let content: [UInt8]
        do { content = try LocalFile.read(path) } catch { throw CommandFailure("open \(path): \(error.errno.goDescription)") }
        var lines: [String] = []
        for (index, raw) in content.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            guard let text = String(validating: raw, as: UTF8.self) else {
                throw CommandFailure("failed to parse file '\(path)': invalid utf8 bytes at line \(index + 1): '\(String(decoding: raw, as: UTF8.self))'")
            }
            var line = Substring(text)
            if index == 0, line.hasPrefix("\u{FEFF}") { line.removeFirst() }
            if line.last == "\r" { line.removeLast() }
            line = line.drop { $0 == " " || $0 == "\t" }
            guard !line.isEmpty, line.first != "#" else { continue }
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard !parts[0].isEmpty else { throw CommandFailure("failed to parse file '\(path)': no variable name on line '\(line)'") }
            guard !parts[0].contains(where: { $0 == " " || $0 == "\t" }) else {
                throw CommandFailure("failed to parse file '\(path)': variable '\(parts[0])' contains whitespaces")
            }
            if parts.count == 2 {
                lines.append(String(line))
            } else if let lookup {
                if let value = lookup(parts[0]) { lines.append("\(parts[0])=\(value)") }
            } else {
                lines.append(String(line))
            }
        }
        return lines
    }

    /// Env files first, then `-e`, so that the flag wins.
    static func environment(files: [String], flags: [String]) throws -> [String] {
        try files.flatMap { try read($0) { name in getenv(name).map { String(cString: $0) } } } + flags
    }

    /// The same for labels, as an object in which the last value of a key wins.
    static func labels(files: [String], flags: [String]) throws -> JSONObject {
        map(try files.flatMap { try read($0) } + flags)
    }

    /// `["K=V", "K"]` as an object; a key alone has an empty value.
    static func map(_ pairs: [String]) -> JSONObject {
        var result = JSONObject()
        for pair in pairs {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            result[parts[0]] = .string(parts.count == 2 ? parts[1] : "")
        }
        return result
    }
}
