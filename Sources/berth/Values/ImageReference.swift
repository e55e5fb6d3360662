/// A name of an image as users write it, and its full form: `busybox` is `docker.io/library/busybox:latest`.
struct ImageReference {
    let domain: String
    /// Without domain, tag and digest: `library/busybox`.
    let path: String
    let tag: String?
    let digest: String?

    /// - Throws: `CommandFailure` in the words of the reference library.
    init(_ text: String) throws {
        func invalid(_ reason: String) -> CommandFailure { CommandFailure(reason) }
        if text.isEmpty { throw invalid("invalid reference format") }
        if text.utf8.count == 64, text.utf8.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) {
            throw invalid("invalid repository name (\(text)), cannot specify 64-byte hexadecimal strings")
        }
        var rest = Substring(text)
        var digest: String?
        if let at = rest.firstIndex(of: "@") {
            digest = String(rest[rest.index(after: at)...])
            rest = rest[..<at]
        }
        var tag: String?
        if let colon = rest.lastIndex(of: ":"), !rest[colon...].contains("/") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        let slash = rest.firstIndex(of: "/")
        let first = slash.map { rest[..<$0] } ?? ""
        if let slash, first.contains(".") || first.contains(":") || first == "localhost" || first.lowercased() != first {
            domain = first == "index.docker.io" ? "docker.io" : String(first)
            rest = rest[rest.index(after: slash)...]
        } else {
            domain = "docker.io"
        }
        path = domain == "docker.io" && !rest.contains("/") ? "library/\(rest)" : String(rest)
        self.tag = tag
        self.digest = digest
        guard rest.lowercased() == rest else { throw invalid("invalid reference format: repository name (\(path)) must be lowercase") }
        guard ImageReference.isPath(path), ImageReference.isDomain(domain), tag.map(ImageReference.isTag) ?? true, digest.map(ImageReference.isDigest) ?? true
        else { throw invalid("invalid reference format") }
    }

    /// As users see it: without Docker Hub's domain and `library/`.
    var familiarName: String {
        if domain != "docker.io" { return "\(domain)/\(path)" }
        return path.hasPrefix("library/") && !path.dropFirst(8).contains("/") ? String(path.dropFirst(8)) : path
    }

    var familiar: String { familiarName + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }
    var isNameOnly: Bool { tag == nil && digest == nil }

    private static func isPath(_ path: String) -> Bool {
        path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { component in
            // letters and digits, joined by one dot, one or two underscores, or any number of dashes
            guard let first = component.utf8.first, let last = component.utf8.last, isAlphanumeric(first), isAlphanumeric(last) else { return false }
            var separator: [UInt8] = []
            for byte in component.utf8 {
                if isAlphanumeric(byte) {
                    if !separator.isEmpty, separator != [46], separator != [95], separator != [95, 95], !separator.allSatisfy({ $0 == 45 }) { return false }
                    separator = []
                } else {
                    separator.append(byte)
                }
            }
            return true
        }
    }

    private static func isAlphanumeric(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...122).contains(byte) }

    private static func isDomain(_ domain: String) -> Bool {
        !domain.isEmpty && domain.utf8.allSatisfy { isAlphanumeric($0 | 0x20) || isAlphanumeric($0) || [45, 46, 58, 91, 93].contains($0) }
    }

    private static func isTag(_ tag: String) -> Bool {
        guard let first = tag.utf8.first, tag.utf8.count <= 128 else { return false }
        func isWord(_ byte: UInt8) -> Bool { isAlphanumeric(byte) || (65...90).contains(byte) || byte == 95 }
        return isWord(first) && tag.utf8.allSatisfy { isWord($0) || $0 == 46 || $0 == 45 }
    }

    private static func isDigest(_ digest: String) -> Bool {
        let parts = digest.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        return parts.count == 2 && !parts[0].isEmpty && parts[1].utf8.count >= 32 && parts[1].allSatisfy(\.isHexDigit)
    }
}
