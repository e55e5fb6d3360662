import BerthDefaults
import Testing

@testable import berth_supervisor

@Suite struct `Restart policies` {
    private func restarts(_ labels: [String: String], exit: UInt32) throws -> Bool {
        try RestartPolicy(Dictionary(uniqueKeysWithValues: labels.map { ("containerd.io/restart.\($0.key)", $0.value) })).restarts(afterExit: exit)
    }

    @Test func `a container is started again as its policy says`() throws {
        #expect(try restarts([:], exit: 0))
        #expect(try restarts(["policy": "always"], exit: 0))
        #expect(try !restarts(["policy": "no"], exit: 1))
        #expect(try restarts(["policy": "on-failure"], exit: 1))
        #expect(try !restarts(["policy": "on-failure"], exit: 0))
        #expect(try restarts(["policy": "on-failure:2", "count": "1"], exit: 1))
        #expect(try !restarts(["policy": "on-failure:2", "count": "2"], exit: 1))
        #expect(try restarts(["policy": "unless-stopped"], exit: 0))
        #expect(try !restarts(["policy": "unless-stopped", "explicitly-stopped": "true"], exit: 0))
    }

    @Test(arguments: ["sometimes", "always:3", "no:1", "on-failure:many"])
    func `a policy that is none is refused`(policy: String) { #expect(throws: SupervisorError.self) { try restarts(["policy": policy], exit: 1) } }
}

@Suite struct `Hooks of the runtime` {
    private let state = OCIHook.State(id: "web", pid: 7, status: "created", bundle: "/b", annotations: ["a b": "c"])

    @Test func `the container's state is filled into the arguments`() throws {
        let text = "{{id}}-{{ pid }} {{status}} {{bundle}} {{rootfs}} {{annotation \"a b\"}}{{annotation \"none\"}} {one}"
        #expect(try OCIHook.render(text, state, rootfs: "/b/rootfs") == "web-7 created /b /b/rootfs c {one}")
    }

    @Test(arguments: ["{{nothing}}", "{{id", "{{annotation a}}", "{{id 1}}"])
    func `an action that is none is refused`(text: String) { #expect(throws: SupervisorError.self) { try OCIHook.render(text, state, rootfs: "/") } }
}
