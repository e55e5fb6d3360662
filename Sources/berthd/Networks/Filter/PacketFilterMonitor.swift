import LinuxSystem
import Netlink
import NIOCore
import NIOPosix

/// Puts the packet filter's table back when somebody else removes it or a part of it: `nft flush ruleset`, a firewall's reload, Docker's restart.
///
/// Costs nothing while nothing happens: the kernel announces changes on a netlink socket that an event loop reads.
struct PacketFilterMonitor: Sendable {
    let filter: PacketFilter

    /// Waits between two restorations when they follow each other closely: somebody who removes the rules again and again gets his way for longer and longer,
    /// instead of a machine that does nothing else. The first is immediate.
    private static let delays: [Duration] = [.zero, .milliseconds(200), .seconds(1), .seconds(5), .seconds(30)]
    private static let quietTime = Duration.seconds(60)

    /// Runs until it is cancelled.
    func run() async {
        var recent = 0
        var last: ContinuousClock.Instant?
        while !Task.isCancelled {
            var reason = "announcements were lost"
            do {
                reason = try await watch()
            } catch is CancellationError {
                return
            } catch {
                // ENOBUFS, mostly: then only a table that is written again is certainly right.
                Log.debug("packet filter monitor: \(error)")
            }
            if let last, last.duration(to: .now) < Self.quietTime { recent = min(recent + 1, Self.delays.count - 1) } else { recent = 0 }
            try? await Task.sleep(for: Self.delays[recent])
            if Task.isCancelled { return }
            await restore(reason)
            last = .now
        }
    }

    /// Returns when somebody else has removed something of ours, with what to say about it. What happens until the next call is covered by writing the whole table then.
    private func watch() async throws -> String {
        let socket = try NetlinkSocket(family: NetfilterEvents.family, groups: [NetfilterEvents.group])
        // A table of many elements is announced with a message for each; what does not fit would be lost and the table written again for nothing.
        socket.reserve(bytes: 0, answers: 4096)
        let descriptor = try socket.duplicateDescriptor().release()
        let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 * 1024))
            .takingOwnershipOfDescriptor(input: descriptor) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, Never>(wrappingChannelSynchronously: channel) }
            }
        var events = NetfilterEvents()
        return try await channel.executeThenClose { inbound, _ in
            for try await buffer in inbound {
                for change in events.take(Array(buffer.readableBytesView)) {
                    if change.removed && change.tables.contains(filter.rules.name) { return "somebody removed rules" }
                    if change.newChains.contains(DockerUserChain.name) { await filter.acceptInDockerUser() }
                }
            }
            try Task.checkCancellation()
            throw PacketFilterError(message: "the monitor's socket was closed")
        }
    }

    private func restore(_ reason: String) async {
        do {
            try await filter.reinstall()
            Log.info("packet filter: \(reason), table \(filter.rules.table) written again")
        } catch {
            Log.error("packet filter: \(reason), and writing the table again failed: \(error)")
        }
    }
}
