import BerthDefaults
import LinuxSystem
import OCISpec

/// Everything about a container that can be decided before the first system call. The init, a copy of this process, finds it in its memory.
struct LaunchPlan {
    let id: String
    /// Absolute, as is `rootfs`.
    let bundle: String
    let rootfs: String
    let spec: RuntimeSpec
    let linux: RuntimeSpec.Linux
    var process: ProcessPlan
    let namespaces: NamespacePlan
    var mounts: [PlannedMount]
    /// The container has a socket for sd_notify (`NotifySocket`).
    var hasNotifySocket = false
    let devices: [Devices.Node]
    let readonlyRoot: Bool
    let noPivot: Bool
    let newKeyring: Bool

    /// - Throws: `invalidArgument` that names the field.
    init(id: String, bundle: String, spec: RuntimeSpec, noPivot: Bool, noNewKeyring: Bool) throws(RuntimeError) {
        guard let root = spec.root, !root.path.isEmpty else { throw RuntimeError(.invalidArgument, "root must be specified") }
        self.id = id
        self.bundle = bundle
        rootfs = try ConfigLoader.absolute(root.path, from: bundle)
        self.spec = spec
        linux = try Self.withMappings(spec.linux ?? RuntimeSpec.Linux())
        if let process = spec.process { self.process = try ProcessPlan(process) } else { process = try .withoutProgram() }
        namespaces = try NamespacePlan(linux.namespaces)
        mounts = try MountPlan.make(spec.mounts, bundle: bundle, rootfs: rootfs)
        devices = try Devices.plan(linux.devices)
        readonlyRoot = root.readonly
        self.noPivot = noPivot
        newKeyring = !noNewKeyring
        try ConfigValidator.check(self)
    }

    /// A new user namespace without mappings has the ids it is made in, as in crun: the container is separated by capabilities alone.
    private static func withMappings(_ linux: RuntimeSpec.Linux) throws(RuntimeError) -> RuntimeSpec.Linux {
        let isNew = linux.namespaces.contains { $0.type == "user" && ($0.path ?? "").isEmpty }
        guard isNew, linux.uidMappings.isEmpty, linux.gidMappings.isEmpty else { return linux }
        var linux = linux
        let ids = ProcessAttributes.userAndGroup()
        let isRoot = ProcessAttributes.isRoot()
        func same(_ kind: String, _ id: UInt32) throws(RuntimeError) -> [RuntimeSpec.IDMapping] {
            if !isRoot { return [RuntimeSpec.IDMapping(containerID: 0, hostID: id, size: 1)] }
            let map = try attempt { () throws(SystemError) in try Files.readText("/proc/self/\(kind)_map") }
            return map.fields(by: "\n").compactMap { line in
                let numbers = line.fields(by: " ").compactMap { UInt32($0) }
                return numbers.count == 3 ? RuntimeSpec.IDMapping(containerID: numbers[0], hostID: numbers[0], size: numbers[2]) : nil
            }
        }
        linux.uidMappings = try same("uid", ids.user)
        linux.gidMappings = try same("gid", ids.group)
        return linux
    }

    /// The runtime fills /dev unless it comes from the host as a whole.
    var fillsDev: Bool {
        !mounts.contains { mount in
            if case .bind = mount.source { return mount.destination == "/dev" }
            return false
        }
    }

    /// The runtime, or else the init itself, takes lo up in a new network namespace. In a user namespace only the init may, and an init that has mounts to ask about cannot be told of it
    /// in between.
    var runtimeRaisesLoopback: Bool { namespaces.creates(.network) && !namespaces.hasUserNamespace && !asksForMappings }

    /// The init sends the runtime mounts whose source only it can reach.
    var asksForMappings: Bool { mounts.contains { $0.options.idmap && $0.isInside(rootfs) } }

    var hooks: RuntimeSpec.Hooks { spec.hooks ?? RuntimeSpec.Hooks() }
    var hasRuntimeHooks: Bool { !hooks.prestart.isEmpty || !hooks.createRuntime.isEmpty }
}
