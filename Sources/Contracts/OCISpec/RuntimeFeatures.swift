/// The document of the command `features`: what this runtime can do, whatever the machine allows at the moment.
///
/// Spec: features.md, features-linux.md.
package struct RuntimeFeatures: Codable, Sendable, Equatable {
    package var ociVersionMin: String?
    package var ociVersionMax: String?
    package var hooks: [String]
    package var mountOptions: [String]
    package var linux: Linux?
    package var annotations: [String: String]
    /// Annotations of config.json that could weaken the container when an untrusted user sets them. A name ending in "." is a prefix.
    package var potentiallyUnsafeConfigAnnotations: [String]

    package init(
        ociVersionMin: String? = nil, ociVersionMax: String? = nil, hooks: [String] = [], mountOptions: [String] = [], linux: Linux? = nil,
        annotations: [String: String] = [:], potentiallyUnsafeConfigAnnotations: [String] = []
    ) {
        self.ociVersionMin = ociVersionMin
        self.ociVersionMax = ociVersionMax
        self.hooks = hooks
        self.mountOptions = mountOptions
        self.linux = linux
        self.annotations = annotations
        self.potentiallyUnsafeConfigAnnotations = potentiallyUnsafeConfigAnnotations
    }
}

extension RuntimeFeatures {
    package struct Linux: Codable, Sendable, Equatable {
        package var namespaces: [String]
        package var capabilities: [String]
        package var cgroup: Cgroup?
        package var seccomp: Seccomp?
        package var apparmor: Switch?
        package var selinux: Switch?
        package var intelRdt: IntelRdt?
        package var memoryPolicy: MemoryPolicy?
        package var mountExtensions: MountExtensions?
        package var netDevices: Switch?

        package init(
            namespaces: [String] = [], capabilities: [String] = [], cgroup: Cgroup? = nil, seccomp: Seccomp? = nil, apparmor: Switch? = nil,
            selinux: Switch? = nil, intelRdt: IntelRdt? = nil, memoryPolicy: MemoryPolicy? = nil, mountExtensions: MountExtensions? = nil,
            netDevices: Switch? = nil
        ) {
            self.namespaces = namespaces
            self.capabilities = capabilities
            self.cgroup = cgroup
            self.seccomp = seccomp
            self.apparmor = apparmor
            self.selinux = selinux
            self.intelRdt = intelRdt
            self.memoryPolicy = memoryPolicy
            self.mountExtensions = mountExtensions
            self.netDevices = netDevices
        }
    }

    package struct Cgroup: Codable, Sendable, Equatable {
        package var v1: Bool?
        package var v2: Bool?
        package var systemd: Bool?
        package var systemdUser: Bool?
        package var rdma: Bool?

        package init(v1: Bool? = nil, v2: Bool? = nil, systemd: Bool? = nil, systemdUser: Bool? = nil, rdma: Bool? = nil) {
            self.v1 = v1
            self.v2 = v2
            self.systemd = systemd
            self.systemdUser = systemdUser
            self.rdma = rdma
        }
    }

    package struct Seccomp: Codable, Sendable, Equatable {
        package var enabled: Bool?
        package var actions: [String]
        package var operators: [String]
        package var archs: [String]
        package var knownFlags: [String]
        /// Those of `knownFlags` that the running kernel takes.
        package var supportedFlags: [String]

        package init(
            enabled: Bool? = nil, actions: [String] = [], operators: [String] = [], archs: [String] = [], knownFlags: [String] = [],
            supportedFlags: [String] = []
        ) {
            self.enabled = enabled
            self.actions = actions
            self.operators = operators
            self.archs = archs
            self.knownFlags = knownFlags
            self.supportedFlags = supportedFlags
        }
    }

    /// A feature that is either there or not.
    package struct Switch: Codable, Sendable, Equatable {
        package var enabled: Bool?

        package init(enabled: Bool? = nil) {
            self.enabled = enabled
        }
    }

    package struct IntelRdt: Codable, Sendable, Equatable {
        package var enabled: Bool?
        package var schemata: Bool?
        package var monitoring: Bool?

        package init(enabled: Bool? = nil, schemata: Bool? = nil, monitoring: Bool? = nil) {
            self.enabled = enabled
            self.schemata = schemata
            self.monitoring = monitoring
        }
    }

    package struct MemoryPolicy: Codable, Sendable, Equatable {
        package var modes: [String]
        package var flags: [String]

        package init(modes: [String] = [], flags: [String] = []) {
            self.modes = modes
            self.flags = flags
        }
    }

    package struct MountExtensions: Codable, Sendable, Equatable {
        package var idmap: Switch?

        package init(idmap: Switch? = nil) {
            self.idmap = idmap
        }
    }
}
