// References are split by bytes: what separates their parts is ASCII, and characters cost a search of Unicode's tables each.
private let slash = UInt8(ascii: "/")
private let colon = UInt8(ascii: ":")

/// The name of an image as users write it, completed: `docker.io/library/busybox:latest`, `127.0.0.1:5000/a/b@sha256:…`.
///
/// ```
/// reference  = name [":" tag] ["@" digest]
/// name       = domain "/" path                       domain and "library/" may be left out by users
/// domain     = host [":" digits]                     host: letters, digits, "-" between dots, or "[" IPv6 address "]"
/// path       = component *("/" component)            component: [a-z0-9]+ joined by ".", "_", "__" or any number of "-"
/// tag        = [A-Za-z0-9_] *127[A-Za-z0-9_.-]
/// ```
///
/// Spec: github.com/distribution/reference, whose messages programs show to users.
package struct ImageReference: Hashable, Sendable {
    package static let defaultDomain = "docker.io"
    package static let defaultTag = "latest"
    /// Of `path`, in bytes.
    package static let maximumPathLength = 255

    /// Host of the registry, with its port if there is one. "docker.io" stands for Docker Hub.
    package var domain: String
    /// Repository in the registry: "library/busybox".
    package var path: String
    package var tag: String?
    package var digest: Digest?

    /// Reads a reference and completes its domain and "library/". Neither tag nor digest is added.
    package init(parsing text: String) throws(ImageReferenceError) {
        if text.utf8.count == 64, text.utf8.allSatisfy(\.isLowerHexadecimal) {
            throw ImageReferenceError("invalid repository name (\(text)), cannot specify 64-byte hexadecimal strings")
        }
        let (domain, remainder) = Self.splitDomain(text)
        let remote = remainder.utf8.prefix { $0 != colon }
        if remote.contains(where: \.isUpper) {
            throw ImageReferenceError("invalid reference format: repository name (\(Substring(remote))) must be lowercase")
        }
        try self.init(domain: domain, remainder: remainder)
    }

    /// As containerd names images: a tag beside a digest is dropped, and "latest" is added where there is neither.
    package init(canonical text: String) throws(ImageReferenceError) {
        try self.init(parsing: text)
        if digest != nil { tag = nil }
        self = withDefaultTag
    }

    private init(domain: String, remainder: String) throws(ImageReferenceError) {
        var rest = Substring(remainder), digestText: Substring?
        if let at = rest.utf8.firstIndex(of: UInt8(ascii: "@")) {
            digestText = rest[rest.utf8.index(after: at)...]
            rest = rest[..<at]
        }
        var tag: Substring?
        let lastSlash = rest.utf8.lastIndex(of: slash) ?? rest.startIndex
        if let found = rest.utf8[lastSlash...].firstIndex(of: colon) {
            tag = rest[rest.utf8.index(after: found)...]
            rest = rest[..<found]
        }
        guard ReferenceGrammar.isDomain(domain), ReferenceGrammar.isPath(rest), tag.map({ ReferenceGrammar.isTag($0) }) ?? true,
            digestText.map({ ReferenceGrammar.isDigest($0) }) ?? true
        else { throw .invalidFormat }
        guard rest.utf8.count <= Self.maximumPathLength else {
            throw ImageReferenceError("repository name must not be more than \(Self.maximumPathLength) characters")
        }
        self.domain = domain
        self.path = String(rest)
        self.tag = tag.map(String.init)
        do { self.digest = try digestText.map { text throws(Digest.Failure) in try Digest(parsing: text) } } catch {
            throw ImageReferenceError(error.description)
        }
    }

    /// The first component is a domain when it can be told from a path: "localhost", or it has a dot, a colon or a capital.
    private static func splitDomain(_ text: String) -> (domain: String, remainder: String) {
        guard let end = text.utf8.firstIndex(of: slash) else { return (defaultDomain, "library/" + text) }
        let first = String(text[..<end]), rest = String(text[text.utf8.index(after: end)...])
        let domain: String, remainder: String
        if first == "index.docker.io" {
            (domain, remainder) = (defaultDomain, rest)
        } else if first == "localhost" || first.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 == colon || $0.isUpper }) {
            (domain, remainder) = (first, rest)
        } else {
            (domain, remainder) = (defaultDomain, text)
        }
        if domain == defaultDomain, !remainder.utf8.contains(slash) { return (domain, "library/" + remainder) }
        return (domain, remainder)
    }
}

extension ImageReference: CustomStringConvertible {
    /// Domain and path: "docker.io/library/busybox".
    package var name: String { "\(domain)/\(path)" }

    /// The name as users write it: "busybox".
    package var familiarName: String {
        guard domain == Self.defaultDomain else { return name }
        let library = "library/"
        if path.hasPrefix(library), !path.utf8.dropFirst(library.utf8.count).contains(slash) { return String(path.dropFirst(library.count)) }
        return path
    }

    private var suffix: String { (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }

    /// The whole reference: "docker.io/library/busybox:latest".
    package var description: String { name + suffix }

    /// The whole reference as users write it: "busybox:latest".
    package var familiar: String { familiarName + suffix }

    /// This reference, with the tag "latest" if it has neither tag nor digest.
    package var withDefaultTag: ImageReference {
        guard tag == nil, digest == nil else { return self }
        var copy = self
        copy.tag = Self.defaultTag
        return copy
    }

    /// Whether a text is a valid tag.
    package static func isTag(_ text: String) -> Bool { ReferenceGrammar.isTag(text) }
}

/// A text that is no reference, with the message that users know.
package struct ImageReferenceError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
    package static let invalidFormat = ImageReferenceError("invalid reference format")
}
