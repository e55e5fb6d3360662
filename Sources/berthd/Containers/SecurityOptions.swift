import DockerAPI
import FoundationEssentials
import LinuxSystem
import OCISpec

/// `--security-opt`, taken apart.
struct SecurityOptions: Sendable {
    enum Seccomp: Sendable {
        case engineDefault
        case unconfined
        /// Docker's JSON, as the client read it from the file.
        case profile(String)
    }

    var seccomp = Seccomp.engineDefault
    /// A profile that is loaded on the host; nil: none. Berth loads no default one.
    var appArmorProfile: String?
    var noNewPrivileges: Bool?
    var writableCgroups: Bool?

    static func validate(_ options: [String]) throws(DaemonError) { _ = try SecurityOptions(options) }

    /// - Throws: `.invalidArgument` naming the option; nothing is ignored.
    init(_ options: [String]) throws(DaemonError) {
        for option in options {
            if option == "no-new-privileges" {
                noNewPrivileges = true
                continue
            }
            if option == "writable-cgroups" {
                writableCgroups = true
                continue
            }
            guard let separator = option.firstIndex(where: { $0 == "=" || $0 == ":" }) else { throw .invalid("invalid --security-opt 1: \"\(option)\"") }
            let key = option[..<separator]
            let value = String(option[option.index(after: separator)...])
            switch key {
            case "seccomp":
                switch value {
                case "unconfined": seccomp = .unconfined
                case "builtin": seccomp = .engineDefault
                default:
                    guard value.hasPrefix("{") else { throw .invalid("Decoding seccomp profile failed: the profile is not a JSON object") }
                    seccomp = .profile(value)
                }
            case "no-new-privileges":
                guard value == "true" || value == "false" else { throw .invalid("invalid --security-opt 2: \"\(option)\"") }
                noNewPrivileges = value == "true"
            case "apparmor":
                guard value == "unconfined" || value.isEmpty || Self.hasAppArmor else { throw .invalid("AppArmor is not enabled on this host: \"\(option)\"") }
                appArmorProfile = value == "unconfined" || value.isEmpty ? nil : value
            case "label":
                guard value == "disable" else { throw .unimplemented("SELinux (--security-opt \(option))") }
            case "writable-cgroups":
                guard value == "true" || value == "false" else { throw .invalid("invalid --security-opt 2: \"\(option)\"") }
                writableCgroups = value == "true"
            default: throw .invalid("invalid --security-opt 2: \"\(option)\"")
            }
        }
    }

    static let hasAppArmor = (try? Files.readText("/sys/module/apparmor/parameters/enabled"))?.hasPrefix("Y") ?? false

    /// What the engine hides and protects when the request does not say otherwise.
    static let maskedPaths: [String] = {
        var paths = [
            "/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
            "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
        ]
        for name in ((try? Files.entries(of: "/sys/devices/system/cpu")) ?? []).sorted() where name.hasPrefix("cpu") && name.dropFirst(3).allSatisfy(\.isNumber) {
            let path = "/sys/devices/system/cpu/\(name)/thermal_throttle"
            if Files.exists(path) { paths.append(path) }
        }
        return paths
    }()
    static let readonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
}
