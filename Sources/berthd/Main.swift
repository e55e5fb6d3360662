import BerthDefaults
import Glibc
import LinuxSystem

/// `berthd`: the Docker Engine API over containers that others run. docs/daemon.md.
@main
struct Main {
    /// Not `async`: the main thread of an asynchronous `main` becomes libdispatch's, which lets every signal through to its default action.
    static func main() {
        ShutdownSignal.block()
        // Detached: `main` is the main actor's, whose thread waits for signals.
        Task.detached {
            do {
                try await run()
                exit(0)
            } catch {
                Log.error("\(error)")
                exit(1)
            }
        }
        ShutdownSignal.serve()
    }

    private static func run() async throws {
        switch try DaemonFlags.parse(Array(CommandLine.arguments.dropFirst()), readFile: { try Files.readText($0) }) {
        case .help: print(DaemonFlags.usage)
        case .version: print("berthd version \(Defaults.version)")
        case .validate: print("configuration OK")
        case .serve(let config):
            Log.configure(level: config.debug ? .debug : Log.Level(name: config.logLevel) ?? .info, json: config.logFormat == "json")
            umask(0o022)
            DescriptorLimit.raise()
            guard geteuid() == 0 else { throw DaemonError(.permissionDenied, "berthd needs to be started as root") }
            try await Daemon(config).run()
        }
    }
}
