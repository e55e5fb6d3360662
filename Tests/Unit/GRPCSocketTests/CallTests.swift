import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import Glibc
import GRPCSocket
import NIOCore
import NIOPosix
import Synchronization
import SwiftProtobuf
import Testing

@Suite struct `Calls over a unix socket` {
    @Test func `a unary call is answered`() async throws {
        try await TestServer.with { test in
            let response = try await test.client.unary(VersionAPI.version, .init(), namespace: "moby")
            #expect(response.version == "moby")
        }
    }

    @Test func `without a namespace the handler sees none`() async throws {
        try await TestServer.with { test in
            let response = try await test.client.unary(VersionAPI.version, .init())
            #expect(response.version == "none")
        }
    }

    @Test func `an error keeps its code, text and details`() async throws {
        try await TestServer.with { test in
            let missing = await #expect(throws: GRPCStatus.self) { try await test.client.unary(NamespacesAPI.get, .with { $0.name = "x" }) }
            #expect(missing == GRPCStatus(.notFound, "namespace \"x\": 100% not found\né"))
            #expect(missing?.errorCode == .notFound)
            let detailed = await #expect(throws: GRPCStatus.self) { try await test.client.unary(NamespacesAPI.get, .with { $0.name = "details" }) }
            #expect(detailed?.details == [1, 2, 255])
        }
    }

    @Test func `an error of another kind goes through the mapping`() async throws {
        try await TestServer.with { test in
            let error = await #expect(throws: GRPCStatus.self) { try await test.client.unary(NamespacesAPI.get, .with { $0.name = "foreign" }) }
            #expect(error == GRPCStatus(.dataLoss, "mapped foreign"))
        }
    }

    @Test func `a method that nobody serves is unimplemented`() async throws {
        try await TestServer.with { test in
            let error = await #expect(throws: GRPCStatus.self) { try await test.client.unary(TasksAPI.kill, .init()) }
            #expect(error?.code == .unimplemented)
            #expect(error?.message == "unknown method Kill for service containerd.services.tasks.v1.Tasks")
        }
    }

    @Test func `a deadline ends the call on both sides`() async throws {
        try await TestServer.with { test in
            let error = await #expect(throws: GRPCStatus.self) { try await test.client.unary(TasksAPI.wait, .init(), timeout: .milliseconds(50)) }
            #expect(error?.code == .deadlineExceeded)
            try await eventually { test.cancelled.count.load(ordering: .relaxed) == 1 }
        }
    }

    @Test func `cancelling the caller cancels the handler`() async throws {
        try await TestServer.with { test in
            let call = Task { try await test.client.unary(TasksAPI.wait, .init()) }
            try await Task.sleep(for: .milliseconds(50))
            call.cancel()
            let error = await #expect(throws: GRPCStatus.self) { try await call.value }
            #expect(error?.code == .cancelled)
            try await eventually { test.cancelled.count.load(ordering: .relaxed) == 1 }
        }
    }

    @Test func `hundreds of calls that wait leave room for others`() async throws {
        try await TestServer.with { test in
            let waits = (0..<300).map { _ in Task { try await test.client.unary(TasksAPI.wait, .init()) } }
            for _ in 0..<50 { _ = try await test.client.unary(VersionAPI.version, .init()) }
            for wait in waits { wait.cancel() }
            for wait in waits { _ = await wait.result }
        }
    }

    @Test func `a stream of many small messages arrives in order`() async throws {
        try await TestServer.with { test in
            var next = 0
            for try await envelope in try await test.client.serverStream(EventsAPI.subscribe, .with { $0.filters = ["5000"] }) {
                #expect(envelope.topic == "\(next)")
                next += 1
            }
            #expect(next == 5000)
        }
    }

    @Test func `messages larger than every window arrive whole`() async throws {
        try await TestServer.with { test in
            var count = 0
            for try await envelope in try await test.client.serverStream(EventsAPI.subscribe, .with { $0.filters = ["5", "5000000"] }) {
                #expect(envelope.event.value.count == 5_000_000)
                count += 1
            }
            #expect(count == 5)
        }
    }

    @Test func `a reader that stops reading holds the writer, and leaving cancels it`() async throws {
        try await TestServer.with { test in
            var messages: GRPCMessages<Types_Envelope>? = try await test.client.serverStream(EventsAPI.subscribe, .with { $0.filters = ["100000", "100000"] })
            _ = try await messages?.next()
            try await Task.sleep(for: .milliseconds(200))
            #expect(test.cancelled.count.load(ordering: .relaxed) == 0)
            messages = nil
            try await eventually { test.cancelled.count.load(ordering: .relaxed) == 1 }
            let response = try await test.client.unary(VersionAPI.version, .init())
            #expect(response.version == "none")
        }
    }

    @Test func `both directions stream at once`() async throws {
        try await TestServer.with { test in
            let call = try await test.client.bidirectional(ContentAPI.write)
            let reader = Task {
                var offsets: [Int64] = []
                for try await response in call.responses { offsets.append(response.offset) }
                return offsets
            }
            let block = Data(repeating: 1, count: 100_000)
            for _ in 0..<100 { try await call.send(.with { $0.data = block }) }
            call.finish()
            let offsets = try await reader.value
            #expect(offsets.count == 100)
            #expect(offsets.last == 10_000_000)
        }
    }

    @Test func `a message over 16 MiB is refused, and the connection goes on`() async throws {
        try await TestServer.with { test in
            let error = await #expect(throws: GRPCStatus.self) {
                let call = try await test.client.bidirectional(ContentAPI.write)
                try await call.send(.with { $0.data = Data(repeating: 0, count: 17 << 20) })
            }
            #expect(error?.code == .resourceExhausted)
            _ = try await test.client.unary(VersionAPI.version, .init())
        }
    }

    @Test func `calls in flight fail when the server goes, later ones reach the next server`() async throws {
        let path = TestServer.temporaryPath()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let client = GRPCClient(path: path, group: group, patience: .seconds(5))
        let first = GRPCServer(handlers: TestServer.handlers(.init()), group: group)
        try await first.listen(path: path)
        _ = try await client.unary(VersionAPI.version, .init())
        let waiting = Task { try await client.unary(TasksAPI.wait, .init()) }
        try await Task.sleep(for: .milliseconds(50))
        await first.shutdown()
        let lost = await #expect(throws: GRPCStatus.self) { try await waiting.value }
        #expect(lost?.code == .unavailable)
        let late = Task { try await client.unary(VersionAPI.version, .init()) }
        try await Task.sleep(for: .milliseconds(100))
        let second = GRPCServer(handlers: TestServer.handlers(.init()), group: group)
        try await second.listen(path: path)
        _ = try await late.value
        client.close()
        await second.shutdown()
        unlink(path)
        try await group.shutdownGracefully()
    }

    @Test func `without a server a call fails at once and says where`() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let client = GRPCClient(path: "/tmp/berth-test-\(getpid())-nobody.sock", group: group)
        let error = await #expect(throws: GRPCStatus.self) { try await client.unary(VersionAPI.version, .init()) }
        #expect(error?.code == .unavailable)
        #expect(error?.message.contains("nobody.sock") == true)
        client.close()
        try await group.shutdownGracefully()
    }

    /// Waits until the condition holds, at most five seconds.
    private func eventually(_ condition: @Sendable () -> Bool) async throws {
        for _ in 0..<500 {
            if condition() { return }
            try await Task.sleep(for: .milliseconds(10))
        }
        Issue.record("did not happen within five seconds")
    }
}
