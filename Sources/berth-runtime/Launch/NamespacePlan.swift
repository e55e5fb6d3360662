import BerthDefaults
import LinuxSystem
import OCISpec

/// Which namespaces are new, which are joined, which are shared with the runtime, and what follows for the launch.
struct NamespacePlan {
    struct Joined {
        let kind: NamespaceKind
        let path: String
    }

    private(set) var created: [NamespaceKind] = []
    private(set) var joined: [Joined] = []

    init(_ namespaces: [RuntimeSpec.Linux.Namespace]) throws(RuntimeError) {
        for entry in namespaces {
            guard let kind = NamespaceKind(rawValue: entry.type) else {
                throw RuntimeError(.invalidArgument, "linux.namespaces: unknown type \"\(entry.type)\"")
            }
            if created.contains(kind) || joined.contains(where: { $0.kind == kind }) {
                throw RuntimeError(.invalidArgument, "linux.namespaces: \"\(entry.type)\" is given twice")
            }
            if let path = entry.path, !path.isEmpty {
                guard path.isAbsolutePath else { throw RuntimeError(.invalidArgument, "linux.namespaces: path \"\(path)\" is not absolute") }
                joined.append(Joined(kind: kind, path: path))
            } else {
                created.append(kind)
            }
        }
    }

    func creates(_ kind: NamespaceKind) -> Bool { created.contains(kind) }
    func joins(_ kind: NamespaceKind) -> Bool { joined.contains { $0.kind == kind } }
    /// New or another one than the runtime's.
    func separates(_ kind: NamespaceKind) -> Bool { creates(kind) || joins(kind) }
    var hasUserNamespace: Bool { separates(.user) }

    /// Whether a stage between runtime and init is needed.
    ///
    /// Not in the common cases: new namespaces come with clone3, a joined pid namespace is entered by the runtime on behalf of its next child, the other
    /// joined ones by the init itself. With a user namespace in play the others must be joined before it (they belong to an outer one) or after it
    /// (they belong to it), and new ones created from inside it, which one clone3 cannot do.
    var needsIntermediate: Bool { joins(.user) || (creates(.user) && !joined.isEmpty) }

    /// For clone3. The cgroup namespace is left out: its root is the cgroup the process is in when it is created, and the init joins that later. So is the
    /// time namespace: its offsets must be written before anybody is in it.
    var atClone: [NamespaceKind] { created.filter { $0 != .cgroup && $0 != .time } }
}
