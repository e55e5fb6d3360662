/// POST /containers/{id}/exec.
package struct ExecCreateRequest: Codable, Sendable, Equatable {
    package var User: String?
    package var Privileged: Bool?
    package var Tty: Bool?
    /// Height, width.
    package var ConsoleSize: [UInt]?
    package var AttachStdin: Bool?
    package var AttachStderr: Bool?
    package var AttachStdout: Bool?
    package var Detach: Bool?
    package var DetachKeys: String?
    package var Env: [String]?
    package var WorkingDir: String?
    @Words package var Cmd: [String]?

    package init() {}
}

/// POST /exec/{id}/start.
package struct ExecStartRequest: Codable, Sendable, Equatable {
    package var Detach: Bool?
    package var Tty: Bool?
    package var ConsoleSize: [UInt]?

    package init() {}
}

/// GET /exec/{id}/json.
package struct ExecInspect: Codable, Sendable, Equatable {
    package struct ExecProcessConfig: Codable, Sendable, Equatable {
        package var tty: Bool?
        package var entrypoint: String?
        package var arguments: [String]?
        package var privileged: Bool?
        package var user: String?
        package init() {}
    }

    package var ID: String = ""
    package var Running: Bool?
    /// null until it ended.
    @Nullable package var ExitCode: Int?
    package var ProcessConfig: ExecProcessConfig?
    package var OpenStdin: Bool?
    package var OpenStderr: Bool?
    package var OpenStdout: Bool?
    package var CanRemove: Bool?
    package var ContainerID: String?
    /// Base64 of the key bytes.
    package var DetachKeys: String?
    package var Pid: Int?

    package init() {}
}
