import LinuxSystem
import OCILayer

/// Layers of snapshots that hold everything: the tree is walked beside the one it began as.
extension LayerDiffer {
    /// Writes the whole archive with its end.
    ///
    /// - Parameter old: the tree of the snapshot below; nil for none.
    func write(_ new: DirectoryFD, against old: DirectoryFD?, _ comparison: TreeComparison) throws {
        if let old {
            let trusted = comparison.trustsChildren(of: try new.status(.current), try old.status(.current), trusted: true)
            try writeChanges(of: new, old, path: [], comparison, trusted: trusted)
        } else {
            try writeChildren(of: new, path: [])
        }
        try finish()
    }

    private func writeChanges(of new: DirectoryFD, _ old: DirectoryFD, path: [UInt8], _ comparison: TreeComparison, trusted: Bool) throws {
        let (newNames, oldNames) = (Set(try new.names()), Set(try old.names()))
        for name in newNames.union(oldNames).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let child = CName(name)
            guard newNames.contains(name), let status = try new.statusIfPresent(child) else {
                // Gone since it was listed and not there before: nothing to say.
                if oldNames.contains(name) { try addWhiteout(name, in: path) }
                continue
            }
            let inner = path.isEmpty ? name : path + [UInt8(ascii: "/")] + name
            guard oldNames.contains(name), let before = try old.statusIfPresent(child) else {
                try write(child, status, in: new, path: inner)
                continue
            }
            if status.kind == .directory, before.kind == .directory {
                try writeDirectory(child, status, before, in: new, old, path: inner, comparison, trusted: trusted)
            } else if comparison.isUntouched(status, before, trusted: trusted) {
                continue
            } else if !TreeComparison.looksSame(status, before) {
                try write(child, status, in: new, path: inner)
            } else if try !TreeComparison.isSame(child, status, in: new, old) {
                try write(child, status, in: new, path: inner)
            }
        }
    }

    private func writeDirectory(
        _ name: CName, _ status: FileStatus, _ before: FileStatus, in new: DirectoryFD, _ old: DirectoryFD, path: [UInt8], _ comparison: TreeComparison, trusted: Bool
    ) throws {
        guard let entry = entry(status, path: path) else { return }
        let depth = undecided.count
        undecided.append((entry, name, new))
        let isSame = try TreeComparison.looksSame(status, before) && TreeComparison.isSame(name, status, in: new, old)
        if !isSame { try addUndecided() }
        try writeChanges(
            of: try new.directory(name), try old.directory(name), path: path, comparison,
            trusted: comparison.trustsChildren(of: status, before, trusted: trusted))
        // Nothing below it was written, so it was not either.
        if undecided.count > depth { undecided.removeLast() }
    }
}
