import DockerAPI
import Glibc
import LinuxSystem

/// `Binds`, `Mounts`, `Tmpfs`, `Volumes` and `VolumesFrom` → one list, each destination once. Volumes are named but not made yet.
struct MountSettlement {
    typealias MountRecord = ContainerRecord.MountRecord

    private(set) var mounts: [MountRecord] = []
    private static let propagations: Set<String> = ["private", "rprivate", "shared", "rshared", "slave", "rslave"]
    let defaultReadOnlyNonRecursive: Bool
    private let dataRoot: String

    /// - Parameter others: mounts of the containers that `VolumesFrom` names, in its order, with the mode after the colon.
    /// - Throws: `.invalidArgument` in dockerd's words.
    init(
        _ host: HostConfig, volumes: [String: EmptyObject], others: [(mounts: [MountRecord], readOnly: Bool?)], dataRoot: String, defaultReadOnlyNonRecursive: Bool
    ) throws(DaemonError) {
        self.dataRoot = dataRoot
        self.defaultReadOnlyNonRecursive = defaultReadOnlyNonRecursive
        for (inherited, readOnly) in others {
            for var mount in inherited where mount.kind == .bind || mount.kind == .volume {
                if let readOnly { mount.readOnly = readOnly }
                mounts.removeAll { $0.destination == mount.destination }
                mounts.append(mount)
            }
        }
        var own: Set<String> = []
        for bind in host.Binds ?? [] { try add(try parse(bind, driver: host.VolumeDriver), own: &own) }
        for mount in host.Mounts ?? [] { try add(try parse(mount), own: &own) }
        for (destination, options) in (host.Tmpfs ?? [:]).sorted(by: { $0.key < $1.key }) {
            let path = RootedPath.cleaned(destination)
            try add(tmpfs(path, options: options.split(separator: ",").map(String.init)), own: &own)
        }
        for destination in volumes.keys.sorted() {
            // What is not absolute begins at the root, as in dockerd: images have such volumes.
            let path = RootedPath.cleaned(destination)
            guard path != "/" else { throw .invalid("invalid volume specification: '\(destination)': destination can't be '/'") }
            guard !mounts.contains(where: { $0.destination == path }) else { continue }
            mounts.append(volume(name: "", destination: path, mode: "", readOnly: false, noCopy: false, driver: host.VolumeDriver))
        }
    }

    /// A bind of the engine's own files, or of what they lie in: a private copy of their mounts would keep them busy, so it follows the host's.
    private func propagation(of source: String, wanted: String) throws(DaemonError) -> String {
        guard Self.holdsEngineFiles(source, dataRoot: dataRoot) else { return wanted.isEmpty ? "rprivate" : wanted }
        guard !wanted.isEmpty, wanted != "rslave", wanted != "rshared" else { return wanted.isEmpty ? "rslave" : wanted }
        throw .invalid(
            "invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, daemon root: \"\(dataRoot)\", bind mount source: \"\(source)\", propagation: \"\(wanted)\"")
    }

    static func holdsEngineFiles(_ source: String, dataRoot: String) -> Bool { source.hasPrefix(dataRoot) || dataRoot.hasPrefix(source) }

    private mutating func add(_ mount: MountRecord, own: inout Set<String>) throws(DaemonError) {
        guard own.insert(mount.destination).inserted else { throw .invalid("Duplicate mount point: \(mount.destination)") }
        mounts.removeAll { $0.destination == mount.destination }
        mounts.append(mount)
    }

    // MARK: -v

