import SwiftProtobuf
import BerthDefaults
import ContainerdAPI
import GRPCSocket

/// containerd.services.version.v1 and grpc.health.v1: who answers, and that it does.
struct VersionService: GRPCService {
    func register(in handlers: inout GRPCHandlers) {
        handlers.unary(VersionAPI.version) { _, _ in
            .with {
                // Clients compare this with containerd's versions to decide what they may use; what follows the plus says who we are.
                $0.version = "\(Self.containerdVersion)+berth.\(Defaults.version)"
                $0.revision = Self.revision
            }
        }
        handlers.unary(HealthAPI.check) { _, _ in .with { $0.status = .serving } }
    }

    /// The version of containerd whose API this is.
    static let containerdVersion = "v2.1.0"
    static let revision = "berth"
}
