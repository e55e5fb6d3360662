internal import CLinux

/// Limits on what a directory tree takes, where the file system has project quotas (xfs mounted with `pquota`, ext4 with `prjquota`).
package enum ProjectQuota {
    /// Puts the directory and what is made in it from now on under `project`, and limits that to `bytes`.
    ///
    /// - Throws: what the kernel says where there are no project quotas: ENOSYS, ENOTSUP, ESRCH, EINVAL or ENOTTY.
    ///
    /// Kernel: FS_IOC_FSSETXATTR, quotactl_fd(2) (Linux 5.14).
    package static func limit(_ directory: DirectoryFD, project: UInt32, to bytes: UInt64) throws(SystemError) {
        let file = try directory.readable()
        let raw = file.rawValue
        try syscall("quotactl_fd", on: "limit project \(project) to \(bytes) bytes") { berth_limit_project(raw, project, bytes) }
        try syscall("ioctl", on: "set project \(project)") { berth_set_project(raw, project) }
    }

    /// Whether the file system of `directory` counts by project.
    package static func isAvailable(at directory: DirectoryFD) throws(SystemError) -> Bool {
        let file = try directory.readable()
        // A project that nobody has; no limit is none.
        return berth_limit_project(file.rawValue, 0xffff_fffe, 0) == 0
    }

    /// Takes the limit of a project away. What has none is left alone.
    package static func clear(_ project: UInt32, at directory: DirectoryFD) {
        guard let file = try? directory.readable() else { return }
        _ = berth_limit_project(file.rawValue, project, 0)
    }
}