    /// `SOURCE:DESTINATION[:MODE]` or `DESTINATION`.
    private func parse(_ text: String, driver: String?) throws(DaemonError) -> MountRecord {
        let failure = DaemonError.invalid("invalid volume specification: '\(text)'")
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard !text.utf8.contains(0), (1...3).contains(parts.count), !parts.contains(where: \.isEmpty) else { throw failure }
        if parts.count == 1 {
            guard parts[0].isAbsolutePath else { throw failure }
            return volume(name: "", destination: try destination(parts[0], in: text), mode: "", readOnly: false, noCopy: false, driver: driver)
        }
        let path = try destination(parts[1], in: text)
        var readOnly = false, noCopy = false, propagation = ""
        let mode = parts.count == 3 ? parts[2] : ""
        var seen: Set<String> = []
        for word in mode.split(separator: ",", omittingEmptySubsequences: false).map(String.init) where parts.count == 3 {
            let kind: String
            switch word {
            case "ro": (readOnly, kind) = (true, "rw")
            case "rw": kind = "rw"
            // SELinux relabelling: nothing to do without SELinux, as in dockerd.
            case "z", "Z": kind = "label"
            case "nocopy": (noCopy, kind) = (true, "copy")
            case "consistent", "cached", "delegated": kind = "consistency"
            case _ where Self.propagations.contains(word): (propagation, kind) = (word, "propagation")
            default: throw .invalid("invalid mode: \(mode)")
            }
            guard seen.insert(kind).inserted else { throw .invalid("invalid mode: \(mode)") }
        }
        if parts[0].isAbsolutePath {
            guard !noCopy else { throw .invalid("invalid mode: \(mode)") }
            return MountRecord(
                kind: .bind, source: RootedPath.cleaned(parts[0]), destination: path, readOnly: readOnly, mode: mode,
                propagation: try self.propagation(of: RootedPath.cleaned(parts[0]), wanted: propagation), noCopy: false,
                nonRecursive: false, readOnlyNonRecursive: defaultReadOnlyNonRecursive, readOnlyForceRecursive: false, createsSource: true, tmpfsOptions: [], fromMountsAPI: false)
        }
        guard propagation.isEmpty else {
            throw .invalid("invalid volume specification: '\(text)': invalid mount config for type \"volume\": field BindOptions must not be specified")
        }
        guard CreateValidation.isName(parts[0]), parts[0].utf8.count >= 2 else {
            throw .invalid(
                "create \(parts[0]): \"\(parts[0])\" includes invalid characters for a local volume name, only \"\(CreateValidation.nameRule)\" are allowed. If you intended to pass a host directory, use absolute path")
        }
        return volume(name: parts[0], destination: path, mode: mode.isEmpty ? "z" : mode, readOnly: readOnly, noCopy: noCopy, driver: driver)
    }

    private func destination(_ text: String, in specification: String) throws(DaemonError) -> String {
        guard text.isAbsolutePath else { throw .invalid("invalid volume specification: '\(specification)': invalid mount config for type \"volume\": invalid mount path: '\(text)' mount path must be absolute") }
        let path = RootedPath.cleaned(text)
        guard path != "/" else { throw .invalid("invalid volume specification: '\(specification)': invalid mount config for type \"bind\": invalid specification: destination can't be '/'") }
        return path
    }

    private func volume(name: String, destination: String, mode: String, readOnly: Bool, noCopy: Bool, driver: String?) -> MountRecord {
        MountRecord(
            kind: .volume, source: "", destination: destination, volumeName: name, driver: driver?.isEmpty == false ? driver : "local", readOnly: readOnly, mode: mode, propagation: "", noCopy: noCopy,
            nonRecursive: false, readOnlyNonRecursive: defaultReadOnlyNonRecursive, readOnlyForceRecursive: false, createsSource: false, tmpfsOptions: [], fromMountsAPI: false)
    }

    private func tmpfs(_ destination: String, options: [String]) -> MountRecord {
        MountRecord(
            kind: .tmpfs, source: "", destination: destination, readOnly: options.contains("ro"), mode: "", propagation: "", noCopy: true, nonRecursive: false, readOnlyNonRecursive: false,
            readOnlyForceRecursive: false, createsSource: false, tmpfsOptions: options, fromMountsAPI: false)
    }

    // MARK: --mount

