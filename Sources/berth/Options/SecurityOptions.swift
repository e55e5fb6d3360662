import DockerAPI
import LinuxSystem

/// `--security-opt`: a seccomp profile given as a file is read here, since the daemon may stand on another machine.
struct SecurityOptions {
    private(set) var options: [String] = []
    /// `systempaths=unconfined`, which the client turns into empty lists of masked and read-only paths.
    private(set) var unmasksSystemPaths = false

    init(_ given: [String]) throws {
        for option in given {
            if option == "systempaths=unconfined" {
                unmasksSystemPaths = true
                continue
            }
            let separator: Character = option.contains("=") || option.hasPrefix("no-new-privileges") ? "=" : ":"
            let parts = option.split(separator: separator, maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let value = parts.count == 2 ? parts[1] : ""
            if value.isEmpty, parts[0] != "no-new-privileges" { throw CommandFailure("Invalid --security-opt: \(GoText.quoted(option))") }
            guard parts[0] == "seccomp", value != "unconfined", value != "builtin" else {
                options.append(option)
                continue
            }
            let content: [UInt8]
            do { content = try LocalFile.read(value) } catch {
                throw CommandFailure("opening seccomp profile (\(value)) failed: open \(value): \(error.errno.goDescription)")
            }
            do { options.append("seccomp=\(try JSONParser.parse(content).text)") } catch {
                throw CommandFailure("compacting json for seccomp profile (\(value)) failed: \(error)")
            }
        }
    }
}

/// `--restart`.
struct RestartPolicy {
    let name: String
    let maximumRetries: Int64

    static func parse(_ text: String) throws -> RestartPolicy {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2 else { return RestartPolicy(name: text, maximumRetries: 0) }
        guard !parts[0].isEmpty else { throw CommandFailure("invalid restart policy format: no policy provided before colon") }
        if parts[1].isEmpty { return RestartPolicy(name: parts[0], maximumRetries: 0) }
        guard let count = Int64(parts[1]) else {
            throw CommandFailure("invalid restart policy format: maximum retry count must be an integer")
        }
        return RestartPolicy(name: parts[0], maximumRetries: count)
    }

    var json: JSONValue { ["Name": .string(name), "MaximumRetryCount": .int(maximumRetries)] }
}

/// `--device`: `HOST[:CONTAINER][:rwm]`, or a CDI name such as `vendor.com/class=name`.
struct DeviceSpec {
    private(set) var mappings = JSONValue.array([])
    private(set) var requests = JSONValue.null

    static func parse(_ given: [String]) throws -> DeviceSpec {
        var names: [JSONValue] = []
        var mappings: [JSONValue] = []
        for device in given {
            if isCDI(device) { names.append(.string(device)) } else { mappings.append(try mapping(device)) }
        }
        var result = DeviceSpec()
        result.mappings = .array(mappings)
        if !names.isEmpty { result.requests = [["Driver": "cdi", "Count": 0, "DeviceIDs": .array(names), "Capabilities": .null, "Options": .null]] }
        return result
    }

    private static func isCDI(_ name: String) -> Bool {
        guard let slash = name.firstIndex(of: "/"), slash != name.startIndex, let equals = name[slash...].firstIndex(of: "=") else { return false }
        return equals > name.index(after: slash) && name.index(after: equals) < name.endIndex
    }

    private static func isMode(_ text: String) -> Bool {
        !text.isEmpty && text.allSatisfy { "rwm".contains($0) } && Set(text).count == text.count
    }

    private static func mapping(_ text: String) throws -> JSONValue {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 3, !parts[0].isEmpty else { throw CommandFailure("bad format for path: \(text)") }
        var inside = parts[0]
        var mode = "rwm"
        if parts.count == 2 { if isMode(parts[1]) { mode = parts[1] } else { inside = parts[1] } }
        if parts.count == 3 {
            guard isMode(parts[2]) else { throw CommandFailure("bad mode specified: \(parts[2])") }
            (inside, mode) = (parts[1], parts[2])
        }
        guard inside.hasPrefix("/") else { throw CommandFailure("\(inside) is not an absolute path") }
        let outside = parts.count < 3 && inside == parts[0] ? LocalFile.clean(parts[0]) : parts[0]
        return [
            "PathOnHost": .string(outside), "PathInContainer": .string(parts.count < 3 ? LocalFile.clean(inside) : inside), "CgroupPermissions": .string(mode),
        ]
    }
}
