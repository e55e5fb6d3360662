import BerthDefaults
import ContainerdAPI
import Foundation
import GRPCSocket
import SwiftProtobuf
import Synchronization
import Testing
@testable import berth_supervisor

@Suite struct `Shims that cannot be reached for a while` {
    private func state(_ shim: Shim) async throws -> TaskTypes_Status {
        try await shim.call(ShimAPI.state, .with { $0.id = shim.id }, timeout: .seconds(5), repeats: true).status
    }

    @Test func `a connection that breaks is made again and costs no container its life`() async throws {
        try await withSetting { setting in
            let subscription = setting.events.subscribe(try FilterSet([]))
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group, behaviour: .init(silent: ["Wait"]))
            _ = try await setting.manager.create(key("a"), request(shim))
            let handle = try await setting.manager.shim(of: key("a"))
            let waiting = Task { try await handle.call(ShimAPI.wait, .with { $0.id = "a" }, repeats: true) }
            for round in 1...5 {
                try await eventually { shim.count("Wait") == round }
                await shim.cut()
                #expect(try await state(handle) == .running)
            }
            // Whoever waited goes on waiting, and hears the end.
            shim.behaviour.withLock { $0.silent = [] }
            await shim.cut()
            _ = try await waiting.value
            #expect(setting.exists("a"))
            #expect(await exits(subscription, 1).isEmpty)
        }
    }

    @Test func `a call that may not be made twice fails when its connection breaks`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group, behaviour: .init(breaking: ["Start": 0]))
            _ = try await setting.manager.create(key("a"), request(shim))
            let handle = try await setting.manager.shim(of: key("a"))
            let error = await #expect(throws: GRPCStatus.self) { try await handle.call(ShimAPI.start, .with { $0.id = "a" }) }
            #expect(error?.code == .unavailable)
            #expect(try await handle.call(ShimAPI.start, .with { $0.id = "a" }).pid == 42)
        }
    }

    @Test func `a task whose deletion was carried out and not answered is deleted, and its exit is known`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group, behaviour: .init(breaking: ["Delete": 5]))
            _ = try await setting.manager.create(key("a"), request(shim))
            try setting.manager.received(
                .with {
                    $0.namespace = "moby"
                    $0.topic = "/tasks/exit"
                    $0.event = AnyMessages.pack(Events_TaskExit.with { $0.containerID = "a"; $0.id = "a"; $0.exitStatus = 9 })
                })
            #expect(try await setting.manager.delete(key("a")).exitStatus == 9)
            try await eventually { !setting.exists("a") }
        }
    }

    @Test func `a shim that accepts and closes again and again is given up in the end`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            _ = try await setting.manager.create(key("a"), request(shim))
            shim.behaviour.withLock { $0.breaksAtOnce = true }
            await shim.cut()
            try await eventually { !setting.exists("a") }
        }
    }

    @Test func `a shim that is stopped holds up neither a list nor a restart`() async throws {
        try await withSetting { setting in
            let stopped = try await FakeShim(directory: setting.directory + "/stopped", group: setting.group)
            let quick = try await FakeShim(directory: setting.directory + "/quick", group: setting.group)
            _ = try await setting.manager.create(key("stopped"), request(stopped))
            _ = try await setting.manager.create(key("quick"), request(quick))
            stopped.behaviour.withLock { $0.silent = ["State"] }
            let next = try setting.restarted()
            func list() async -> [String: TaskTypes_Status] {
                let answers = await ShimSurvey.ask(await next.manager.shims(in: "moby")) { shim throws(GRPCStatus) in
                    (shim.id, try await shim.call(ShimAPI.state, .with { $0.id = shim.id }, repeats: true).status)
                } silent: { ($0.id, .unknown) }
                return Dictionary(answers) { first, _ in first }
            }
            let start = ContinuousClock.now
            try next.manager.recover()
            #expect(await list() == ["stopped": .unknown, "quick": .running])
            #expect(ContinuousClock.now - start < .seconds(1))
            let again = ContinuousClock.now
            #expect(await list() == ["stopped": .unknown, "quick": .running])
            #expect(ContinuousClock.now - again < .milliseconds(200), "it is not waited for twice")
        }
    }

    @Test func `a start that was cut short by our own end is cleaned up without a word`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            let bundle = berth_supervisor.Bundle(key: key("a"), root: setting.directory + "/shims")
            try bundle.create(spec: Array("{}".utf8))
            try bundle.save(binary: shim.binary)
            let subscription = setting.events.subscribe(try FilterSet([]))
            try setting.manager.recover()
            try await eventually { !setting.exists("a") }
            #expect(try String(contentsOfFile: shim.directory + "/invocations", encoding: .utf8).contains("delete"))
            #expect(await exits(subscription, 1).isEmpty)
        }
    }
}
