import Glibc
import LinuxSystem

/// Which execs the shims hold for us: a symbolic link `io/<first 20 of the id>.exec` for each, to `<container>/<exec>`.
///
/// Execs live in memory only. Without this an exec that ends while berthd is away would stay in its shim, with its streams, as long as the container runs.
struct ExecTraces: Sendable {
    let directory: String

    init(config: DaemonConfig) { directory = "\(config.execRoot)/io" }

    private func path(_ execID: String) -> String { "\(directory)/\(execID.prefix(20)).exec" }

    /// Before the shim hears of the exec. Not worth an exec when it fails.
    func leave(_ execID: String, of container: String) {
        if symlink("\(container)/\(execID)", path(execID)) != 0, errno == ENOENT {
            try? Files.makeDirectories(directory, mode: 0o700)
            _ = symlink("\(container)/\(execID)", path(execID))
        }
    }

    func remove(_ execID: String) {
        unlink(path(execID))
        unlink("\(directory)/\(execID.prefix(20)).sock")
    }

    /// Takes the ended exec out of its shim and removes its files. The trace stays when the shim could not be asked.
    func collect(_ execID: String, of container: String, _ supervisor: SupervisorClient) async {
        do { try await supervisor.deleteExec(id: container, execID: execID) } catch {
            Log.debug("exec \(execID) stays in its shim: \(error)")
            return
        }
        remove(execID)
    }

    /// What an earlier life of ours has left.
    func all() -> [(container: String, exec: String)] {
        ((try? Files.entries(of: directory)) ?? []).filter { $0.hasSuffix(".exec") }.compactMap { name in
            guard let parts = try? Files.readLink("\(directory)/\(name)").split(separator: "/"), parts.count == 2 else { return nil }
            return (String(parts[0]), String(parts[1]))
        }
    }
}
