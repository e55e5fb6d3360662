package import SwiftProtobuf

/// One method of a service: its name on the wire and the messages it takes and returns.
///
/// The constants in `ContainerdAPI` are made by `contrib/protos/generate.sh`. gRPC and ttrpc use the same names, so a method of the task API serves both.
package struct RPCMethod<Request: Message, Response: Message>: Sendable {
    /// The full name of the service: "containerd.services.tasks.v1.Tasks".
    package let service: String
    /// The method's name within it: "Create".
    package let name: String
    /// gRPC's `:path`.
    package let path: String

    package init(service: String, name: String) {
        self.service = service
        self.name = name
        self.path = "/\(service)/\(name)"
    }
}
