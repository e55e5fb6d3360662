package import NIOCore
import NIOHPACK

/// The process at the other end of a unix socket, as the kernel vouches for it (SO_PEERCRED).
package struct GRPCPeer: Sendable, Equatable {
    package let pid: Int32
    package let uid: UInt32
    package let gid: UInt32
}

/// What a handler knows about its call beside the request. Cancellation arrives as cancellation of its task: the client gave up, the deadline
/// passed or the connection is gone.
package struct GRPCContext: Sendable {
    /// The header by which containerd's clients name their namespace.
    package static let namespaceHeader = "containerd-namespace"

    /// ":path": "/containerd.services.tasks.v1.Tasks/Create".
    package let path: String
    package let deadline: NIODeadline?
    package let peer: GRPCPeer?
    private let headers: HPACKHeaders

    init(path: String, headers: HPACKHeaders, deadline: NIODeadline?, peer: GRPCPeer?) {
        self.path = path
        self.headers = headers
        self.deadline = deadline
        self.peer = peer
    }

    /// The first value of a header.
    /// - Parameter name: in lower case.
    package func metadata(_ name: String) -> String? { headers.first(name: name) }

    /// The containerd namespace the client named, if it did.
    package var namespace: String? { metadata(Self.namespaceHeader) }

    /// - Throws: failedPrecondition with containerd's wording when the client named none.
    package func requireNamespace() throws(GRPCStatus) -> String {
        guard let namespace, !namespace.isEmpty else { throw GRPCStatus(.failedPrecondition, "namespace is required: failed precondition") }
        return namespace
    }
}
