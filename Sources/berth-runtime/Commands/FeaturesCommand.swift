import BerthDefaults
import LinuxSystem
import OCISpec

/// `features`: what this runtime can do, as the specification's document. What is not built yet is not claimed.
enum FeaturesCommand {
    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        guard options.arguments.isEmpty else { throw RuntimeError(.invalidArgument, "\"features\" requires exactly 0 argument(s)") }
        let features = RuntimeFeatures(
            ociVersionMin: "1.0.0", ociVersionMax: RuntimeSpec.version,
            hooks: ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"],
            mountOptions: Array(Set(MountOptions.allNames)).sorted(), linux: linux, annotations: annotations,
            potentiallyUnsafeConfigAnnotations: ["bundle", "org.systemd.property."])
        try Output.write(try ConfigLoader.encode(features, indented: true) + [UInt8(ascii: "\n")])
        return 0
    }

    private static var annotations: [String: String] {
        var annotations = ["io.berth.version": Defaults.version, "org.opencontainers.runc.checkpoint.enabled": "true"]
        if let version = SeccompFilter.libraryVersion { annotations["io.github.seccomp.libseccomp.version"] = version }
        return annotations
    }

    private static var linux: RuntimeFeatures.Linux {
        .init(
            namespaces: NamespaceKind.allCases.map(\.rawValue).sorted(), capabilities: CapabilityPlan.names,
            cgroup: .init(v1: true, v2: true, systemd: true, systemdUser: true, rdma: true), seccomp: SeccompFilter.features, apparmor: .init(enabled: true),
            selinux: .init(enabled: true), intelRdt: .init(enabled: true, schemata: true, monitoring: true),
            memoryPolicy: .init(modes: MemoryPolicy.modes.keys.sorted(), flags: MemoryPolicy.flags.keys.sorted()),
            mountExtensions: .init(idmap: .init(enabled: true)), netDevices: .init(enabled: true))
    }
}
