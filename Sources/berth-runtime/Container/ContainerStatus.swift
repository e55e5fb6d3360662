/// Where in its life a container is.
///
/// Spec: runtime.md#state; `paused` is the field's addition.
enum ContainerStatus: String {
    /// A `create` or `run` is at work on it.
    case creating
    /// The init waits at exec.fifo for `start`.
    case created
    case running
    case paused
    /// The init has ended, or there never was one.
    case stopped

    /// Whether there is an init that can be signalled.
    var hasInit: Bool { self == .created || self == .running || self == .paused }
}
