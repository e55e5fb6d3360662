import Glibc
import LinuxSystem

/// How to tell whether a file of a snapshot still is what it was in the snapshot's parent, without reading both where that can be spared.
///
/// A program can change a file and set its size and time back, so these alone say nothing. What no program can set is the time of the last change (ctime).
enum TreeComparison: Sendable, Equatable {
    /// The tree is a btrfs snapshot of the other: a file nobody touched has the same inode number and the same ctime.
    case snapshot
    /// The tree is a copy of the other, complete at that time (nanoseconds since 1970): what nobody touched since has an earlier ctime.
    case copy(completed: Int64)
    /// Nothing is known: files are read.
    case contents

    /// What is known of a directory's children from the directory itself.
    ///
    /// - Parameter trusted: the same of its parent.
    func trustsChildren(of new: FileStatus, _ old: FileStatus, trusted: Bool) -> Bool {
        switch self {
        case .snapshot: true
        // Renamed, it would have a later ctime and hold other files under the old names.
        case .copy(let completed): trusted && new.changed < completed
        case .contents: false
        }
    }

    /// Whether nobody touched the file since the tree was made. False says nothing.
    func isUntouched(_ new: FileStatus, _ old: FileStatus, trusted: Bool) -> Bool {
        switch self {
        case .snapshot: new.inode == old.inode && new.changed == old.changed
        case .copy(let completed): trusted && new.changed < completed && Self.looksSame(new, old)
        case .contents: false
        }
    }

    /// Kind, mode, owner, size, time, device and number of names. For a directory size, time and number say only that something in it changed.
    static func looksSame(_ new: FileStatus, _ old: FileStatus) -> Bool {
        guard new.kind == old.kind, new.mode == old.mode, new.uid == old.uid, new.gid == old.gid else { return false }
        if new.kind == .directory { return true }
        return new.size == old.size && new.modifiedSeconds == old.modifiedSeconds && new.modifiedNanoseconds == old.modifiedNanoseconds
            && new.deviceMajor == old.deviceMajor && new.deviceMinor == old.deviceMinor && new.linkCount == old.linkCount
    }

    /// Whether two files that look the same are the same in attributes, link target and content as well.
    static func isSame(_ name: CName, _ status: FileStatus, in new: DirectoryFD, _ old: DirectoryFD) throws(SystemError) -> Bool {
        let names = try new.xattrNames(name).sorted { $0.lexicographicallyPrecedes($1) }
        guard names == (try old.xattrNames(name).sorted { $0.lexicographicallyPrecedes($1) }) else { return false }
        for attribute in names {
            let key = CName(attribute)
            guard try new.xattr(name, key) == old.xattr(name, key) else { return false }
        }
        switch status.kind {
        case .symbolicLink: return try new.readLink(name) == old.readLink(name)
        case .file: return try haveSameContent(name, status.size, new, old)
        default: return true
        }
    }

    private static func haveSameContent(_ name: CName, _ size: Int64, _ new: DirectoryFD, _ old: DirectoryFD) throws(SystemError) -> Bool {
        let first = try new.openFile(name), second = try old.openFile(name)
        let buffers = UnsafeMutableRawBufferPointer.allocate(byteCount: 512 << 10, alignment: 4096)
        defer { buffers.deallocate() }
        let (one, other) = (UnsafeMutableRawBufferPointer(rebasing: buffers[..<(256 << 10)]), UnsafeMutableRawBufferPointer(rebasing: buffers[(256 << 10)...]))
        var offset: Int64 = 0
        while offset < size {
            let count = try first.readSome(into: one, at: offset, on: "\(name)")
            // Short reads end only at the end of a file.
            guard count > 0, try second.readSome(into: other, at: offset, on: "\(name)") == count else { return false }
            guard let left = one.baseAddress, let right = other.baseAddress, memcmp(left, right, count) == 0 else { return false }
            offset += Int64(count)
        }
        return true
    }
}

/// Bytes and inodes of a tree, or of what is different from another one. Files are not read. A file with several names counts once.
enum TreeUsage {
    private struct Place {
        let directory: DirectoryFD
        let name: CName
        let old: DirectoryFD?
        let trusted: Bool
    }

    /// - Parameter old: nil: everything counts.
    static func measure(_ root: DirectoryFD, against old: DirectoryFD?, _ comparison: TreeComparison) throws(SystemError) -> SnapshotUsage {
        var usage = SnapshotUsage()
        var seen: Set<UInt64> = []
        var pending = [Place(directory: root, name: .current, old: old, trusted: true)]
        while let place = pending.popLast() {
            // A container may be changing it meanwhile: what is gone does not count.
            guard let status = try place.directory.statusIfPresent(place.name) else { continue }
            let before = try place.old?.statusIfPresent(place.name)
            if status.kind == .directory {
                let isOld = before?.kind == .directory
                if !(isOld && before.map { TreeComparison.looksSame(status, $0) } ?? false) { add(status, to: &usage) }
                guard let inner = try? place.directory.directory(place.name) else { continue }
                let oldInner = isOld ? try place.old?.directory(place.name) : nil
                let trusted = before.map { comparison.trustsChildren(of: status, $0, trusted: place.trusted) } ?? false
                for entry in try inner.names() { pending.append(Place(directory: inner, name: CName(entry), old: oldInner, trusted: trusted)) }
                continue
            }
            if let before, comparison.isUntouched(status, before, trusted: place.trusted) || isUnchangedByLook(status, before, comparison) { continue }
            if status.linkCount > 1, !seen.insert(status.inode).inserted { continue }
            add(status, to: &usage)
        }
        return usage
    }

    /// Not worth reading for a number of bytes: same look, and for a copy also not touched, wherever it was moved from.
    private static func isUnchangedByLook(_ new: FileStatus, _ old: FileStatus, _ comparison: TreeComparison) -> Bool {
        if case .copy(let completed) = comparison { return new.changed <= completed && TreeComparison.looksSame(new, old) }
        return false
    }

    private static func add(_ status: FileStatus, to usage: inout SnapshotUsage) {
        usage.size += status.allocatedSize
        usage.inodes += 1
    }
}
