@testable import SystemdBus
import Testing

/// Against a bus of the test's own, which answers as systemd does.
@Suite(.serialized) struct SystemdManagerTests {
    private static let job = "/org/freedesktop/systemd1/job/7"

    private func manager(_ bus: FakeBus) throws -> SystemdManager { try SystemdManager([.init(path: "/nonexistent/bus", isBus: true), .init(path: bus.path, isBus: true)]) }

    @Test func `a unit is there when systemd's job is done`() throws {
        let bus = try FakeBus { call in
            switch call.member {
            // Another's job first, and ours before the answer that names it.
            case "StartTransientUnit": [.jobRemoved("/org/freedesktop/systemd1/job/6", "failed"), .jobRemoved(Self.job, "done"), .reply(.objectPath(Self.job))]
            default: [.reply(.string(":1.5"))]
            }
        }
        try manager(bus).startTransientUnit("berth-web.scope", [.init("Slice", .string("a.slice")), .init("PIDs", .array(of: "u", [.uint32(42)]))])
        let calls = try bus.calls()
        #expect(calls.map(\.member) == ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"])
        #expect(calls.last?.destination == "org.freedesktop.systemd1")
        #expect(
            calls.last?.body == [
                .string("berth-web.scope"), .string("replace"),
                .array(of: "(sv)", [
                    .structure([.string("Slice"), .variant(.string("a.slice"))]),
                    .structure([.string("PIDs"), .variant(.array(of: "u", [.uint32(42)]))]),
                ]), .array(of: "(sa(sv))", []),
            ])
    }

    @Test func `a unit that has failed before makes room for its successor`() throws {
        nonisolated(unsafe) var starts = 0  // Safety: only the bus's one thread counts.
        let bus = try FakeBus { call in
            switch call.member {
            case "StartTransientUnit":
                starts += 1
                return starts == 1 ? [.failure("org.freedesktop.systemd1.UnitExists", "Unit a.scope already exists.")] : [.reply(.objectPath(Self.job)), .jobRemoved(Self.job, "done")]
            default: return [.reply()]
            }
        }
        try manager(bus).startTransientUnit("a.scope", [])
        #expect(try bus.calls().map(\.member).suffix(3) == ["StartTransientUnit", "ResetFailedUnit", "StartTransientUnit"])
    }

    @Test func `a unit that does not come up is an error in systemd's word for it`() throws {
        let bus = try FakeBus { call in call.member == "StartTransientUnit" ? [.reply(.objectPath(Self.job)), .jobRemoved(Self.job, "failed")] : [.reply()] }
        let manager = try manager(bus)
        let error = #expect(throws: BusError.self) { try manager.startTransientUnit("a.scope", []) }
        #expect(error?.description.contains("error creating systemd unit `a.scope`: got `failed`") == true)
    }

    @Test func `systemd's own words reach the user`() throws {
        let bus = try FakeBus { call in
            call.member == "SetUnitProperties" ? [.failure("org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property Foo, or unknown property.")] : [.reply()]
        }
        let manager = try manager(bus)
        let error = #expect(throws: BusError.self) { try manager.setProperties(of: "a.scope", [.init("Foo", .byte(1))]) }
        #expect(error?.description == "Cannot set property Foo, or unknown property.")
    }

    @Test func `stopping a unit that is gone is fine`() throws {
        let bus = try FakeBus { call in call.member == "StopUnit" ? [.failure("org.freedesktop.systemd1.NoSuchUnit", "Unit a.scope not loaded.")] : [.reply()] }
        try manager(bus).stopUnit("a.scope")
        #expect(try bus.calls().last?.member == "ResetFailedUnit")
    }

    @Test(arguments: ["REJECTED EXTERNAL\r\n", "ERROR\r\n", "what?\r\n"])
    func `a bus that does not want the caller says so`(greeting: String) throws {
        let bus = try FakeBus(greeting: greeting) { _ in [] }
        let error = #expect(throws: BusError.self) { _ = try manager(bus) }
        #expect(error?.description.contains("does not accept the caller") == true)
    }

    @Test func `nobody listening is an error that names the socket`() {
        let error = #expect(throws: BusError.self) { _ = try SystemdManager([.init(path: "/nonexistent/bus", isBus: true)]) }
        #expect(error?.description == "connect /nonexistent/bus: No such file or directory")
    }
}
