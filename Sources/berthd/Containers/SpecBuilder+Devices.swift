import DockerAPI
import Glibc
import LinuxSystem
import OCISpec

/// Device nodes and the cgroup's list of what may be opened.
struct DeviceList: Sendable {
    private(set) var nodes: [RuntimeSpec.Linux.Device] = []
    private(set) var rules: [RuntimeSpec.Linux.Resources.DeviceRule] = []

    typealias Rule = RuntimeSpec.Linux.Resources.DeviceRule

    /// zero null urandom random full tty console ptmx, pts; mknod for everything: whether a node may be made is the matter of CAP_MKNOD.
    private static let defaults: [Rule] = [
        Rule(allow: false, access: "rwm"),
        Rule(allow: true, type: "c", access: "m"), Rule(allow: true, type: "b", access: "m"),
        Rule(allow: true, type: "c", major: 1, minor: 5, access: "rwm"), Rule(allow: true, type: "c", major: 1, minor: 3, access: "rwm"),
        Rule(allow: true, type: "c", major: 1, minor: 9, access: "rwm"), Rule(allow: true, type: "c", major: 1, minor: 8, access: "rwm"),
        Rule(allow: true, type: "c", major: 1, minor: 7, access: "rwm"), Rule(allow: true, type: "c", major: 5, minor: 0, access: "rwm"),
        Rule(allow: true, type: "c", major: 5, minor: 1, access: "rwm"), Rule(allow: true, type: "c", major: 5, minor: 2, access: "rwm"),
        Rule(allow: true, type: "c", major: 136, access: "rwm"),
    ]

    init(host: HostConfig, isPrivileged: Bool) throws {
        if let request = host.DeviceRequests?.first {
            throw DaemonError.invalid("could not select device driver \"\(request.Driver ?? "")\" with capabilities: \(request.Capabilities ?? [])")
        }
        if isPrivileged {
            rules = [Rule(allow: true, access: "rwm")]
            addAllHostDevices(in: "/dev")
        } else {
            rules = Self.defaults
        }
        for mapping in host.Devices ?? [] {
            try add(mapping, withRules: !isPrivileged)
        }
        for rule in host.DeviceCgroupRules ?? [] { rules.append(try Self.parse(rule)) }
    }

    private mutating func add(_ mapping: DeviceMapping, withRules: Bool) throws {
        let source = mapping.PathOnHost ?? ""
        let target = mapping.PathInContainer ?? ""
        let access = mapping.CgroupPermissions ?? "rwm"
        guard target.isAbsolutePath else { throw DaemonError.invalid("invalid device path \"\(target)\": it must be absolute") }
        guard !access.isEmpty, access.allSatisfy({ "rwm".contains($0) }) else { throw DaemonError.invalid("invalid device mode: \(access)") }
        guard let status = try? Files.status(source) else { throw DaemonError.invalid("error gathering device information while adding custom device \"\(source)\": no such file or directory") }
        if let node = Self.device(status, path: target) {
            append(node, access: access, withRules: withRules)
        } else if status.st_mode & S_IFMT == S_IFDIR {
            let before = nodes.count
            for name in (try? Files.entries(of: source)) ?? [] {
                guard let status = try? Files.status(source + "/" + name), let node = Self.device(status, path: target + "/" + name) else { continue }
                append(node, access: access, withRules: withRules)
            }
            guard nodes.count > before else { throw DaemonError.invalid("error gathering device information while adding custom device \"\(source)\": not a device node") }
        } else {
            throw DaemonError.invalid("error gathering device information while adding custom device \"\(source)\": not a device node")
        }
    }

    private mutating func append(_ node: RuntimeSpec.Linux.Device, access: String, withRules: Bool) {
        nodes.removeAll { $0.path == node.path }
        nodes.append(node)
        if withRules { rules.append(Rule(allow: true, type: node.type, major: node.major, minor: node.minor, access: access)) }
    }

    private mutating func addAllHostDevices(in directory: String) {
        for name in ((try? Files.entries(of: directory)) ?? []).sorted() {
            let path = directory + "/" + name
            var status = stat()
            guard lstat(path, &status) == 0 else { continue }
            if status.st_mode & S_IFMT == S_IFDIR {
                // Instances of their own in every container.
                guard !["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"].contains(name) else { continue }
                addAllHostDevices(in: path)
            } else if name != "console", let node = Self.device(status, path: path) {
                nodes.append(node)
            }
        }
    }

    private static func device(_ status: stat, path: String) -> RuntimeSpec.Linux.Device? {
        let type: String
        switch status.st_mode & S_IFMT {
        case S_IFCHR: type = "c"
        case S_IFBLK: type = "b"
        default: return nil
        }
        return .init(
            path: path, type: type, major: Int64(DeviceNumber.major(status.st_rdev)), minor: Int64(DeviceNumber.minor(status.st_rdev)), fileMode: UInt32(status.st_mode & 0o7777),
            uid: status.st_uid, gid: status.st_gid)
    }

    /// `c 42:* rmw`
    static func parse(_ text: String) throws(DaemonError) -> Rule {
        let parts = text.split(separator: " ").map(String.init)
        let failure = DaemonError.invalid("invalid device cgroup rule format: '\(text)'")
        guard parts.count == 3, ["a", "b", "c"].contains(parts[0]), !parts[2].isEmpty, parts[2].allSatisfy({ "rwm".contains($0) }) else { throw failure }
        let numbers = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        guard numbers.count == 2 else { throw failure }
        func number(_ text: Substring) throws(DaemonError) -> Int64? {
            if text == "*" { return nil }
            guard let value = Int64(text), value >= 0 else { throw failure }
            return value
        }
        return Rule(allow: true, type: parts[0], major: try number(numbers[0]), minor: try number(numbers[1]), access: parts[2])
    }
}

/// glibc's packing of a device number; its own functions are macros.
enum DeviceNumber {
    static func major(_ device: dev_t) -> UInt32 { UInt32(truncatingIfNeeded: (device >> 8 & 0xfff) | (device >> 32 & ~0xfff)) }
    static func minor(_ device: dev_t) -> UInt32 { UInt32(truncatingIfNeeded: (device & 0xff) | (device >> 12 & ~0xff)) }
}
