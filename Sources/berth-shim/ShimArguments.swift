import LinuxSystem

/// The command line of a shim, as containerd 1.2 and later give it: Go's flags, then an action.
struct ShimArguments: Equatable {
    enum Action: String { case start, delete }

    var namespace = ""
    var id = ""
    var bundle = ""
    var grpcAddress = ""
    var publishBinary = ""
    var isDebug = false
    var showsVersion = false
    var showsInfo = false
    var action: Action?

    struct Invalid: Error, Equatable { let message: String }

    init(parsing arguments: [String]) throws(Invalid) {
        var rest = arguments[...]
        while let argument = rest.first, argument.hasPrefix("-"), argument != "-" {
            rest.removeFirst()
            if argument == "--" { break }
            let text = argument.drop { $0 == "-" }
            let parts = text.fields(by: "=", limit: 2, keepsEmpty: true).map(String.init)
            let name = parts[0]
            switch name {
            case "debug", "v", "version", "info":
                let value = parts.count < 2 || parts[1] == "true" || parts[1] == "1"
                if name == "debug" { isDebug = value } else if name == "info" { showsInfo = value } else { showsVersion = value }
            case "namespace", "id", "bundle", "address", "publish-binary", "socket", "debug-socket":
                guard let value = parts.count > 1 ? parts[1] : rest.popFirst() else { throw Invalid(message: "flag needs an argument: -\(name)") }
                switch name {
                case "namespace": namespace = value
                case "id": id = value
                case "bundle": bundle = value
                case "address": grpcAddress = value
                case "publish-binary": publishBinary = value
                // The shim chooses its socket itself and has no debug one; containerd does not give these to `start` and `delete`.
                default: throw Invalid(message: "flag -\(name) is not supported: the shim chooses its socket itself")
                }
            default: throw Invalid(message: "flag provided but not defined: -\(name)")
            }
        }
        guard let word = rest.first else { return }
        guard let known = Action(rawValue: word) else { throw Invalid(message: "unknown action \(word): start or delete expected") }
        action = known
    }
}
