extension RuntimeSpec {
    /// Everything particular to Linux. Spec: config-linux.md.
    package struct Linux: Codable, Sendable, Equatable {
        package var namespaces: [Namespace]
        /// Of the new user namespace.
        package var uidMappings: [IDMapping]
        package var gidMappings: [IDMapping]
        /// "monotonic" and "boottime", in a new time namespace.
        package var timeOffsets: [String: TimeOffset]
        /// Created besides the default ones (null zero full random urandom tty).
        package var devices: [Device]
        /// Host interfaces moved into the container's network namespace, by their name on the host.
        package var netDevices: [String: NetDevice]
        /// Absolute, relative, or "slice:prefix:name" with the systemd driver. The runtime chooses when unset.
        package var cgroupsPath: String?
        package var resources: Optional<Resources>
        /// "shared", "slave", "private", "unbindable" and their r… forms.
        package var rootfsPropagation: String?
        /// Made unreadable in the container.
        package var maskedPaths: [String]
        package var readonlyPaths: [String]
        /// SELinux context of the container's mounts.
        package var mountLabel: String?
        package var sysctl: [String: String]
        package var seccomp: Optional<SeccompProfile>
        package var intelRdt: Optional<IntelRdt>
        package var memoryPolicy: Optional<MemoryPolicy>
        package var personality: Optional<Personality>

        package init(
            namespaces: [Namespace] = [], uidMappings: [IDMapping] = [], gidMappings: [IDMapping] = [], timeOffsets: [String: TimeOffset] = [:],
            devices: [Device] = [], netDevices: [String: NetDevice] = [:], cgroupsPath: String? = nil, resources: Resources? = nil,
            rootfsPropagation: String? = nil, maskedPaths: [String] = [], readonlyPaths: [String] = [], mountLabel: String? = nil,
            sysctl: [String: String] = [:], seccomp: SeccompProfile? = nil, intelRdt: IntelRdt? = nil, memoryPolicy: MemoryPolicy? = nil,
            personality: Personality? = nil
        ) {
            self.namespaces = namespaces
            self.uidMappings = uidMappings
            self.gidMappings = gidMappings
            self.timeOffsets = timeOffsets
            self.devices = devices
            self.netDevices = netDevices
            self.cgroupsPath = cgroupsPath
            self.resources = resources
            self.rootfsPropagation = rootfsPropagation
            self.maskedPaths = maskedPaths
            self.readonlyPaths = readonlyPaths
            self.mountLabel = mountLabel
            self.sysctl = sysctl
            self.seccomp = seccomp
            self.intelRdt = intelRdt
            self.memoryPolicy = memoryPolicy
            self.personality = personality
        }
    }
}

extension RuntimeSpec.Linux {
    /// A namespace to create, or with `path` to join.
    package struct Namespace: Codable, Sendable, Equatable {
        /// "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time".
        package var type: String
        package var path: String?

        package init(type: String, path: String? = nil) {
            self.type = type
            self.path = path
        }
    }

    /// Added to a clock of a new time namespace.
    package struct TimeOffset: Codable, Sendable, Equatable {
        package var secs: Int64?
        package var nanosecs: UInt32?

        package init(secs: Int64? = nil, nanosecs: UInt32? = nil) {
            self.secs = secs
            self.nanosecs = nanosecs
        }
    }

    /// A device node. `major` and `minor` are required except for type "p".
    package struct Device: Codable, Sendable, Equatable {
        /// Absolute path inside the container.
        package var path: String
        /// "c", "b", "u" (same as c) or "p".
        package var type: String
        package var major: Int64?
        package var minor: Int64?
        /// Permission bits; bits above 07777 carry Go's file type and are to be ignored. Unset means 0666.
        package var fileMode: UInt32?
        package var uid: UInt32?
        package var gid: UInt32?

        package init(
            path: String, type: String, major: Int64? = nil, minor: Int64? = nil, fileMode: UInt32? = nil, uid: UInt32? = nil, gid: UInt32? = nil
        ) {
            self.path = path
            self.type = type
            self.major = major
            self.minor = minor
            self.fileMode = fileMode
            self.uid = uid
            self.gid = gid
        }
    }

    package struct NetDevice: Codable, Sendable, Equatable {
        /// New name in the container.
        package var name: String?

        package init(name: String? = nil) {
            self.name = name
        }
    }

    /// Intel Resource Director Technology, through resctrl. Spec: config-linux.md#inteldrt.
    package struct IntelRdt: Codable, Sendable, Equatable {
        /// Directory under /sys/fs/resctrl; the container's id when unset, the root group when "/".
        package var closID: String?
        /// Lines written as they are, after `l3CacheSchema` and `memBwSchema`.
        package var schemata: [String]
        package var l3CacheSchema: String?
        package var memBwSchema: String?
        package var enableMonitoring: Bool

        package init(
            closID: String? = nil, schemata: [String] = [], l3CacheSchema: String? = nil, memBwSchema: String? = nil,
            enableMonitoring: Bool = false
        ) {
            self.closID = closID
            self.schemata = schemata
            self.l3CacheSchema = l3CacheSchema
            self.memBwSchema = memBwSchema
            self.enableMonitoring = enableMonitoring
        }
    }

    /// Arguments of set_mempolicy(2).
    package struct MemoryPolicy: Codable, Sendable, Equatable {
        /// "MPOL_BIND" …; required.
        package var mode: String?
        /// Node list, "0-1,3".
        package var nodes: String?
        /// "MPOL_F_STATIC_NODES" ….
        package var flags: [String]

        package init(mode: String?, nodes: String? = nil, flags: [String] = []) {
            self.mode = mode
            self.nodes = nodes
            self.flags = flags
        }
    }

    /// Argument of personality(2).
    package struct Personality: Codable, Sendable, Equatable {
        /// "LINUX" or "LINUX32".
        package var domain: String
        /// None is defined by the specification yet.
        package var flags: [String]

        package init(domain: String, flags: [String] = []) {
            self.domain = domain
            self.flags = flags
        }
    }
}
