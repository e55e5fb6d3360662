import FoundationEssentials
import Glibc
import OCISpec

/// A seccomp profile in Docker's format: rules that hold or not according to capabilities, machine and kernel. The client sends one as JSON text with
/// `--security-opt seccomp=FILE`; the engine's own is `DefaultSeccomp`.
///
/// Facts: moby's profiles/seccomp.
struct SeccompProfile: Decodable, Sendable {
    /// When a rule is left out (`excludes`) or only then taken (`includes`).
    struct Condition: Decodable, Sendable {
        /// `includes` wants all of them, `excludes` any.
        var caps: [String]?
        /// Go's names: "amd64", "arm64".
        var arches: [String]?
        /// "4.8"
        var minKernel: String?
    }

    struct Rule: Decodable, Sendable {
        /// Old profiles have one name for each rule.
        var name: String?
        var names: [String]?
        var action: String
        var errnoRet: UInt32?
        var args: [RuntimeSpec.Linux.SeccompArgument]?
        var includes: Condition?
        var excludes: Condition?
    }

    /// Which other architectures a machine runs as well.
    struct Architecture: Decodable, Sendable {
        var architecture: String
        var subArchitectures: [String]?
    }

    var defaultAction: String?
    var defaultErrnoRet: UInt32?
    var architectures: [String]?
    var archMap: [Architecture]?
    var flags: [String]?
    var listenerPath: String?
    var listenerMetadata: String?
    var syscalls: [Rule]?

    /// - Throws: `.invalidArgument` with the place where the text is no profile.
    static func parse(_ json: String) throws(DaemonError) -> SeccompProfile {
        let profile: SeccompProfile
        do { profile = try JSONDecoder().decode(SeccompProfile.self, from: Data(json.utf8)) } catch {
            throw .invalid("Decoding seccomp profile failed: \(describe(error))")
        }
        try profile.check()
        return profile
    }

    private static func describe(_ error: any Error) -> String {
        func path(_ keys: [any CodingKey]) -> String {
            keys.reduce(into: "") { $0 += $1.intValue.map { "[\($0)]" } ?? ($0.isEmpty ? $1.stringValue : ".\($1.stringValue)") }
        }
        switch error as? DecodingError {
        case .typeMismatch(_, let context), .valueNotFound(_, let context): return "\(path(context.codingPath)): \(context.debugDescription)"
        case .keyNotFound(let key, let context): return "\(path(context.codingPath + [key])): required field is missing"
        case .dataCorrupted(let context):
            return context.codingPath.isEmpty ? context.debugDescription : "\(path(context.codingPath)): \(context.debugDescription)"
        default: return "\(error)"
        }
    }

    private func check() throws(DaemonError) {
        if !(architectures ?? []).isEmpty, !(archMap ?? []).isEmpty {
            throw .invalid(
                "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'")
        }
        for rule in syscalls ?? [] {
            if !(rule.name ?? "").isEmpty, !(rule.names ?? []).isEmpty {
                throw .invalid("both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'")
            }
            for version in [rule.includes?.minKernel, rule.excludes?.minKernel] {
                if let version, !version.isEmpty, Machine.version(version) == nil {
                    throw .invalid("Decoding seccomp profile failed: invalid kernel version: \(version), expected \"<kernel>.<major>\"")
                }
            }
        }
    }

    // MARK: For one container

    /// The profile for a container with these capabilities in its bounding set. nil when it says nothing at all, which means no filter.
    func specification(capabilities: [String], on machine: Machine = .current) -> RuntimeSpec.Linux.Seccomp? {
        let rules = syscalls ?? []
        if (defaultAction ?? "").isEmpty, rules.isEmpty { return nil }
        var chosen = architectures ?? []
        if let entry = archMap?.first(where: { $0.architecture == machine.seccompName }) {
            chosen += [entry.architecture] + (entry.subArchitectures ?? [])
        }
        let bounding = Set(capabilities)
        return RuntimeSpec.Linux.Seccomp(
            defaultAction: defaultAction ?? "", defaultErrnoRet: defaultErrnoRet, architectures: chosen, flags: flags,
            listenerPath: listenerPath.flatMap { $0.isEmpty ? nil : $0 }, listenerMetadata: listenerMetadata.flatMap { $0.isEmpty ? nil : $0 },
            syscalls: rules.filter { $0.holds(bounding, machine) }.map { rule in
                let names = rule.name.flatMap { $0.isEmpty ? nil : [$0] } ?? rule.names ?? []
                return .init(names: names, action: rule.action, errnoRet: rule.errnoRet, args: rule.args ?? [])
            })
    }

    /// What Docker gives a container that asks for nothing.
    static func engineDefault(capabilities: [String], on machine: Machine = .current) -> RuntimeSpec.Linux.Seccomp {
        // The engine's own profile has a default action, so there is always a specification.
        DefaultSeccomp.profile.specification(capabilities: capabilities, on: machine) ?? .init(defaultAction: "SCMP_ACT_ERRNO")
    }

    /// What conditions are about.
    struct Machine: Sendable {
        /// Go's name of the processor: "amd64".
        var architecture: String
        /// libseccomp's with the specification's prefix: "SCMP_ARCH_X86_64".
        var seccompName: String
        var kernel: (Int, Int)

        static let current: Machine = {
            var system = utsname()
            let result = uname(&system)
            func text<Field>(_ field: Field) -> String {
                withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            }
            let release = result == 0 ? text(system.release) : ""
            #if arch(x86_64)
                let names = ("amd64", "SCMP_ARCH_X86_64")
            #elseif arch(arm64)
                let names = ("arm64", "SCMP_ARCH_AARCH64")
            #else
                #error("the names of this processor are missing")
            #endif
            return Machine(architecture: names.0, seccompName: names.1, kernel: leadingVersion(release) ?? (5, 10))
        }()

        /// "4.8", exactly two numbers that are not both zero.
        static func version(_ text: String) -> (Int, Int)? {
            let parts = text.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 2, let first = UInt8(parts[0]), let second = UInt8(parts[1]), first != 0 || second != 0 else { return nil }
            return (Int(first), Int(second))
        }

        /// The same at the start of "6.18.44-fc".
        private static func leadingVersion(_ release: String) -> (Int, Int)? {
            let parts = release.split(whereSeparator: { !$0.isASCII || !$0.isNumber })
            guard parts.count >= 2, let first = Int(parts[0]), let second = Int(parts[1]) else { return nil }
            return (first, second)
        }
    }
}

extension SeccompProfile.Rule {
    fileprivate func holds(_ capabilities: Set<String>, _ machine: SeccompProfile.Machine) -> Bool {
        func isReached(_ version: String) -> Bool { SeccompProfile.Machine.version(version).map { $0 <= machine.kernel } ?? true }
        if let excludes {
            if excludes.arches?.contains(machine.architecture) ?? false { return false }
            if excludes.caps?.contains(where: capabilities.contains) ?? false { return false }
            if let version = excludes.minKernel, !version.isEmpty, isReached(version) { return false }
        }
        if let includes {
            if let arches = includes.arches, !arches.isEmpty, !arches.contains(machine.architecture) { return false }
            if let caps = includes.caps, !caps.allSatisfy(capabilities.contains) { return false }
            if let version = includes.minKernel, !version.isEmpty, !isReached(version) { return false }
        }
        return true
    }
}
