import BerthDefaults
import CLinux
import Glibc
import JSONCodec
import LinuxSystem
import OCISpec

/// A system call filter, ready to be loaded: compiled before the namespaces are entered, loaded right before the user's program.
///
/// Compiling takes libseccomp some milliseconds for a profile like Docker's, more than all other work of a start, so the program is taken from a
/// `SeccompCache` where there is one.
///
/// Spec: OCI runtime-spec, config-linux.md#seccomp. Kernel: seccomp(2).
struct SeccompFilter {
    /// A classic BPF program, instructions as the kernel takes them (`struct sock_filter`).
    let program: [UInt64]
    /// SECCOMP_FILTER_FLAG_….
    let flags: UInt32
    /// Whether `install` yields a notification descriptor, which `SeccompListener` is to get.
    let notifies: Bool
    /// The profile without its rules.
    let profile: RuntimeSpec.Linux.Seccomp

    static let flagLog: UInt32 = 1 << 1, flagSpecAllow: UInt32 = 1 << 2, flagNewListener: UInt32 = 1 << 3, flagWaitKillable: UInt32 = 1 << 5

    /// Checks and compiles a profile, or takes the program from the cache: then its rules are not even read.
    /// - Throws: one line that names the field that is wrong.
    init(_ source: RuntimeSpec.Linux.SeccompProfile, cache: SeccompCache? = nil) throws(RuntimeError) {
        let key: [UInt8]
        do throws(JSONError) { (profile, key) = (try source.frame(), SeccompCache.key(of: try source.text())) } catch { throw Self.unreadable(error) }
        if let cached = cache?.program(for: key) {
            (program, notifies) = (cached.program, cached.notifies)
        } else {
            let seccomp: RuntimeSpec.Linux.Seccomp
            do throws(JSONError) { seccomp = try source.read() } catch { throw Self.unreadable(error) }
            notifies = seccomp.syscalls.contains { $0.action == "SCMP_ACT_NOTIFY" }
            program = try SeccompCompiler.compile(seccomp)
            cache?.store(.init(program: program, notifies: notifies), for: key)
        }
        flags = try Self.flags(profile, notifies)
        try SeccompListener.check(profile, notifies: notifies)
    }

    /// A config's filter, with the cache below the runtime's root directory.
    static func of(_ source: RuntimeSpec.Linux.SeccompProfile?, root: String) throws(RuntimeError) -> SeccompFilter? {
        guard let source else { return nil }
        return try SeccompFilter(source, cache: SeccompCache(root: root))
    }

    private static func unreadable(_ error: JSONError) -> RuntimeError { RuntimeError(.invalidArgument, "config.json: \(error)") }

    private static func flags(_ seccomp: RuntimeSpec.Linux.Seccomp, _ notifies: Bool) throws(RuntimeError) -> UInt32 {
        var flags: UInt32 = notifies ? flagNewListener : 0
        // Without a word in the config a program keeps the speculative loads it would have without a filter, as with runc: the kernel's protection from its
        // own process costs much and is not what a profile is for.
        if seccomp.flags == nil { flags |= flagSpecAllow }
        for flag in seccomp.flags ?? [] {
            switch flag {
            // A process with one thread has nothing to synchronize.
            case "SECCOMP_FILTER_FLAG_TSYNC": break
            case "SECCOMP_FILTER_FLAG_LOG": flags |= flagLog
            case "SECCOMP_FILTER_FLAG_SPEC_ALLOW": flags |= flagSpecAllow
            // Without a listener the kernel refuses this flag, and there is nothing it could mean.
            case "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": if notifies { flags |= flagWaitKillable }
            default: throw RuntimeError(.invalidArgument, "linux.seccomp.flags: seccomp flag \(flag) is not known")
            }
        }
        return flags
    }

    /// Puts the calling thread under the filter. It must have no_new_privs set, or CAP_SYS_ADMIN in its user namespace.
    /// - Returns: the notification descriptor if the profile has SCMP_ACT_NOTIFY.
    @discardableResult
    func install() throws(RuntimeError) -> OwnedFD? {
        let result: CInt
        do throws(SystemError) {
            result = try program.withUnsafeBufferPointer { (instructions) throws(SystemError) in
                try syscall("seccomp", on: "SECCOMP_SET_MODE_FILTER with \(program.count) instructions") {
                    berth_load_filter(instructions.baseAddress, UInt16(instructions.count), flags)
                }
            }
        } catch {
            throw RuntimeError(error, while: "unable to init seccomp: error loading seccomp filter into kernel")
        }
        return notifies ? OwnedFD(adopting: result) : nil
    }
}
