/// The document `config.json` of an OCI bundle, Linux part, version 1.3.
///
/// Plain data with JSON's own names: the daemons build and read it with FoundationEssentials' coder, shim and runtime with `JSONCodec`. Nothing is
/// validated here. As in the reference's Go types, an absent list, map or flag reads as empty or false, and an empty one is not written
/// (`RuntimeSpec+Coding.swift`); a field that is unset and one that is zero differ only where the type is optional. Unknown fields are ignored, as
/// the specification demands; those of other platforms are not modelled.
///
/// Large optional fields are written `Optional<T>` here and in the types below: `T?` is nil before an initializer sets it, and that nil is destroyed by way of the type's run-time description.
///
/// Spec: OCI runtime-spec 1.3, config.md.
package struct RuntimeSpec: Codable, Sendable, Equatable {
    /// The highest version of the specification that these types cover.
    package static let version = "1.3.0"

    /// Version of the specification the document follows, as SemVer: "1.0.2", "1.2.1-dev".
    package var ociVersion: String
    /// Absent for a container that is only created and joined by exec later.
    package var process: Optional<Process>
    package var root: Optional<Root>
    package var hostname: String?
    package var domainname: String?
    package var mounts: [Mount]
    package var hooks: Optional<Hooks>
    package var annotations: [String: String]
    package var linux: Optional<Linux>

    package init(
        ociVersion: String = RuntimeSpec.version, process: Process? = nil, root: Root? = nil, hostname: String? = nil, domainname: String? = nil,
        mounts: [Mount] = [], hooks: Hooks? = nil, annotations: [String: String] = [:], linux: Linux? = nil
    ) {
        self.ociVersion = ociVersion
        self.process = process
        self.root = root
        self.hostname = hostname
        self.domainname = domainname
        self.mounts = mounts
        self.hooks = hooks
        self.annotations = annotations
        self.linux = linux
    }
}

extension RuntimeSpec {
    /// The container's root filesystem.
    package struct Root: Codable, Sendable, Equatable {
        /// Absolute, or relative to the bundle.
        package var path: String
        package var readonly: Bool

        package init(path: String, readonly: Bool = false) {
            self.path = path
            self.readonly = readonly
        }
    }

    /// One mount, carried out in the order of the list.
    package struct Mount: Codable, Sendable, Equatable {
        /// Absolute path inside the container. Relative ones were allowed before 1.0.2 and mean the same below `/`.
        package var destination: String
        /// Filesystem type; "bind" and absent both go with a bind option.
        package var type: String?
        /// Device, "tmpfs"-like label, or path (relative to the bundle) of a bind mount.
        package var source: String?
        /// As for mount(8), and the runtime's own: "rbind", "rro", "idmap", "tmpcopyup", "mode=755" ….
        package var options: [String]
        /// Mapping of an idmapped mount; both lists or none.
        package var uidMappings: [IDMapping]
        package var gidMappings: [IDMapping]

        package init(
            destination: String, type: String? = nil, source: String? = nil, options: [String] = [], uidMappings: [IDMapping] = [],
            gidMappings: [IDMapping] = []
        ) {
            self.destination = destination
            self.type = type
            self.source = source
            self.options = options
            self.uidMappings = uidMappings
            self.gidMappings = gidMappings
        }
    }

    /// A range of ids: `size` ids from `containerID` on stand for those from `hostID` on.
    package struct IDMapping: Codable, Sendable, Equatable {
        package var containerID: UInt32
        package var hostID: UInt32
        package var size: UInt32

        package init(containerID: UInt32, hostID: UInt32, size: UInt32) {
            self.containerID = containerID
            self.hostID = hostID
            self.size = size
        }
    }

    /// Programs run at points of the container's life. Spec: config.md#posix-platform-hooks.
    package struct Hooks: Codable, Sendable, Equatable {
        /// Deprecated by the specification; runs in the runtime's namespaces before `createRuntime`.
        package var prestart: [Hook]
        /// In the runtime's namespaces, after the namespaces exist and before pivot_root.
        package var createRuntime: [Hook]
        /// In the container's namespaces, before pivot_root.
        package var createContainer: [Hook]
        /// In the container's namespaces, just before the user's program.
        package var startContainer: [Hook]
        /// In the runtime's namespaces, after the program started. A failure stops the container.
        package var poststart: [Hook]
        /// In the runtime's namespaces, after the container is deleted. A failure is only logged.
        package var poststop: [Hook]

        package init(
            prestart: [Hook] = [], createRuntime: [Hook] = [], createContainer: [Hook] = [], startContainer: [Hook] = [], poststart: [Hook] = [],
            poststop: [Hook] = []
        ) {
            self.prestart = prestart
            self.createRuntime = createRuntime
            self.createContainer = createContainer
            self.startContainer = startContainer
            self.poststart = poststart
            self.poststop = poststop
        }
    }

    package struct Hook: Codable, Sendable, Equatable {
        /// Absolute, on the host's filesystem (in the container's for `startContainer`).
        package var path: String
        /// As for execv(3): the first is the program's name.
        package var args: [String]
        package var env: [String]
        /// Seconds, greater than zero.
        package var timeout: Int?

        package init(path: String, args: [String] = [], env: [String] = [], timeout: Int? = nil) {
            self.path = path
            self.args = args
            self.env = env
            self.timeout = timeout
        }
    }
}
