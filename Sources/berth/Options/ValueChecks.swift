import DockerAPI
import Glibc

/// Checks of flag values while the command line is read, with Docker's wording for what is wrong. Each returns the value as it is stored.
enum ValueChecks {
    static func bytes(_ text: String) throws -> String { String(try Sizes.parse(text)) }
    static func bytesOrMinusOne(_ text: String) throws -> String { text == "-1" ? "-1" : String(try Sizes.parse(text)) }
    static func cpus(_ text: String) throws -> String { String(try Sizes.parseNanoCPUs(text)) }
    static func duration(_ text: String) throws -> String { String(try Durations.parse(text)) }

    /// `NAME=VALUE`, or `NAME` alone, which takes the value from the client's own environment or is dropped there.
    static func environment(_ text: String) throws -> String {
        let name = text.prefix { $0 != "=" }
        guard !name.isEmpty else { throw InvalidValue("invalid environment variable: \(text)") }
        if text.contains("=") { return text }
        return getenv(text).map { "\(text)=\(String(cString: $0))" } ?? text
    }

    static func label(_ text: String) throws -> String {
        let name = text.prefix { $0 != "=" }.drop { $0 == " " || $0 == "\t" }
        guard !name.isEmpty, !name.contains(where: \.isWhitespace) else {
            throw InvalidValue(name.isEmpty ? "invalid label '\(text)': empty name" : "label '\(name)' contains whitespaces")
        }
        return text
    }

    static func attach(_ text: String) throws -> String {
        let lowered = text.lowercased()
        guard ["stdin", "stdout", "stderr"].contains(lowered) else { throw InvalidValue("valid streams are STDIN, STDOUT and STDERR") }
        return lowered
    }

    static func link(_ text: String) throws -> String {
        guard !text.isEmpty else { throw InvalidValue("empty string specified for links") }
        guard text.count(where: { $0 == ":" }) <= 1 else { throw InvalidValue("bad format for links: \(text)") }
        return text
    }

    static func isAddress(_ text: String) -> Bool {
        var four = in_addr()
        var six = in6_addr()
        let bare = text.prefix { $0 != "%" }
        return inet_pton(AF_INET, text, &four) == 1 || inet_pton(AF_INET6, String(bare), &six) == 1
    }

    static func address(_ text: String) throws -> String {
        let trimmed = text.trimmingBlanks()
        guard isAddress(trimmed) else { throw InvalidValue("IP address is not correctly formatted: \(text)") }
        return trimmed
    }

