import ContainerdAPI
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

    /// Reads `os/arch/variant`, `os/arch`, `arch` or `linux`.
    ///
    /// - Throws: `.invalidArgument` in containerd's words.
    static func parse(_ text: String) throws -> Platform {
        let parts = text.lowercased().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard (1...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0.isWordByte } }) else {
            throw DaemonError.invalid("\"\(text)\": invalid platform: must be of the form os[/arch[/variant]]")
        }
        if parts.count == 1 {
            if ["linux", "windows", "darwin", "freebsd"].contains(parts[0]) { return Platform(architecture: host.architecture, os: parts[0]) }
            return normalized(Platform(architecture: parts[0], os: host.os))
        }
        return normalized(Platform(architecture: parts[1], os: parts[0], variant: parts.count == 3 ? parts[2] : nil))
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
