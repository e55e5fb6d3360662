import CLinux
import CSeccomp
import Glibc
import OCISpec

extension SeccompFilter {
    private static let flagBits: [(name: String, bits: UInt32)] = [
        ("SECCOMP_FILTER_FLAG_LOG", flagLog), ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", flagSpecAllow), ("SECCOMP_FILTER_FLAG_TSYNC", 1),
        ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", flagWaitKillable | flagNewListener),
    ]

    /// For the command `features`. Spec: features-linux.md#seccomp.
    static var features: RuntimeFeatures.Seccomp {
        .init(
            enabled: true, actions: SeccompCompiler.actions.keys.sorted(), operators: SeccompCompiler.operators.keys.sorted(),
            archs: SeccompCompiler.architectures.sorted(), knownFlags: flagBits.map(\.name),
            // Offered with no filter at all: a kernel that knows the flags complains about the filter instead.
            supportedFlags: flagBits.filter { berth_seccomp_flags_errno($0.bits) == EFAULT }.map(\.name))
    }

    /// "2.5.4", for the annotation `io.github.seccomp.libseccomp.version`.
    static var libraryVersion: String? { seccomp_version().map { "\($0.pointee.major).\($0.pointee.minor).\($0.pointee.micro)" } }
}
