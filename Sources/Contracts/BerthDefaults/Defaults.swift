/// What all five programs must agree on: paths, names, version.
package enum Defaults {
    package static let version = "0.1.0"
    package static let runRoot = "/run/berth"
    package static let dataRoot = "/var/lib/berth"
    package static let daemonSocket = "/run/berth/berthd.sock"
    package static let supervisorSocket = "/run/berth/supervisor.sock"
    /// The containerd namespace of berthd's containers: what Docker tooling looks for.
    package static let containerdNamespace = "moby"
    /// Records of images without a name begin so, as dockerd's; the digest follows.
    package static let namelessImagePrefix = "moby-dangling@"
    /// Keys of snapshots that nobody but their lease keeps begin so.
    package static let temporarySnapshotPrefix = "berth-extract-"
    /// Label of a snapshot that may take so many bytes.
    package static let snapshotSizeLabel = "containerd.io/snapshot/berth.size-bytes"
    /// With this status ends a supervisor whose directory another one holds.
    package static let supervisorInUseStatus: Int32 = 3
    package static let shimRuntime = "io.containerd.berth.v1"
}
