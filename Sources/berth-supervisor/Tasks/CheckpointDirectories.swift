import BerthDefaults
import LinuxSystem

/// Directories of CRIU's images that are neither content yet nor a container any more: `<root>/checkpoints/<namespace>/<id>` for a task that waits for its
/// Start, `<root>/checkpoints/new-…` for one that is being saved. On the disk and not in the state folder: they are as large as the memory of a task.
struct CheckpointDirectories: Sendable {
    let root: String

    func path(of key: TaskKey) -> String { "\(root)/\(key.namespace)/\(key.id)" }

    /// A new one for a task that is to be restored.
    func make(for key: TaskKey) throws -> String {
        let path = path(of: key)
        try Files.makeDirectories("\(root)/\(key.namespace)", mode: 0o700)
        remove(path)
        try Files.makeDirectory(path, mode: 0o700)
        return path
    }

    /// A new one for a task that is to be saved. A namespace's name cannot be taken for it: it has no room for so many digits.
    func makeNew() throws -> String {
        let path = "\(root)/new-\(UInt64.random(in: 0 ... .max))-\(UInt64.random(in: 0 ... .max))"
        try Files.makeDirectories(path, mode: 0o700)
        return path
    }

    func remove(_ path: String) {
        guard Files.exists(path) else { return }
        do {
            let parent = try DirectoryFD(path: path.parentPath)
            try LayerFiles.removeTree(CName(String(path.lastComponent)), in: parent)
        } catch { Log.warn("cannot remove a checkpoint's directory", ["path": path, "error": "\(error)"]) }
    }

    func remove(of key: TaskKey) { remove(path(of: key)) }

    /// At start-up: takes away what an earlier life has left.
    /// - Parameter isWanted: the task is still there and may yet be started.
    func removeAll(unless isWanted: (TaskKey) -> Bool) throws {
        guard Files.exists(root) else { return }
        for namespace in try Files.entries(of: root) {
            if namespace.hasPrefix("new-") {
                remove("\(root)/\(namespace)")
                continue
            }
            for id in try Files.entries(of: "\(root)/\(namespace)") where !isWanted(TaskKey(namespace: namespace, id: id)) {
                remove("\(root)/\(namespace)/\(id)")
            }
        }
    }
}