    static func searchDomain(_ text: String) throws -> String {
        let trimmed = text.trimmingBlanks()
        if trimmed == "." { return trimmed }
        let labels = trimmed.split(separator: ".", omittingEmptySubsequences: false)
        let fits = !trimmed.isEmpty && trimmed.contains(where: \.isLetter) && trimmed.utf8.count < 255
            && labels.enumerated().allSatisfy { index, label in
                (label.isEmpty && index == labels.count - 1) || (!label.isEmpty && !label.hasPrefix("-") && !label.hasSuffix("-")
                    && label.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") })
            }
        guard fits else { throw InvalidValue("\(text) is not a valid domain") }
        return trimmed
    }

    /// `HOST:IP` or `HOST=IP`, the address also in brackets; `host-gateway` stands for the engine's own address.
    static func extraHost(_ text: String) throws -> String {
        guard let cut = text.firstIndex(where: { $0 == "=" }) ?? text.firstIndex(of: ":"), cut != text.startIndex else {
            throw InvalidValue("bad format for add-host: \(GoText.quoted(text))")
        }
        var address = String(text[text.index(after: cut)...])
        if address.hasPrefix("["), address.hasSuffix("]") { address = String(address.dropFirst().dropLast()) }
        guard !address.isEmpty else { throw InvalidValue("bad format for add-host: \(GoText.quoted(text))") }
        guard address == "host-gateway" || isAddress(address) else { throw InvalidValue("invalid IP address in add-host: \(GoText.quoted(address))") }
        return "\(text[..<cut]):\(address)"
    }

    static func sysctl(_ text: String) throws -> String {
        let known: Set<String> = [
            "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
        ]
        let name = String(text.prefix { $0 != "=" })
        guard text.contains("="), known.contains(name) || name.hasPrefix("net.") || name.hasPrefix("fs.mqueue.") else {
            throw InvalidValue("sysctl '\(text)' is not allowed")
        }
        return text
    }

    static func ulimit(_ text: String) throws -> String {
        _ = try parseUlimit(text)
        return text
    }

    /// As the API takes them; the last of a name counts, and the names are in their order.
    static func ulimits(_ texts: [String]) -> [JSONValue] {
        var limits: [(name: String, json: JSONValue)] = []
        for text in texts {
            guard let limit = try? parseUlimit(text) else { continue }
            limits.removeAll { $0.name == limit.name }
            limits.append((limit.name, ["Name": .string(limit.name), "Hard": .int(limit.hard), "Soft": .int(limit.soft)]))
        }
        return limits.sorted { $0.name < $1.name }.map(\.json)
    }

    private static let ulimitNames: Set<String> = [
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack",
    ]

    /// `NAME=SOFT[:HARD]`; -1 is no limit.
    static func parseUlimit(_ text: String) throws -> (name: String, soft: Int64, hard: Int64) {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { throw InvalidValue("invalid ulimit argument: \(text)") }
        guard ulimitNames.contains(parts[0]) else { throw InvalidValue("invalid ulimit type: \(parts[0])") }
        let limits = parts[1].split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard limits.count <= 2 else { throw InvalidValue("too many limit value arguments - \(parts[1]), can only have up to two, `soft[:hard]`") }
        let numbers = try limits.map { limit -> Int64 in
            guard let number = Int64(limit) else { throw InvalidValue("strconv.ParseInt: parsing \(GoText.quoted(limit)): invalid syntax") }
            return number
        }
        let soft = numbers[0]
        let hard = numbers.count == 2 ? numbers[1] : soft
        if hard != -1 {
            if soft == -1 { throw InvalidValue("ulimit soft limit must be less than or equal to hard limit: soft: -1 (unlimited), hard: \(hard)") }
            if soft > hard { throw InvalidValue("ulimit soft limit must be less than or equal to hard limit: \(soft) > \(hard)") }
        }
        return (parts[0], soft, hard)
    }

    static func deviceBytes(_ text: String) throws -> String {
        let (path, rate) = try devicePath(text)
        guard let bytes = try? Sizes.parse(rate) else {
            throw InvalidValue(
                "invalid rate for device: \(text). The correct format is <device-path>:<number>[<unit>]. Number must be a positive integer. Unit is optional and can be kb, mb, or gb"
            )
        }
        return "\(path):\(bytes)"
    }

    static func deviceOperations(_ text: String) throws -> String {
        let (path, rate) = try devicePath(text)
        guard let count = UInt64(rate) else {
            throw InvalidValue("invalid rate for device: \(text). The correct format is <device-path>:<number>. Number must be a positive integer")
        }
        return "\(path):\(count)"
    }

    static func deviceWeight(_ text: String) throws -> String {
        let (path, weight) = try devicePath(text)
        guard let number = UInt16(weight), number == 0 || (10...1000).contains(number) else { throw InvalidValue("invalid weight for device: \(text)") }
        return "\(path):\(number)"
    }

    private static func devicePath(_ text: String) throws -> (String, String) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, !parts[0].isEmpty else { throw InvalidValue("bad format: \(text)") }
        guard parts[0].hasPrefix("/dev/") else { throw InvalidValue("bad format for device path: \(text)") }
        return (parts[0], parts[1])
    }

    /// `TYPE MAJOR:MINOR MODE`.
    static func deviceRule(_ text: String) throws -> String {
        let parts = text.split(separator: " ", omittingEmptySubsequences: false)
        let numbers = parts.count == 3 ? parts[1].split(separator: ":", omittingEmptySubsequences: false) : []
        let fits = parts.count == 3 && ["a", "b", "c"].contains(parts[0]) && numbers.count == 2
            && numbers.allSatisfy { $0 == "*" || (!$0.isEmpty && $0.allSatisfy { $0.isASCII && $0.isNumber }) }
            && (1...3).contains(parts[2].count) && parts[2].allSatisfy { "rwm".contains($0) }
        guard fits else { throw InvalidValue("invalid device cgroup format '\(text)'") }
        return text
    }

    static func isMAC(_ text: String) -> Bool {
        let parts = text.split(whereSeparator: { $0 == ":" || $0 == "-" })
        return parts.count == 6 && parts.allSatisfy { $0.count == 2 && UInt8($0, radix: 16) != nil }
    }

    /// `KEY=VALUE` of --filter, its key in lower case.
    static func filter(_ text: String) throws -> String {
        if text.isEmpty { return text }
        guard let equals = text.firstIndex(of: "=") else { throw InvalidValue("bad format of filter (expected name=value)") }
        return text[..<equals].lowercased().trimmingBlanks() + "=" + String(text[text.index(after: equals)...]).trimmingBlanks()
    }
}
