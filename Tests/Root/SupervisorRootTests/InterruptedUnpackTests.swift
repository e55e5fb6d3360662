import GRDB
import LinuxSystem
import Testing

@testable import berth_supervisor

/// What a supervisor finds that was ended while it unpacked.
@Suite(.enabled(if: DriverUnderTest.isRoot, "needs root: mounts and file systems"), .serialized)
struct InterruptedUnpackTests {
    private static let drivers = DriverUnderTest.available

    /// A database on a disk without room: no commit succeeds.
    private final class NoRoom: TransactionObserver {
        func observes(eventsOfKind eventKind: DatabaseEventKind) -> Bool { true }
        func databaseDidChange(with event: DatabaseEvent) {}
        func databaseWillCommit() throws { throw DatabaseError(resultCode: .SQLITE_FULL) }
        func databaseDidCommit(_ db: Database) {}
        func databaseDidRollback(_ db: Database) {}
    }

    @Test(arguments: drivers) func `a layer that was being unpacked is gone after the next start`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            try await world.layer("kept", "echo x >x")
            let layer = try await world.snapshotter.beginLayer("cut", on: "kept", in: SnapshotterWorld.namespace, lease: nil)
            _ = try SnapshotterWorld.shell("dd if=/dev/zero of=half bs=1M count=5 2>/dev/null", at: "\(world.root)/snapshots/\(layer.id)/fs")
            try world.snapshotter.removeUnfinishedLayers()
            try world.snapshotter.cleanup()
            #expect(try world.snapshotter.list(in: SnapshotterWorld.namespace).map(\.name) == ["kept"])
            #expect(try Files.entries(of: "\(world.root)/snapshots").count == 1)
        }
    }

    @Test(arguments: drivers) func `a disk without room for that does not stop a start, and the next start does it`(_ driver: DriverUnderTest) async throws {
        try await SnapshotterWorld.run(driver) { world in
            let layer = try await world.snapshotter.beginLayer("cut", on: "", in: SnapshotterWorld.namespace, lease: nil)
            let files = "\(world.root)/snapshots/\(layer.id)/fs"
            _ = try SnapshotterWorld.shell("mkdir d; dd if=/dev/zero of=d/half bs=1M count=5 2>/dev/null", at: files)
            let full = NoRoom()
            world.database.pool.add(transactionObserver: full)
            try world.snapshotter.removeUnfinishedLayers()
            // What fills the disk has gone all the same, where a layer is a directory of its own.
            if world.snapshotter.driver.keepsLayersApart { #expect(try Files.entries(of: files).isEmpty) }
            #expect(try world.snapshotter.list(in: SnapshotterWorld.namespace).count == 1)
            world.database.pool.remove(transactionObserver: full)
            try world.snapshotter.removeUnfinishedLayers()
            try world.snapshotter.cleanup()
            #expect(try world.snapshotter.list(in: SnapshotterWorld.namespace).isEmpty)
            #expect(try Files.entries(of: "\(world.root)/snapshots").isEmpty)
        }
    }
}
