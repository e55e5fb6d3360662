import Glibc
import LinuxSystem

/// Some megabytes beside the database, given up when the disk is full: a removal has to be written down before it frees anything, and a supervisor
/// that starts writes a little too. Taken again when there is room.
final class DiskReserve: Sendable {
    private let directory: String
    private var path: String { "\(directory)/reserve" }

    private static let size: Int64 = 4 << 20
    /// Taken only where at least so much is free beside it.
    private static let comfortable: Int64 = 64 << 20
    /// A start with less needs it.
    private static let scarce: Int64 = 1 << 20

    /// - Parameter directory: the one of the database.
    init(_ directory: String) { self.directory = directory }

    /// Gives it up. Returns false where it is not there.
    func release() -> Bool {
        do throws(SystemError) { try Files.remove(path) } catch { return false }
        Log.warn("disk is full: gave the reserve up", ["path": path])
        return true
    }

    /// Gives it up where the disk is too full to start.
    func releaseIfScarce() {
        if let free = try? DiskSpace.free(at: directory), free < Self.scarce { _ = release() }
    }

    /// Takes it again where there is room. What goes wrong leaves the engine without a reserve, as it was.
    func restore() {
        guard !Files.exists(path), let free = try? DiskSpace.free(at: directory), free > Self.comfortable + Self.size,
            let file = try? Files.open(path, O_RDWR | O_CREAT, mode: 0o600)
        else { return }
        do throws(SystemError) { try DiskSpace.reserve(Self.size, for: file, name: path) } catch { try? Files.remove(path) }
    }
}
