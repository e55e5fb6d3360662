import BerthDefaults
import Glibc
import LinuxSystem

/// The shim: `berth-shim [flags] start|delete`, `-info`, `-v`. See docs/shim.md.
@main
struct Main {
    static func main() {
        do {
            try run(try ShimArguments(parsing: Array(CommandLine.arguments.dropFirst())))
        } catch {
            let text: String
            switch error {
            case let error as ShimArguments.Invalid: text = error.message
            case let error as Bootstrap.Failure: text = error.message
            default: text = "\(error)"
            }
            var line = "berth-shim: \(text)\n"
            line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
            exit(1)
        }
    }

    private static func run(_ arguments: ShimArguments) throws {
        if arguments.showsVersion { return say("berth-shim:\n  Version:  \(Defaults.version)\n") }
        if arguments.showsInfo { return try ShimInfo.run() }
        guard !arguments.namespace.isEmpty else { throw ShimArguments.Invalid(message: "shim namespace cannot be empty") }
        guard ContainerTask.isValidID(arguments.id) else { throw ShimArguments.Invalid(message: "-id \(arguments.id): not an identifier") }
        switch arguments.action {
        case .start: try Bootstrap(arguments, input: try Bootstrap.readInput(), environment: Bootstrap.environment).start()
        case .delete: try Cleanup(arguments: arguments).run()
        case nil: throw ShimArguments.Invalid(message: "no action: start or delete expected")
        }
    }

    private static func say(_ text: String) {
        var text = text
        text.withUTF8 { _ = write(1, $0.baseAddress, $0.count) }
    }
}
