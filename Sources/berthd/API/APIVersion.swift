/// A version of the Engine API, `1.51`.
struct APIVersion: Sendable, Comparable, Hashable, CustomStringConvertible {
    var major: Int
    var minor: Int

    static let newest = APIVersion(major: 1, minor: 51)
    static let oldest = APIVersion(major: 1, minor: 24)

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Shorthand for 1.`minor`.
    static func v(_ minor: Int) -> APIVersion { APIVersion(major: 1, minor: minor) }

    /// Reads `1.51`; nil for anything else.
    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = Int(parts[0]), let minor = Int(parts[1]), major >= 0, minor >= 0 else { return nil }
        self.init(major: major, minor: minor)
    }

    var description: String { "\(major).\(minor)" }
    static func < (left: APIVersion, right: APIVersion) -> Bool { (left.major, left.minor) < (right.major, right.minor) }
}
