import BerthDefaults
import Glibc
import LinuxSystem

/// The shim: `berth-shim [flags] start|delete`, `-info`, `-v`. See docs/shim.md.
///
/// Nothing but one call in here: `main` belongs to the main actor, and a closure in it would bring Concurrency, and with it Dispatch, into the program.
@main
struct Main {
    static func main() { exit(ShimCommand.run(Array(ProgramArguments.all.dropFirst()))) }
}

enum ShimCommand {
    /// - Returns: the exit status.
    static func run(_ arguments: [String]) -> CInt {
        do {
            try perform(try ShimArguments(parsing: arguments))
            return 0
        } catch {
            let text: String
            switch error {
            case let error as ShimArguments.Invalid: text = error.message
            case let error as Bootstrap.Failure: text = error.message
            default: text = "\(error)"
            }
            say("berth-shim: \(text)\n", to: 2)
            return 1
        }
    }

    private static func perform(_ arguments: ShimArguments) throws {
        if arguments.showsVersion { return say("berth-shim:\n  Version:  \(Defaults.version)\n", to: 1) }
        if arguments.showsInfo { return try ShimInfo.run() }
        guard !arguments.namespace.isEmpty else { throw ShimArguments.Invalid(message: "shim namespace cannot be empty") }
        guard ContainerTask.isValidID(arguments.id) else { throw ShimArguments.Invalid(message: "-id \(arguments.id): not an identifier") }
        switch arguments.action {
        case .start: try Bootstrap(arguments, input: try Bootstrap.readInput(), environment: Bootstrap.environment).start()
        case .delete: try Cleanup(arguments: arguments).run()
        case nil: throw ShimArguments.Invalid(message: "no action: start or delete expected")
        }
    }

    private static func say(_ text: String, to descriptor: CInt) {
        var text = text
        text.withUTF8 { _ = write(descriptor, $0.baseAddress, $0.count) }
    }
}
