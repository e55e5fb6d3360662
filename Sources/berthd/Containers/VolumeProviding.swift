import DockerAPI
import LinuxSystem

/// A volume that a container uses.
struct AttachedVolume: Sendable, Equatable, Codable {
    var name: String
    var driver: String
    /// Host path to mount from.
    var source: String
    /// Made for this container without a name: `rm -v` and `--rm` remove it.
    var anonymous: Bool
    /// Made by this call, or empty still: content of the image is copied into it.
    var isEmpty: Bool
}

/// A root filesystem that is mounted nowhere: the descriptor is the only way in, and the mount goes when the last reference goes.
final class DetachedRootfs: Sendable {
    let root: OwnedFD
    init(root: consuming OwnedFD) { self.root = root }
}

/// What the container services ask of volumes. A volume counts its users by container ID.
protocol VolumeProviding: Sendable {
    /// Finds the volume or makes it, and notes the container as a user. `name` nil makes an anonymous one (64 hex characters), which is also
    /// what `isAnonymous` says of one that another container brought. Idempotent per container and name.
    ///
    /// - Throws: `DaemonError` in Docker's words: names outside of `[a-zA-Z0-9][a-zA-Z0-9_.-]`, an unknown driver, other options than an existing volume has.
    func acquire(name: String?, isAnonymous: Bool, driver: String?, options: [String: String], labels: [String: String], containerID: String) async throws -> AttachedVolume

    /// Copies what the image has at `path` into an empty volume, owner, mode, times, xattrs and links included; follows no link out of `rootfs`.
    func populate(_ volume: AttachedVolume, from rootfs: DetachedRootfs, path: String) async throws

    /// Called before every start: mounts what the driver needs mounted and gives the host path.
    func path(of volume: String) async throws -> String

    /// The container is gone. `removingAnonymous`: `rm -v`, `--rm`.
    func release(containerID: String, removingAnonymous: Bool) async

    /// For `/system/df`.
    func diskUsage() async throws -> [Volume]
}