    private func parse(_ mount: Mount) throws(DaemonError) -> MountRecord {
        let type = mount.Type ?? ""
        func failure(_ text: String) -> DaemonError { .invalid("invalid mount config for type \"\(type)\": \(text)") }
        let target = mount.Target ?? ""
        guard !target.isEmpty else { throw failure("field Target must not be empty") }
        guard target.isAbsolutePath else { throw failure("invalid mount path: '\(target)' mount path must be absolute") }
        let path = RootedPath.cleaned(target)
        guard path != "/" else { throw failure("invalid specification: destination can't be '/'") }
        let source = mount.Source ?? ""
        guard !source.utf8.contains(0), !target.utf8.contains(0) else { throw failure("NUL character in a path") }
        let readOnly = mount.ReadOnly ?? false
        switch type {
        case "bind":
            guard !source.isEmpty else { throw failure("field Source must not be empty") }
            guard source.isAbsolutePath else { throw failure("invalid mount path: '\(source)' mount path must be absolute") }
            let options = mount.BindOptions
            let propagation = options?.Propagation ?? ""
            guard propagation.isEmpty || Self.propagations.contains(propagation) else { throw failure("invalid propagation mode: \(propagation)") }
            if options?.ReadOnlyForceRecursive ?? false {
                guard readOnly else { throw failure("mount source must be read-only to use ReadOnlyForceRecursive") }
                if options?.NonRecursive ?? false { throw failure("ReadOnlyForceRecursive conflicts with NonRecursive") }
            }
            let creates = options?.CreateMountpoint ?? false
            if !creates, !Files.exists(source) { throw failure("bind source path does not exist: \(source)") }
            return MountRecord(
                kind: .bind, source: RootedPath.cleaned(source), destination: path, readOnly: readOnly, mode: "",
                propagation: try self.propagation(of: RootedPath.cleaned(source), wanted: propagation), noCopy: false,
                nonRecursive: options?.NonRecursive ?? false, readOnlyNonRecursive: options?.ReadOnlyNonRecursive ?? defaultReadOnlyNonRecursive,
                readOnlyForceRecursive: options?.ReadOnlyForceRecursive ?? false, createsSource: creates, tmpfsOptions: [], fromMountsAPI: true)
        case "volume":
            let options = mount.VolumeOptions
            if source.isEmpty, readOnly { throw failure("must not set ReadOnly mode when using anonymous volumes") }
            if !source.isEmpty, !CreateValidation.isName(source) {
                throw .invalid("create \(source): \"\(source)\" includes invalid characters for a local volume name, only \"\(CreateValidation.nameRule)\" are allowed. If you intended to pass a host directory, use absolute path")
            }
            var record = volume(name: source, destination: path, mode: "z", readOnly: readOnly, noCopy: options?.NoCopy ?? false, driver: options?.DriverConfig?.Name)
            if let subpath = options?.Subpath, !subpath.isEmpty {
                guard !subpath.isAbsolutePath, !RootedPath.components(subpath).contains("..") else { throw failure("subpath must be a relative path within the volume") }
                record.subpath = subpath
            }
            record.fromMountsAPI = true
            return record
        case "tmpfs":
            guard source.isEmpty else { throw failure("field Source must not be specified") }
            var options: [String] = readOnly ? ["ro"] : []
            if let size = mount.TmpfsOptions?.SizeBytes {
                guard size >= 0 else { throw failure("invalid tmpfs size: \(size)") }
                if size > 0 { options.append("size=\(size)") }
            }
            if let mode = mount.TmpfsOptions?.Mode, mode != 0 { options.append("mode=" + String(mode, radix: 8)) }
            for option in mount.TmpfsOptions?.Options ?? [] { options.append(option.joined(separator: "=")) }
            try TmpfsOptions.validate(options)
            var record = tmpfs(path, options: options)
            record.fromMountsAPI = true
            return record
        case "image": throw .unimplemented("mounting an image (type=image)")
        case "": throw .invalid("invalid mount config for type \"\": mount type unknown: \"\"")
        default: throw .invalid("invalid mount config for type \"\(type)\": mount type unknown: \"\(type)\"")
        }
    }
}
