import BerthDefaults
import ContainerdAPI
import GRDB
import SwiftProtobuf
import Testing
@testable import berth_supervisor

@Suite struct `Sandboxes` {
    private func pod(_ id: String, runtime: String = "io.containerd.runc.v2", labels: [String: String] = [:]) -> Types_Sandbox {
        .with {
            $0.sandboxID = id
            $0.runtime.name = runtime
            $0.labels = labels
            $0.spec = Google_Protobuf_Any.with { $0.typeURL = "spec"; $0.value = .init([1, 2, 3]) }
            $0.extensions = ["e": Google_Protobuf_Any.with { $0.typeURL = "extension" }]
            $0.sandboxer = "podsandbox"
        }
    }

    @Test func `one is kept as it was said, once in each namespace`() async throws {
        try await withDatabase { database, _ in
            let made = try await database.write { try SandboxRecords.create(pod("p", labels: ["a": "b"]), in: "one", $0) }
            _ = try await database.write { try SandboxRecords.create(pod("p"), in: "two", $0) }
            #expect(try database.read { try SandboxRecords.get("p", in: "one", $0) } == made)
            #expect(made.createdAt == made.updatedAt && made.createdAt.seconds > 0)
            await #expect(throws: SupervisorError(.alreadyExists, "sandbox \"p\": already exists")) {
                try await database.write { try SandboxRecords.create(pod("p"), in: "one", $0) }
            }
            try await database.write { try SandboxRecords.delete("p", in: "one", $0) }
            #expect(try database.read { try SandboxRecords.list(in: "one", $0) }.isEmpty)
            #expect(try database.read { try SandboxRecords.list(in: "two", $0) }.map(\.sandboxID) == ["p"])
            await #expect(throws: SupervisorError(.notFound, "sandbox \"p\": not found")) { try await database.write { try SandboxRecords.delete("p", in: "one", $0) } }
        }
    }

    @Test func `an update changes the fields that it names`() throws {
        let old = pod("p", labels: ["kept": "1", "gone": "1"])
        let change = pod("p", runtime: "other", labels: ["new": "2"])
        let updated = try SandboxStoreService.applied(change, to: old, paths: ["labels.new", "labels.gone", "runtime"])
        #expect(updated.labels == ["kept": "1", "new": "2"] && updated.runtime.name == "other")
        #expect(throws: SupervisorError(.invalidArgument, "sandbox.Runtime.Name field is immutable: invalid argument")) { try SandboxStoreService.applied(change, to: old, paths: []) }
        #expect(throws: SupervisorError(.invalidArgument, "cannot update \"sandboxer\" field on sandbox \"p\": invalid argument")) {
            try SandboxStoreService.applied(change, to: old, paths: ["sandboxer"])
        }
    }
}
