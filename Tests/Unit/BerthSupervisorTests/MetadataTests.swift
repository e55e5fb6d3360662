import BerthDefaults
import ContainerdAPI
import Foundation
import GRDB
import NIOCore
import NIOPosix
import SwiftProtobuf
import Testing
@testable import berth_supervisor

/// A database in a directory that goes away with the test.
func withDatabase(_ body: (MetadataDatabase, _ directory: String) async throws -> Void) async throws {
    let directory = NSTemporaryDirectory() + "berth-test-\(getpid())-\(UUID().uuidString.prefix(8))"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let threads = NIOThreadPool(numberOfThreads: 1)
    threads.start()
    let database = try MetadataDatabase(path: directory + "/metadata.db", threads: threads)
    do { try await body(database, directory) } catch {
        try await threads.shutdownGracefully()
        throw error
    }
    try database.close()
    try await threads.shutdownGracefully()
}

@Suite struct `The metadata database` {
    @Test func `a commit is on the disk when it returns`() async throws {
        try await withDatabase { database, _ in
            let mode = try await database.write { try Int.fetchOne($0, sql: "PRAGMA synchronous") }
            #expect(mode == 2)
        }
    }

    @Test func `the restart monitor is told of those containers of all namespaces whose labels ask for it`() async throws {
        try await withDatabase { database, _ in
            try await database.write { db in
                for (namespace, id, labels) in [("a", "kept", ["containerd.io/restart.status": "running"]), ("a", "plain", [:]), ("b", "ended", ["containerd.io/restart.status": "stopped"]), ("b", "other", ["restart.status": "running"])] {
                    _ = try ContainerRecords.create(.with { $0.id = id; $0.labels = labels }, in: namespace, db)
                }
            }
            let found = try database.read(ContainerRecords.listRestarted)
            #expect(found.map { "\($0.namespace)/\($0.container.id)" }.sorted() == ["a/kept", "b/ended"])
        }
    }

    @Test func `changes that arrive together are all kept`() async throws {
        try await withDatabase { database, _ in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<200 {
                    group.addTask { try await database.write { try MetadataDatabase.ensureNamespace("n\(index)", $0) } }
                }
                try await group.waitForAll()
            }
            let found1 = try database.read { try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM namespaces") }
            #expect(found1 == 200)
        }
    }

    @Test func `a change that throws is undone and leaves its neighbours alone`() async throws {
        struct Refused: Error {}
        try await withDatabase { database, _ in
            await withTaskGroup(of: Bool.self) { group in
                for index in 0..<50 {
                    group.addTask {
                        do {
                            try await database.write { db in
                                try MetadataDatabase.ensureNamespace("n\(index)", db)
                                if index % 2 == 1 { throw Refused() }
                            }
                            return true
                        } catch { return false }
                    }
                }
                var kept = 0
                for await isKept in group where isKept { kept += 1 }
                #expect(kept == 25)
            }
            let found2 = try database.read { try Int.fetchOne($0, sql: "SELECT COUNT(*) FROM namespaces") }
            #expect(found2 == 25)
        }
    }

    @Test func `a container comes back as it was stored`() async throws {
        try await withDatabase { database, _ in
            let container = Self.container
            let created = try await database.write { try ContainerRecords.create(container, in: "moby", $0) }
            #expect(created.hasCreatedAt)
            let found = try database.read { try ContainerRecords.get("web", in: "moby", $0) }
            #expect(found == created)
            let found3 = try database.read { try ContainerRecords.list(in: "other", $0) }
            #expect(found3.isEmpty)
            let again = await #expect(throws: SupervisorError.self) { try await database.write { try ContainerRecords.create(container, in: "moby", $0) } }
            #expect(again == SupervisorError(.alreadyExists, "container \"web\": already exists"))
            try await database.write { try ContainerRecords.delete("web", in: "moby", $0) }
            let missing = await #expect(throws: SupervisorError.self) { try await database.write { try ContainerRecords.delete("web", in: "moby", $0) } }
            #expect(missing?.code == .notFound)
        }
    }

    @Test func `a field mask changes what it names`() throws {
        let old = Self.container
        var change = old
        change.labels = ["a": "2", "b": "3"]
        change.image = "other"
        #expect(try ContainersService.applied(change, to: old, paths: ["labels.b"]).labels == ["a": "1", "b": "3"])
        #expect(try ContainersService.applied(change, to: old, paths: ["image"]).image == "other")
        #expect(try ContainersService.applied(change, to: old, paths: []).labels == ["a": "2", "b": "3"])
        change.labels["a"] = ""
        #expect(try ContainersService.applied(change, to: old, paths: ["labels.a"]).labels == [:])
        #expect(throws: SupervisorError.self) { try ContainersService.applied(change, to: old, paths: ["runtime"]) }
        change.snapshotter = "native"
        let refused = #expect(throws: SupervisorError.self) { try ContainersService.applied(change, to: old, paths: []) }
        #expect(refused?.message == "container.Snapshotter field is immutable: invalid argument")
    }

    @Test func `an incomplete container is refused`() {
        for spoil: (inout Containers_Container) -> Void in [
            { $0.id = "../x" }, { $0.runtime.name = "" }, { $0.clearSpec() }, { $0.snapshotter = "" }, { $0.extensions[""] = .init() },
            { $0.labels["k"] = String(repeating: "v", count: 4096) },
        ] {
            var container = Self.container
            spoil(&container)
            let error = #expect(throws: SupervisorError.self) { try ContainersService.validate(container) }
            #expect(error?.code == .invalidArgument)
        }
    }

    @Test func `an image's name can move to another target`() async throws {
        try await withDatabase { database, _ in
            var image = Images_Image.with {
                $0.name = "docker.io/library/x:latest"
                $0.target.mediaType = "application/vnd.oci.image.manifest.v1+json"
                $0.target.digest = "sha256:" + String(repeating: "a", count: 64)
                $0.target.size = 3
                $0.labels = ["a": "1"]
            }
            let first = image
            _ = try await database.write { try ImageRecords.createOrReplace(first, in: "moby", $0) }
            image.target.digest = "sha256:" + String(repeating: "b", count: 64)
            let second = image
            let moved = try await database.write { try ImageRecords.createOrReplace(second, in: "moby", $0) }
            #expect(moved.target.digest == image.target.digest)
            let found4 = try database.read { try ImageRecords.list(in: "moby", $0) }
            #expect(found4.count == 1)
            image.target.digest = "sha256:short"
            #expect(throws: SupervisorError.self) { try ImageRecords.validate(image) }
        }
    }

    private static let container = Containers_Container.with {
        $0.id = "web"
        $0.image = "docker.io/library/nginx:latest"
        $0.labels = ["a": "1"]
        $0.runtime.name = "io.containerd.berth.v1"
        $0.runtime.options = .with { $0.typeURL = "containerd.runc.v1.Options"; $0.value = Data([8, 1]) }
        $0.spec = .with { $0.typeURL = "types.containerd.io/opencontainers/runtime-spec/1/Spec"; $0.value = Data("{}".utf8) }
        $0.snapshotter = "overlayfs"
        $0.snapshotKey = "web"
        $0.extensions = ["x": .with { $0.typeURL = "t" }]
    }
}
