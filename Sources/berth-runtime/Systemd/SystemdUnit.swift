import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem
import SystemdBus

/// The unit whose cgroup is the container's, where systemd makes it (`--systemd-cgroup`).
///
/// `cgroupsPath` is then `SLICE:PREFIX:NAME`: the unit `PREFIX-NAME.scope` in SLICE, or, where NAME ends in ".slice", the slice of that name.
struct SystemdUnit: Equatable {
    let name: String
    /// The slice it is in, by its name alone.
    let slice: String
    /// Of the caller's own manager, not the machine's.
    let isUser: Bool

    var isScope: Bool { !name.hasSuffix(".slice") }

    /// - Throws: `invalidArgument` for a path that is not of that form; `failedPrecondition` where systemd does not run.
    static func plan(path: String?, id: String) throws(RuntimeError) -> SystemdUnit {
        guard let status = try? Files.status("/run/systemd/system"), status.isDirectory else {
            throw RuntimeError(.failedPrecondition, "systemd not running on this host, cannot use systemd cgroups manager")
        }
        return try parse(path, id: id, isUser: !ProcessAttributes.isPrivileged)
    }

    static func parse(_ path: String?, id: String, isUser: Bool) throws(RuntimeError) -> SystemdUnit {
        let path = path ?? ""
        let parts = path.isEmpty ? ["", "berth", Substring(id)] : path.fields(by: ":", keepsEmpty: true)
        guard parts.count == 3 else {
            throw RuntimeError(.invalidArgument, "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got \"\(path)\" instead")
        }
        let name = parts[2].hasSuffix(".slice") ? String(parts[2]) : "\(parts[1])-\(parts[2]).scope"
        let slice = parts[0].isEmpty ? (isUser ? "user.slice" : "system.slice") : String(parts[0])
        let isPlain = name.utf8.allSatisfy { byte in byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "/") }
        guard isPlain, name.utf8.count <= 255, !parts[2].isEmpty else { throw RuntimeError(.invalidArgument, "linux.cgroupsPath: invalid unit name: \(name)") }
        _ = try directory(ofSlice: slice)
        return SystemdUnit(name: name, slice: slice, isUser: isUser)
    }

    /// Where a slice is: "a-b.slice" is "/a.slice/a-b.slice", "-.slice" the root.
    static func directory(ofSlice slice: String) throws(RuntimeError) -> String {
        let invalid = RuntimeError(.invalidArgument, "linux.cgroupsPath: invalid slice name: \(slice)")
        guard slice.hasSuffix(".slice"), slice.utf8.count > 6, !slice.utf8.contains(where: { $0 <= 0x20 || $0 >= 0x7F || $0 == UInt8(ascii: "/") }) else { throw invalid }
        let stem = slice.dropLast(6)
        if stem == "-" { return "" }
        var path = "", prefix = ""
        for part in stem.fields(by: "-", keepsEmpty: true) {
            if part.isEmpty { throw invalid }
            path += "/\(prefix)\(part).slice"
            prefix += "\(part)-"
        }
        return path
    }

    /// A connection to the manager that the unit is of.
    func manager() throws(RuntimeError) -> SystemdManager {
        do throws(BusError) { return try SystemdManager(addresses) } catch { throw RuntimeError(error, while: "connect to systemd") }
    }

    /// The bus, and the manager's own socket for machines and sessions without one.
    private var addresses: [SystemdManager.Address] {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        func unixPath(_ address: String) -> String? {
            address.fields(by: ";").first { $0.hasPrefix("unix:path=") }.map { String($0.dropFirst(10).prefix { $0 != "," }) }
        }
        if !isUser {
            let bus = variable("DBUS_SYSTEM_BUS_ADDRESS").flatMap(unixPath) ?? "/run/dbus/system_bus_socket"
            return [.init(path: bus, isBus: true), .init(path: "/run/systemd/private", isBus: false)]
        }
        var list: [SystemdManager.Address] = []
        if let bus = variable("DBUS_SESSION_BUS_ADDRESS").flatMap(unixPath) { list.append(.init(path: bus, isBus: true)) }
        if let directory = variable("XDG_RUNTIME_DIR") {
            list += [.init(path: "\(directory)/bus", isBus: true), .init(path: "\(directory)/systemd/private", isBus: false)]
        }
        return list
    }

    /// The cgroup that the unit will have, in every hierarchy.
    func cgroup(_ layout: CgroupLayout, manager: SystemdManager?) throws(RuntimeError) -> Cgroup {
        var base = ""
        if isUser, let manager {
            do throws(BusError) { base = try manager.property("ControlGroup") } catch { throw RuntimeError(error, while: "ask systemd for its cgroup") }
        }
        let path = "\(base)\(try Self.directory(ofSlice: slice))/\(name)"
        return try withCgroup { () throws(CgroupError) in try Cgroup(layout: layout, path: path) }
    }
}

extension RuntimeError {
    init(_ error: BusError, while doing: String) {
        let code: ErrorCode =
            switch error {
            case .system: .unavailable
            case .timedOut: .deadlineExceeded
            default: .failedPrecondition
            }
        self.init(code, "\(doing): \(error)")
    }
}
