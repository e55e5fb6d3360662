import BerthDefaults
import CLinux
import CSeccomp
import Glibc
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
            potentiallyUnsafeConfigAnnotations: ["bundle"])
        try Output.write(try ConfigLoader.encode(features, indented: true) + [UInt8(ascii: "\n")])
        return 0
    }

    private static var annotations: [String: String] {
        var annotations = ["io.berth.version": Defaults.version, "org.opencontainers.runc.checkpoint.enabled": "false"]
        if let version = seccomp_version()?.pointee {
            annotations["io.github.seccomp.libseccomp.version"] = "\(version.major).\(version.minor).\(version.micro)"
        }
        return annotations
    }

    private static var linux: RuntimeFeatures.Linux {
        .init(
            namespaces: NamespaceKind.allCases.map(\.rawValue).sorted(), capabilities: CapabilityPlan.names,
            cgroup: .init(v1: true, v2: true, systemd: false, systemdUser: false, rdma: true), seccomp: seccomp, apparmor: .init(enabled: true),
            selinux: .init(enabled: true), intelRdt: .init(enabled: false, schemata: false, monitoring: false),
            memoryPolicy: .init(modes: MemoryPolicy.modes.keys.sorted(), flags: MemoryPolicy.flags.keys.sorted()),
            mountExtensions: .init(idmap: .init(enabled: true)), netDevices: .init(enabled: hasNetDevices))
    }

    /// Moving host interfaces into the container.
    private static let hasNetDevices = false

    private static let flagBits: [(name: String, bit: UInt32)] = [
        ("SECCOMP_FILTER_FLAG_LOG", SeccompFilter.flagLog), ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", SeccompFilter.flagSpecAllow),
        ("SECCOMP_FILTER_FLAG_TSYNC", 1),
        ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SeccompFilter.flagWaitKillable | SeccompFilter.flagNewListener),
    ]

    private static var seccomp: RuntimeFeatures.Seccomp {
        .init(
            enabled: true, actions: SeccompCompiler.actions.keys.sorted(), operators: SeccompCompiler.operators.keys.sorted(),
            archs: SeccompCompiler.architectures.sorted(), knownFlags: flagBits.map(\.name),
            // Offered with no filter at all: a kernel that knows the flags complains about the filter instead.
            supportedFlags: flagBits.filter { berth_seccomp_flags_errno($0.bit) == EFAULT }.map(\.name))
    }
}
