import BerthDefaults
import Glibc
import LinuxSystem
import TaskAPI

/// `berth-shim -info`: what this shim and its runtime can do, as a RuntimeInfo on standard output; the runtime's options come on standard input.
enum ShimInfo {
    static func run() throws {
        let input = try Bootstrap.readInput()
        let message = input.isEmpty ? nil : try AnyMessage(decoding: input)
        let options = if let message, RuntimeOptions.accepts(message) { try RuntimeOptions(message) } else { RuntimeOptions() }
        let settings = RuntimeSettings(options: options, namespace: "default")
        let info = RuntimeInfo(
            name: Defaults.shimRuntime, version: Defaults.version, options: message,
            features: features(of: settings.binary).map { AnyMessage(typeURL: "types.containerd.io/opencontainers/runtime-spec/1/features/Features", value: $0) })
        try Files.writeAll(info.encoded(), to: OwnedFD(adopting: dup(1)), name: "standard output")
    }

    /// What `runtime features` prints; nil for a runtime that does not have the command.
    private static func features(of binary: String) -> [UInt8]? {
        guard let pipe = try? Pipes.make() else { return nil }
        let reading = OwnedFD(adopting: pipe.reading)
        var writing: OwnedFD? = OwnedFD(adopting: pipe.writing)
        var request = SpawnRequest(binary, ["features"])
        request.descriptors = [(1, pipe.writing)]
        guard let pid = try? request.start() else { return nil }
        writing = nil
        _ = consume writing
        let output = try? Files.readAll(reading, name: "features", limit: 1 << 20)
        guard let exit = try? Children.wait(for: pid), exit.status == 0 else { return nil }
        return output
    }
}
