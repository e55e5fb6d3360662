import ContainerdAPI
import DockerAPI
import OCISpec

/// Platforms as users write them, and which of an image's platforms fits.
enum ImagePlatform {
    /// What this engine runs on.
    static let host = Platform(architecture: hostArchitecture, os: "linux")

    #if arch(arm64)
    private static let hostArchitecture = "arm64"
    #else
    private static let hostArchitecture = "amd64"
    #endif

    private static let systems: Set<String> = [
        "aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl", "netbsd", "openbsd", "plan9", "solaris", "windows", "zos",
    ]
    private static let architectures: Set<String> = [
        "386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "loong64", "mips", "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "ppc64", "ppc64le", "riscv",
        "riscv64", "s390", "s390x", "sparc", "sparc64", "wasm",
    ]

    /// An image that is here, but not for `platform`.
    static func isMissing(_ platform: Platform, of image: String) -> DaemonError {
        .notFound("image with reference \(image) was found but does not provide the specified platform (\(text(platform)))")
    }

    /// Reads `os/arch/variant`, `os/arch`, `arch` or `linux`.
    ///
    /// - Throws: `.invalidArgument` in containerd's words.
    static func parse(_ text: String) throws -> Platform {
        let parts = text.lowercased().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        func isWord(_ part: String) -> Bool { !part.isEmpty && part.utf8.allSatisfy { $0.isWordByte } }
        guard isWord(parts[0]) else {
            throw DaemonError.invalid("\"\(parts[0])\" is an invalid OS component of \"\(text)\": OSAndVersion specifier component must match \"^([A-Za-z0-9_-]+)(?:\\\\(([A-Za-z0-9_.-]*)\\\\))?$\": invalid argument")
        }
        if let bad = parts.dropFirst().first(where: { !isWord($0) }) {
            throw DaemonError.invalid("\"\(bad)\" is an invalid component of \"\(text)\": platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument")
        }
        guard parts.count <= 3 else { throw DaemonError.invalid("\"\(text)\": cannot parse platform specifier: invalid argument") }
        let system = parts[0] == "macos" ? "darwin" : parts[0]
        if parts.count > 1 { return normalized(Platform(architecture: parts[1], os: system, variant: parts.count == 3 ? parts[2] : nil)) }
        if systems.contains(system) { return Platform(architecture: host.architecture, os: system) }
        let platform = normalized(Platform(architecture: parts[0], os: host.os))
        guard architectures.contains(platform.architecture) else { throw DaemonError.invalid("\"\(text)\": unknown operating system or architecture: invalid argument") }
        return platform
    }

    /// The parameter `platform` of save, load, push, inspect, history and removal: a JSON object of an OCI platform.
    ///
    /// - Returns: nil for none.
    /// - Throws: `.invalidArgument` in dockerd's words.
    static func decode(_ text: String?) throws -> Platform? {
        guard let text, !text.isEmpty else { return nil }
        let platform: DockerAPI.Descriptor.Platform
        do { platform = try JSONBody.decode(DockerAPI.Descriptor.Platform.self, from: text) } catch let error as DaemonError {
            let prefix = "invalid JSON: "
            throw DaemonError.invalid("failed to parse platform: \(error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message)")
        }
        let os = platform.os ?? "", architecture = platform.architecture ?? ""
        if os.isEmpty, architecture.isEmpty, platform.variant != nil || platform.`os.version` != nil {
            throw DaemonError.invalid("optional platform fields provided, but OS and Architecture are missing")
        }
        guard !os.isEmpty, !architecture.isEmpty else { throw DaemonError.invalid("both OS and Architecture must be provided") }
        return normalized(Platform(architecture: architecture, os: os, osVersion: platform.`os.version`, variant: platform.variant))
    }

    static func normalized(_ platform: Platform) -> Platform {
        var copy = platform
        switch platform.architecture {
        case "x86_64", "x86-64": copy.architecture = "amd64"
        case "aarch64": copy.architecture = "arm64"
        case "armhf": (copy.architecture, copy.variant) = ("arm", "v7")
        case "armel": (copy.architecture, copy.variant) = ("arm", "v6")
        case "i386", "i686": copy.architecture = "386"
        default: break
        }
        if copy.architecture == "arm64" && (copy.variant == "v8" || copy.variant == "8") { copy.variant = nil }
        if copy.architecture == "amd64" && copy.variant == "v1" { copy.variant = nil }
        if copy.architecture == "arm", let variant = copy.variant, !variant.hasPrefix("v") { copy.variant = "v" + variant }
        if copy.variant?.isEmpty == true { copy.variant = nil }
        return copy
    }

    static func text(_ platform: Platform) -> String {
        [platform.os, platform.architecture, platform.variant].compactMap { $0 }.filter { !$0.isEmpty }.joined(separator: "/")
    }

    /// How well `offered` serves `wanted`: 0 is exact, larger is worse, nil not at all. amd64 runs 386, arm v7 runs v6 and v5.
    static func distance(of offered: Platform, from wanted: Platform, strictly: Bool = false) -> Int? {
        let offered = normalized(offered), wanted = normalized(wanted)
        guard offered.os == wanted.os else { return nil }
        if offered.architecture == wanted.architecture {
            if offered.variant == wanted.variant { return 0 }
            if wanted.architecture == "arm" {
                let have = level(offered.variant), want = level(wanted.variant)
                return have <= want && !strictly ? want - have : nil
            }
            // An amd64 v2 image may need what this processor has not.
            return offered.variant == nil ? 1 : wanted.variant == nil ? 5 : nil
        }
        if strictly { return nil }
        if wanted.architecture == "amd64" && offered.architecture == "386" { return 20 }
        if wanted.architecture == "arm64" && offered.architecture == "arm" { return 20 + 8 - level(offered.variant) }
        return nil
    }

    private static func level(_ variant: String?) -> Int { variant.flatMap { Int($0.drop { $0 == "v" }) } ?? 7 }
}

extension UInt8 {
    fileprivate var isWordByte: Bool { (48...57).contains(self) || (97...122).contains(self) || self == 95 || self == 45 || self == 46 }
}

extension Types_Platform {
    init(_ platform: Platform) {
        self.init()
        os = platform.os
        architecture = platform.architecture
        variant = platform.variant ?? ""
    }
}
