import BerthDefaults

/// Names of namespaces, containers and execs: letters and digits, with single `.`, `_` or `-` between them, at most 76 characters.
///
/// Spec: containerd, pkg/identifiers.
enum Identifiers {
    static let maximumLength = 76

    static func isValid(_ name: String) -> Bool {
        guard !name.isEmpty, name.utf8.count <= maximumLength else { return false }
        var separated = true
        for byte in name.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): separated = false
            case UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                if separated { return false }
                separated = true
            default: return false
            }
        }
        return !separated
    }

    /// - Parameter what: "container" and so on, for the message.
    static func validate(_ name: String, _ what: String) throws(SupervisorError) {
        if name.isEmpty { throw SupervisorError(.invalidArgument, "\(what): identifier must not be empty: invalid argument") }
        if name.utf8.count > maximumLength {
            throw SupervisorError(
                .invalidArgument, "\(what): identifier \"\(name.prefix(maximumLength))…\" greater than maximum length (\(maximumLength) characters): invalid argument")
        }
        guard isValid(name) else {
            throw SupervisorError(
                .invalidArgument, "\(what): identifier \"\(name)\" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument")
        }
    }
}
