import BerthDefaults
import ContainerdAPI
import Foundation
import GRPCSocket
import NIOCore
import NIOPosix
import SwiftProtobuf
import Synchronization
import Testing
@testable import berth_supervisor

@Suite struct `Tasks and their shims` {
    @Test func `a task is created, found and deleted, and its bundle goes`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            let found1 = try await setting.manager.create(key("a"), request(shim))
            #expect(found1 == 42)
            #expect(FileManager.default.contents(atPath: setting.bundle("a") + "/config.json") == Data("{\"ociVersion\":\"1.0.2\"}".utf8))
            #expect(await setting.manager.shims(in: "moby").map(\.id) == ["a"])
            #expect(await setting.manager.shims(in: "other").isEmpty)
            let again = await #expect(throws: SupervisorError.self) { try await setting.manager.create(key("a"), request(shim)) }
            #expect(again?.code == .alreadyExists)
            let found2 = try await setting.manager.delete(key("a"))
            #expect(found2.exitStatus == 7)
            let gone = await #expect(throws: SupervisorError.self) { try await setting.manager.shim(of: key("a")) }
            #expect(gone?.code == .notFound)
            try await eventually { !setting.exists("a") }
            #expect(shim.count("Shutdown") == 1)
            // The name is free again as soon as it can be.
            let next = try await FakeShim(directory: setting.directory + "/next", group: setting.group)
            let found3 = try await setting.manager.create(key("a"), request(next))
            #expect(found3 == 42)
        }
    }

    @Test func `a shim that hangs in its start delays nobody, and is given up`() async throws {
        try await withSetting(shimTimeout: .seconds(1)) { setting in
            let stuck = try await FakeShim(directory: setting.directory + "/stuck", group: setting.group)
            let quick = try await FakeShim(directory: setting.directory + "/quick", group: setting.group)
            _ = FileManager.default.createFile(atPath: stuck.directory + "/hang", contents: nil)
            let waiting = (0..<20).map { index in Task { try await setting.manager.create(key("stuck\(index)"), request(stuck)) } }
            let start = ContinuousClock.now
            _ = try await setting.manager.create(key("quick"), request(quick))
            #expect(ContinuousClock.now - start < .milliseconds(900))
            for task in waiting {
                let error = await #expect(throws: SupervisorError.self) { try await task.value }
                #expect(error?.code == .deadlineExceeded)
            }
            #expect(!setting.exists("stuck0"))
        }
    }

    @Test func `a shim that does not answer a call delays no other task`() async throws {
        try await withSetting { setting in
            let silent = try await FakeShim(directory: setting.directory + "/silent", group: setting.group, behaviour: .init(silent: ["State"]))
            let quick = try await FakeShim(directory: setting.directory + "/quick", group: setting.group)
            _ = try await setting.manager.create(key("silent"), request(silent))
            _ = try await setting.manager.create(key("quick"), request(quick))
            let waiting = Task {
                try await setting.manager.shim(of: key("silent")).call(ShimAPI.state, .with { $0.id = "silent" }, timeout: .milliseconds(400))
            }
            let start = ContinuousClock.now
            _ = try await setting.manager.shim(of: key("quick")).call(ShimAPI.state, .with { $0.id = "quick" })
            #expect(ContinuousClock.now - start < .milliseconds(300))
            let error = await #expect(throws: GRPCStatus.self) { try await waiting.value }
            #expect(error?.code == .deadlineExceeded)
        }
    }

    @Test func `a shim that fails to start leaves nothing and says why`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            _ = FileManager.default.createFile(atPath: shim.directory + "/broken", contents: nil)
            let error = await #expect(throws: SupervisorError.self) { try await setting.manager.create(key("a"), request(shim)) }
            #expect(error?.message.contains("no luck") == true)
            #expect(!setting.exists("a"))
        }
    }

    @Test func `a refused creation takes the shim away again`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(
                directory: setting.directory + "/a", group: setting.group, behaviour: .init(failing: ["Create": 13, "Delete": 5]))
            let error = await #expect(throws: GRPCStatus.self) { try await setting.manager.create(key("a"), request(shim)) }
            #expect(error?.message == "Create refused")
            try await eventually { !setting.exists("a") }
            #expect(shim.count("Shutdown") == 1)
        }
    }

    @Test func `a creation that was given up while the shim goes on with it leaves no container`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(
                directory: setting.directory + "/a", group: setting.group, behaviour: .init(silent: ["Create"], failing: ["Delete": 9, "Kill": 5], failures: ["Delete": 3]))
            let creation = Task { try await setting.manager.create(key("a"), request(shim)) }
            try await eventually { shim.count("Create") == 1 }
            creation.cancel()
            await #expect(throws: (any Error).self) { try await creation.value }
            try await eventually { !setting.exists("a") }
            #expect(shim.count("Delete") == 4)
            #expect(shim.count("Shutdown") == 1)
        }
    }

    @Test func `a shim without a task does not keep the name of the one that it should have had`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group, behaviour: .init(failing: ["Delete": 5]))
            _ = try await setting.manager.create(key("a"), request(shim))
            let error = await #expect(throws: GRPCStatus.self) { try await setting.manager.delete(key("a")) }
            #expect(error?.code == .notFound)
            let next = try await FakeShim(directory: setting.directory + "/next", group: setting.group)
            #expect(try await setting.manager.create(key("a"), request(next)) == 42)
        }
    }

    @Test func `an unknown runtime is an error that names it`() async throws {
        try await withSetting { setting in
            var unknown = request(try await FakeShim(directory: setting.directory + "/a", group: setting.group))
            unknown.runtime = "io.example.nothing.v9"
            let request = unknown
            let error = await #expect(throws: SupervisorError.self) { try await setting.manager.create(key("a"), request) }
            #expect(error?.message.contains("containerd-shim-nothing-v9") == true)
        }
    }

    @Test func `when a shim dies its exit is published once and those who wait hear of it`() async throws {
        try await withSetting { setting in
            let subscription = setting.events.subscribe(try FilterSet([]))
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group, behaviour: .init(silent: ["Wait"]))
            _ = try await setting.manager.create(key("a"), request(shim))
            let handle = try await setting.manager.shim(of: key("a"))
            let waiting = Task { try await handle.call(ShimAPI.wait, .with { $0.id = "a" }) }
            try await eventually { shim.count("Wait") == 1 }
            await shim.die()
            await #expect(throws: GRPCStatus.self) { try await waiting.value }
            #expect(await handle.exitAfterDeath()?.exitStatus == 137)
            let exits = await exits(subscription, 2)
            #expect(exits.map(\.exitStatus) == [137])
            try await eventually { !setting.exists("a") }
        }
    }

    @Test func `after a restart the shim is found again`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            _ = try await setting.manager.create(key("a"), request(shim))
            let next = try setting.restarted()
            try next.manager.recover()
            let state = try await next.manager.shim(of: key("a")).call(ShimAPI.state, .with { $0.id = "a" })
            #expect(state.pid == 42)
        }
    }

    @Test func `an exit that was missed is published after the restart, once, even when the shim forwards it too`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            _ = try await setting.manager.create(key("a"), request(shim))
            shim.behaviour.withLock { $0.status = .stopped }
            let next = try setting.restarted()
            let subscription = next.events.subscribe(try FilterSet([]))
            try next.manager.recover()
            #expect(await exits(subscription, 1).map(\.exitStatus) == [7])
            try next.manager.received(
                .with {
                    $0.namespace = "moby"
                    $0.topic = "/tasks/exit"
                    $0.event = AnyMessages.pack(Events_TaskExit.with { $0.containerID = "a"; $0.id = "a" })
                })
            #expect(await exits(subscription, 1).isEmpty)
            // And not again after the next restart.
            let third = try setting.restarted()
            let later = third.events.subscribe(try FilterSet([]))
            try third.manager.recover()
            _ = try await third.manager.shim(of: key("a"))
            #expect(await exits(later, 1).isEmpty)
        }
    }

    @Test func `a shim that died while we were away is cleaned up and reported`() async throws {
        try await withSetting { setting in
            let shim = try await FakeShim(directory: setting.directory + "/a", group: setting.group)
            let bundle = berth_supervisor.Bundle(key: key("a"), root: setting.directory + "/shims")
            try bundle.create(spec: Array("{}".utf8))
            try bundle.save(binary: shim.binary)
            try bundle.save(try berth_supervisor.Bundle.Bootstrap(output: Array("unix://\(shim.directory)/shim.sock".utf8)))
            await shim.die()
            let subscription = setting.events.subscribe(try FilterSet([]))
            try setting.manager.recover()
            await #expect(throws: SupervisorError.self) { try await setting.manager.shim(of: key("a")) }
            #expect(await exits(subscription, 1).map(\.exitStatus) == [137])
            #expect(!setting.exists("a"))
        }
    }
}
