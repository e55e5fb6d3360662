import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import OCISpec

/// What `state` and `list --format json` print about a container, with runc's fields in runc's order.
struct ContainerSummary: Encodable {
    let ociVersion: String
    let id: String
    let pid: Int32
    let status: String
    let bundle: String
    let rootfs: String
    let created: String
    let annotations: [String: String]?
    let owner: String

    init(_ directory: borrowing ContainerDirectory) throws(RuntimeError) {
        let record = try directory.record()
        let cgroup = record.cgroup
        let status = directory.status(record, isFrozen: { cgroup.isFrozen })
        ociVersion = record.ociVersion
        id = record.id
        pid = status == .stopped ? 0 : record.initProcess?.pid ?? 0
        self.status = status.rawValue
        bundle = record.bundle
        rootfs = record.rootfs
        created = record.created
        annotations = record.annotations.isEmpty ? nil : record.annotations
        owner = record.ownerUID == 0 ? "root" : ""
    }
}

/// `state`
enum StateCommand {
    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let directory = try ContainerDirectory.open(root: global.root, id: try soleArgument(options, "state"))
        try Output.write(try ConfigLoader.encode(try ContainerSummary(directory), indented: true) + [UInt8(ascii: "\n")])
        return 0
    }
}

/// Standard output.
enum Output {
    static func write(_ bytes: [UInt8]) throws(RuntimeError) {
        try attempt { () throws(SystemError) in try Files.writeAll(bytes, toRaw: 1, name: "standard output") }
    }

    static func write(_ text: String) throws(RuntimeError) { try write(Array(text.utf8)) }
}
