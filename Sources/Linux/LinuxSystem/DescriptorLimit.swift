import CLinux
import Glibc

/// How many descriptors this process may have open.
package enum DescriptorLimit {
    /// What a daemon with some thousand containers needs: three for each, and what images and clients take.
    private static let wanted: rlim_t = 65536

    /// Raises the soft limit to 65536, as far as the hard limit allows; never lowers it. Shells give 1024, which is too little for four hundred containers.
    /// Children inherit it, as they do from a daemon started by systemd. A failure leaves the limit as it is.
    package static func raise() {
        var limit = rlimit()
        guard getrlimit(CInt(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < wanted else { return }
        try? ProcessAttributes.setLimit(
            CInt(RLIMIT_NOFILE.rawValue), name: "RLIMIT_NOFILE", soft: UInt64(min(wanted, limit.rlim_max)), hard: UInt64(limit.rlim_max))
    }
}
