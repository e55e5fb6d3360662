/// What the command `state` prints and hooks get on their standard input.
///
/// Spec: runtime.md#state.
package struct RuntimeState: Codable, Sendable, Equatable {
    package var ociVersion: String
    package var id: String
    /// "creating", "created", "running", "stopped"; "paused" is the field's addition.
    package var status: String
    /// Of the container's init on the host. Absent when stopped.
    package var pid: Int?
    /// Absolute path.
    package var bundle: String
    package var annotations: [String: String]

    package init(
        ociVersion: String = RuntimeSpec.version, id: String, status: String, pid: Int? = nil, bundle: String, annotations: [String: String] = [:]
    ) {
        self.ociVersion = ociVersion
        self.id = id
        self.status = status
        self.pid = pid
        self.bundle = bundle
        self.annotations = annotations
    }
}

/// What a seccomp listener receives beside the descriptors.
///
/// Spec: runtime.md, "The Container Process State".
package struct ContainerProcessState: Codable, Sendable, Equatable {
    /// The name of the notification descriptor in `fds`.
    package static let seccompFdName = "seccompFd"

    package var ociVersion: String
    /// Names of the descriptors, in the order in which SCM_RIGHTS carries them.
    package var fds: [String]
    package var pid: Int
    package var metadata: String?
    package var state: RuntimeState

    package init(ociVersion: String = RuntimeSpec.version, fds: [String], pid: Int, metadata: String? = nil, state: RuntimeState) {
        self.ociVersion = ociVersion
        self.fds = fds
        self.pid = pid
        self.metadata = metadata
        self.state = state
    }
}
