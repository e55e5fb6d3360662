import Foundation
import GRDB
import Testing
@testable import berthd

@Suite struct `The daemon's database` {
    @Test func `a commit is on the disk when it returns`() async throws {
        let path = NSTemporaryDirectory() + "berth-test-\(getpid())-\(UUID().uuidString.prefix(8)).db"
        defer { for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) } }
        let database = try DaemonDatabase(path: path, schemas: [])
        let mode = try await database.write { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
        #expect(mode == 2)
    }
}
