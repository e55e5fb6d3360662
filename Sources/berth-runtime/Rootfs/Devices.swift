import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// What /dev has in every container, and the spec's devices besides.
///
/// Spec: config-linux.md#default-devices, runtime-linux.md#dev-symbolic-links.
enum Devices {
    /// A node to make: names and numbers checked.
    struct Node {
        let path: String
        let kind: mode_t
        let major: UInt32
        let minor: UInt32
        let mode: mode_t
        let uid: UInt32
        let gid: UInt32
    }

    static var defaults: [Node] {
        [
            usual("/dev/null", 1, 3), usual("/dev/zero", 1, 5), usual("/dev/full", 1, 7), usual("/dev/random", 1, 8), usual("/dev/urandom", 1, 9), usual("/dev/tty", 5, 0),
        ]
    }

    private static func usual(_ path: String, _ major: UInt32, _ minor: UInt32) -> Node {
        Node(path: path, kind: S_IFCHR, major: major, minor: minor, mode: 0o666, uid: 0, gid: 0)
    }

    static func plan(_ devices: [RuntimeSpec.Linux.Device]) throws(RuntimeError) -> [Node] {
        var nodes: [Node] = []
        for (index, device) in devices.enumerated() {
            func refused(_ problem: String) -> RuntimeError { RuntimeError(.invalidArgument, "linux.devices[\(index)] \(device.path): \(problem)") }
            guard device.path.isAbsolutePath, !device.path.contains(byte: 0) else { throw refused("the path is not absolute") }
            let kind: mode_t
            switch device.type {
            case "c", "u": kind = S_IFCHR
            case "b": kind = S_IFBLK
            case "p": kind = S_IFIFO
            default: throw refused("invalid device type \"\(device.type)\"")
            }
            guard let major = UInt32(exactly: device.major ?? 0), let minor = UInt32(exactly: device.minor ?? 0), major < 4096, minor < 1 << 20 else {
                throw refused("device number \(device.major ?? 0):\(device.minor ?? 0) is out of range")
            }
            if kind != S_IFIFO && (device.major == nil || device.minor == nil) { throw refused("major and minor are required") }
            // Always that of the container's own terminals.
            if device.path == "/dev/ptmx" { continue }
            nodes.append(
                Node(path: device.path, kind: kind, major: major, minor: minor, mode: (device.fileMode ?? 0o666) & 0o7777, uid: device.uid ?? 0, gid: device.gid ?? 0))
        }
        return defaults.filter { usual in !nodes.contains { $0.path == usual.path } } + nodes
    }

    /// Makes the nodes inside the root. Where mknod is not allowed (user namespaces) a prepared one is attached, or the host's is bound.
    static func create(_ nodes: [Node], in root: borrowing RootedPath, inUserNamespace: Bool, prepared: [Int: CInt]) throws(RuntimeError) {
        for (index, node) in nodes.enumerated() {
            do throws(SystemError) {
                if let ready = prepared[index] {
                    try Mounts.attach(OwnedFD(adopting: ready), onto: try root.makeFile(node.path), name: node.path)
                } else {
                    try create(node, in: root, inUserNamespace: inUserNamespace)
                }
            } catch { throw RuntimeError(error, while: "create device \(node.path)") }
        }
    }

    private static func create(_ node: Node, in root: borrowing RootedPath, inUserNamespace: Bool) throws(SystemError) {
        let place = try root.makeParent(of: node.path)
        if inUserNamespace && node.kind != S_IFIFO { return try bind(node, in: root) }
        do throws(SystemError) {
            try Files.makeNode(place.name, kind: node.kind, mode: node.mode, major: node.major, minor: node.minor, at: place.directory)
        } catch {
            switch error.errno {
            case .fileExists: return
            case .notPermitted where node.kind != S_IFIFO: return try bind(node, in: root)
            default: throw error
            }
        }
        try Files.setMode(place.name, node.mode, at: place.directory)
        if node.uid != 0 || node.gid != 0 { try Files.setOwner(place.name, uid: node.uid, gid: node.gid, at: place.directory) }
    }

    private static func bind(_ node: Node, in root: borrowing RootedPath) throws(SystemError) {
        let tree = try Mounts.cloneTree(node.path, recursive: false)
        guard try Files.status(of: tree, name: node.path).isDevice(node.kind, major: node.major, minor: node.minor) else {
            throw SystemError(call: "mknod", subject: "\(node.path), and the host has another device there", errno: .notPermitted)
        }
        let target = try root.makeFile(node.path)
        try Mounts.attach(tree, onto: target, name: node.path)
    }

    /// /dev/fd and its like, and /dev/ptmx of the container's own devpts. What the image or a mount brought is kept, except ptmx.
    static func createLinks(in root: borrowing RootedPath) throws(RuntimeError) {
        let hasCore = Files.exists("/proc/kcore")
        try during("create links in /dev") { () throws(SystemError) in
            let dev = try root.makeDirectories("/dev")
            try link("fd", to: "/proc/self/fd", in: dev)
            try link("stdin", to: "/proc/self/fd/0", in: dev)
            try link("stdout", to: "/proc/self/fd/1", in: dev)
            try link("stderr", to: "/proc/self/fd/2", in: dev)
            if hasCore { try link("core", to: "/proc/kcore", in: dev) }
            try? Files.unlink("ptmx", at: dev)
            try link("ptmx", to: "pts/ptmx", in: dev)
        }
    }

    private static func link(_ name: String, to target: String, in dev: borrowing OwnedFD) throws(SystemError) {
        do throws(SystemError) { try Files.makeSymlink(name, to: target, at: dev) } catch { if error.errno != .fileExists { throw error } }
    }
}
