import Glibc
import LinuxSystem
import Netlink
import NIOCore
import NIOPosix

/// Puts the packet filter's table back when somebody else removes it or a part of it: `nft flush ruleset`, a firewall's reload, Docker's restart.
///
/// Costs nothing while nothing happens: the kernel announces changes on a netlink socket that an event loop reads.
struct PacketFilterMonitor: Sendable {
    let filter: PacketFilter

    /// Runs until it is cancelled.
    func run() async {
        while !Task.isCancelled {
            do {
                try await watch()
            } catch is CancellationError {
                return
            } catch {
                Log.warning("packet filter monitor: \(error)")
            }
            // Announcements may have been lost (ENOBUFS closes the channel): begin again with a table that is certainly right.
            try? await Task.sleep(for: .milliseconds(100))
            if !Task.isCancelled { await restore("announcements were lost") }
        }
    }

    private func watch() async throws {
        let socket = try NetlinkSocket(family: NetfilterEvents.family, groups: [NetfilterEvents.group])
        let descriptor = try socket.duplicateDescriptor().release()
        let channel = try await NIOPipeBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 64 * 1024))
            .takingOwnershipOfDescriptor(input: descriptor) { channel in
                channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel<ByteBuffer, Never>(wrappingChannelSynchronously: channel) }
            }
        var events = NetfilterEvents(ownPID: UInt32(getpid()))
        try await channel.executeThenClose { inbound, _ in
            for try await buffer in inbound {
                for change in events.take(Array(buffer.readableBytesView)) { await handle(change) }
            }
        }
    }

    private func handle(_ change: NetfilterEvents.Change) async {
        if change.tables.contains("berth") && change.removed {
            await restore("somebody removed rules")
        } else if change.newChains.contains("DOCKER-USER") {
            await filter.acceptInDockerUser()
        }
    }

    private func restore(_ reason: String) async {
        do {
            try await filter.reinstall()
            Log.info("packet filter: \(reason), table \(FilterRules.table) written again")
        } catch {
            Log.error("packet filter: \(reason), and writing the table again failed: \(error)")
        }
    }
}
