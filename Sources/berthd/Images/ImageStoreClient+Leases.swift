import ContainerdAPI
import SwiftProtobuf

/// What keeps new content and layers until an image refers to them.
extension ImageStoreClient {
    /// Of ours alone: those of transfers outlive us, so that a pull goes on where it was cut short.
    private static let leasePrefix = "berth-image-"

    /// Runs `body` under a lease: what it makes stays until then, and is kept afterwards only when an image refers to it.
    ///
    /// Should we die, the next start ends the lease, or the supervisor after a day.
    func withLease<Value>(_ body: (String) async throws -> Value) async throws -> Value {
        let request = Leases_CreateRequest.with {
            $0.id = Self.leasePrefix + Identifier.random(digits: 24)
            $0.labels = ["containerd.io/gc.expire": WallClock(seconds: WallClock.now().seconds + 86400, nanoseconds: 0).rfc3339]
        }
        let lease = try await call(LeasesAPI.create, request).lease.id
        do {
            let value = try await body(lease)
            await end(lease)
            return value
        } catch {
            await end(lease)
            throw error
        }
    }

    /// Ends the leases of an earlier life: nothing goes on under them.
    func endAbandonedLeases() async throws {
        for lease in try await call(LeasesAPI.list, Leases_ListRequest()).leases where lease.id.hasPrefix(Self.leasePrefix) { await end(lease.id) }
    }

    /// Where even that finds no room on the disk, it is tried again for some minutes: what the lease keeps may be what the disk is full of.
    private func end(_ id: String) async {
        do { try await delete(id) } catch {
            Log.warning("the lease \(id) could not be ended, and is tried again: \(error)")
            Task {
                var pause = Duration.seconds(1)
                for _ in 0..<12 {
                    try await Task.sleep(for: pause)
                    if (try? await delete(id)) != nil { return }
                    pause = min(pause * 2, .seconds(60))
                }
            }
        }
    }

    private func delete(_ id: String) async throws {
        _ = try await optional { _ = try await call(LeasesAPI.delete, Leases_DeleteRequest.with { $0.id = id }) }
    }
}
