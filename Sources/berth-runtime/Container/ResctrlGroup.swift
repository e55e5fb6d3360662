import BerthDefaults
import LinuxSystem
import OCISpec

/// The container's class of service in resctrl: shares of cache and memory bandwidth (Intel RDT and its like on other processors).
///
/// A group that has a name of its own (`closID`) is shared and stays; one named after the container is removed with it, as is its monitoring group.
///
/// Spec: config-linux.md#intelrdt. Kernel: Documentation/filesystems/resctrl.rst.
struct ResctrlGroup: Equatable {
    /// Directory of the class; the root of resctrl for "/".
    let path: String
    /// `mon_groups/ID` in it.
    let monitoringPath: String?
    /// Named after the container and made for it.
    var isOwned = false

    typealias Config = RuntimeSpec.Linux.IntelRdt

    /// Where resctrl is mounted, nil on a machine without.
    static func mountPoint() -> String? {
        guard let text = try? Files.readText("/proc/self/mounts") else { return nil }
        for line in text.fields(by: "\n") {
            let fields = line.fields(by: " ")
            if fields.count > 2, fields[2] == "resctrl" { return String(fields[1]) }
        }
        return nil
    }

    /// Refuses what can be refused before the container is started.
    static func check(_ config: Config, id: String) throws(RuntimeError) {
        let lines = [config.l3CacheSchema ?? "", config.memBwSchema ?? ""] + config.schemata
        if lines.contains(where: { $0.contains(byte: UInt8(ascii: "\n")) || $0.contains(byte: 0) }) {
            throw RuntimeError(.invalidArgument, "linux.intelRdt: a schema with a line feed")
        }
        if let schema = config.memBwSchema, !schema.isEmpty, !schema.hasPrefix("MB:") {
            throw RuntimeError(.invalidArgument, "linux.intelRdt.memBwSchema: \"\(schema)\" does not start with MB:")
        }
        let name = config.closID ?? ""
        if name == "." || name == ".." || name.contains(byte: 0) || (name.utf8.count > 1 && name.contains("/")) {
            throw RuntimeError(.invalidArgument, "invalid intelRdt.ClosID \"\(name)\"")
        }
        if mountPoint() == nil { throw RuntimeError(.failedPrecondition, "intelRdt is specified in config, but Intel RDT is not enabled (no resctrl is mounted)") }
    }

    init(_ config: Config, id: String, below base: String) {
        let name = config.closID ?? ""
        path = name == "/" ? base : "\(base)/\(name.isEmpty ? id : name)"
        monitoringPath = config.enableMonitoring ? "\(path)/mon_groups/\(id)" : nil
    }

    /// Makes the groups where they are missing, writes the schemata and puts a process in.
    mutating func enter(_ pid: Int32, _ config: Config) throws(RuntimeError) {
        // In the order the specification demands.
        let lines = ([config.l3CacheSchema ?? "", config.memBwSchema ?? ""] + config.schemata).filter { !$0.isEmpty }
        let hasName = !(config.closID ?? "").isEmpty
        do throws(RuntimeError) {
            if hasName && lines.isEmpty && !Files.exists(path) { throw RuntimeError(.notFound, "closID \"\(config.closID ?? "")\" does not exist and there is no schema to make it with") }
            let isNew = try make(path)
            isOwned = isNew && !hasName
            if hasName && !isNew { try compare(lines) } else if !lines.isEmpty { try write(lines) }
            try attempt { () throws(SystemError) in try Files.write("\(pid)", toExisting: "\(path)/tasks") }
            guard let monitoringPath else { return }
            _ = try make(monitoringPath)
            try attempt { () throws(SystemError) in try Files.write("\(pid)", toExisting: "\(monitoringPath)/tasks") }
        } catch { throw error.during("linux.intelRdt") }
    }

    /// Other schemata than before, for `update`.
    func write(_ lines: [String]) throws(RuntimeError) {
        try attempt { () throws(SystemError) in try Files.write(lines.map { "\($0)\n" }.joined(), toExisting: "\(path)/schemata") }
    }

    /// Removes what was made for the container.
    func remove() {
        if let monitoringPath { try? Files.removeEmptyDirectory(monitoringPath) }
        if isOwned { try? Files.removeEmptyDirectory(path) }
    }

    /// Tells whether the directory is new.
    private func make(_ path: String) throws(RuntimeError) -> Bool {
        do throws(SystemError) {
            try Files.makeDirectory(path)
            return true
        } catch {
            if error.errno == .fileExists { return false }
            throw RuntimeError(error)
        }
    }

    /// A class that others may be using is joined only if it is what the config wants.
    private func compare(_ lines: [String]) throws(RuntimeError) {
        if lines.isEmpty { return }
        let present = try attempt { () throws(SystemError) in try Files.readText("\(path)/schemata") }.fields(by: "\n").map { Schema($0) }
        for line in lines {
            let wanted = Schema(line[...])
            guard let found = present.first(where: { $0.resource == wanted.resource }), wanted.shares.allSatisfy({ found.shares[$0.key] == $0.value }) else {
                throw RuntimeError(.failedPrecondition, "closID \"\(path)\" exists and has another schema than \"\(line)\"")
            }
        }
    }

    /// "L3:0=7f0;1=1f": the kernel prints it with other spaces and zeros than it was written with.
    struct Schema: Equatable {
        let resource: String
        let shares: [String: String]

        init(_ line: Substring) {
            let parts = line.fields(by: ":", limit: 2)
            func trimmed(_ text: Substring) -> Substring { text.drop { $0 == " " || $0 == "0" } }
            resource = parts.first.map { String($0.drop { $0 == " " }) } ?? ""
            var shares: [String: String] = [:]
            for part in parts.count > 1 ? parts[1].fields(by: ";") : [] {
                let pair = part.fields(by: "=", limit: 2)
                if pair.count == 2 { shares[String(trimmed(pair[0]))] = trimmed(pair[1]).lowercased() }
            }
            self.shares = shares
        }
    }
}
