import BerthDefaults
import Glibc
import LinuxSystem

/// `berthd`: the Docker Engine API over containers that others run. docs/daemon.md.
@main
struct Main {
    static func main() async {
        ShutdownSignal.block()
        do {
            switch try DaemonFlags.parse(Array(CommandLine.arguments.dropFirst()), readFile: { try Files.readText($0) }) {
            case .help: print(DaemonFlags.usage)
            case .version: print("berthd version \(Defaults.version)")
            case .validate: print("configuration OK")
            case .serve(let config):
                Log.configure(level: config.debug ? .debug : Log.Level(name: config.logLevel) ?? .info, json: config.logFormat == "json")
                umask(0o022)
                guard geteuid() == 0 else { throw DaemonError(.permissionDenied, "berthd needs to be started as root") }
                try await Daemon(config).run()
            }
        } catch {
            Log.error("\(error)")
            exit(1)
        }
        exit(0)
    }
}
