import BerthDefaults
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

@Suite struct ConfigTests {
    private func plan(_ change: (inout RuntimeSpec) -> Void) throws -> LaunchPlan {
        var spec = SpecCommand.example()
        change(&spec)
        return try LaunchPlan(id: "web", bundle: "/bundle", spec: spec, noPivot: false, noNewKeyring: false)
    }

    private func refusal(_ change: (inout RuntimeSpec) -> Void) -> String? {
        do {
            _ = try plan(change)
            return nil
        } catch { return "\(error)" }
    }

    @Test func `the example of spec is a valid container`() throws {
        let plan = try plan { _ in }
        #expect(plan.rootfs == "/bundle/rootfs")
        #expect(plan.namespaces.atClone == [.pid, .network, .ipc, .uts, .mount])
        #expect(!plan.namespaces.needsIntermediate)
        #expect(plan.fillsDev)
    }

    @Test func `a new user namespace with joined ones needs a stage between`() throws {
        let plan = try plan {
            $0.linux?.namespaces = [.init(type: "user"), .init(type: "network", path: "/proc/1/ns/net"), .init(type: "mount")]
            $0.linux?.uidMappings = [.init(containerID: 0, hostID: 1000, size: 1)]
            $0.linux?.gidMappings = [.init(containerID: 0, hostID: 1000, size: 1)]
            $0.hostname = nil
        }
        #expect(plan.namespaces.needsIntermediate)
    }

    @Test func `what could change the host is refused before anything is done`() {
        #expect(refusal { $0.linux?.sysctl = ["kernel.panic": "1"] } == "sysctl \"kernel.panic\" is not in a separate kernel namespace")
        #expect(refusal { $0.linux?.sysctl = ["kernel.hostname": "x"] }?.contains("conflicts with the OCI hostname field") == true)
        #expect(refusal { $0.linux?.sysctl = ["net.ipv4.ip_forward": "1\nkernel.panic=1"] }?.contains("control characters") == true)
        #expect(refusal { $0.linux?.sysctl = ["net.ipv4.ip_forward": "1"] } == nil)
        #expect(refusal { $0.linux?.namespaces.removeAll { $0.type == "uts" } } == "unable to set hostname without a private UTS namespace")
        #expect(refusal { $0.linux?.namespaces.append(.init(type: "pid")) }?.contains("given twice") == true)
        #expect(refusal { $0.linux?.namespaces.append(.init(type: "moon")) }?.contains("unknown type") == true)
        #expect(refusal { $0.mounts.append(.init(destination: "/", type: "tmpfs")) }?.contains("root itself") == true)
        #expect(refusal { $0.ociVersion = "2.0.0" } == "unsupported ociVersion 2.0.0")
        #expect(refusal { $0.hooks = .init(poststop: [.init(path: "/bin/true", timeout: 0)]) }?.contains("timeout") == true)
    }

    @Test func `a process that cannot be run is refused with the field's name`() {
        #expect(refusal { $0.process = nil } == nil)  // `run` and `start` say it: a container may be created without
        #expect(refusal { $0.process?.args = [] } == "args must not be empty")
        #expect(refusal { $0.process?.cwd = "here" } == "Cwd must be an absolute path")
        #expect(refusal { $0.process?.args = ["a\0b"] }?.contains("process.args") == true)
        #expect(refusal { $0.process?.user.uid = .max }?.contains("process.user.uid") == true)
        #expect(refusal { $0.process?.rlimits = [.init(type: "RLIMIT_LUCK", soft: 1, hard: 1)] } == "invalid rlimit type: RLIMIT_LUCK")
        #expect(refusal { $0.process?.ioPriority = .init(class: "IOPRIO_CLASS_BE", priority: 9) }?.contains("ioPriority") == true)
    }

    @Test func `devices have the defaults, and the config's in their place`() throws {
        let nodes = try Devices.plan([.init(path: "/dev/null", type: "c", major: 9, minor: 9, fileMode: 0o100600), .init(path: "/dev/pipe", type: "p")])
        #expect(nodes.count == 7)
        #expect(nodes.first { $0.path == "/dev/null" }?.mode == 0o600)
        #expect(throws: RuntimeError.self) { try Devices.plan([.init(path: "/dev/x", type: "c")]) }
        #expect(throws: RuntimeError.self) { try Devices.plan([.init(path: "dev/x", type: "p")]) }
    }

    @Test(arguments: ["", ".", "..", "a/b", "a b", "ä", String(repeating: "x", count: 256)])
    func `an id that is no name is refused`(id: String) {
        #expect(throws: RuntimeError.self) { try ContainerDirectory.validate(id) }
    }

    @Test func `lists of numbers are bounded without being counted`() throws {
        #expect(try NumberList.parse("0-2,5", field: "cpus", limit: 8) == [0, 1, 2, 5])
        #expect(throws: RuntimeError.self) { try NumberList.parse("0-4294967295", field: "cpus", limit: 8192) }
        #expect(throws: RuntimeError.self) { try NumberList.parse("3-1", field: "cpus", limit: 8) }
    }
}

@Suite struct MountOptionTests {
    @Test func `options are sorted by whom they are for`() {
        let options = MountOptions(["rbind", "ro", "nosuid", "rro", "rprivate", "mode=755", "sync", "size=1k,nr_inodes=2", "tmpcopyup"])
        #expect(options.bind && options.bindRecursive && options.tmpcopyup)
        #expect(options.attributes.set == [.readonly, .nosuid])
        #expect(options.recursive.set == .readonly)
        #expect(options.propagation.count == 1 && options.propagation[0].kind == .private && options.propagation[0].recursive)
        #expect(options.settings.map(\.key) == ["mode", "sync", "size", "nr_inodes"])
    }

    @Test func `an empty option is none`() {
        #expect(MountOptions(["", "mode=755", ","]).filesystem == ["mode=755"])
    }

    @Test func `a later option wins`() {
        #expect(MountOptions(["ro", "rw"]).attributes.set == [])
        #expect(MountOptions(["ro", "rw"]).attributes.clear == .readonly)
        #expect(MountOptions(["rw", "ro"]).attributes.clear == [])
        #expect(MountOptions(["noatime", "strictatime"]).attributes.set == .strictatime)
    }
}

@Suite struct WordingTests {
    /// docs/errors.md lists who reads these.
    @Test func `sentences that other programs match on`() {
        #expect(RuntimeError.notRunning.message == "container not running")
        #expect(RuntimeError.doesNotExist.message == "container does not exist")
        #expect(RuntimeError.alreadyExists.message == "container with given ID already exists")
        #expect(RuntimeError.processFinished.message == "process already finished")
        #expect(RuntimeError.notPaused.message == "container not paused")
        #expect(RuntimeError.notStopped("web", "running").message == "cannot delete container web that is not stopped: running")
    }

    @Test func `a failure crosses the launch protocol with its code`() {
        let failure = SyncChannel.failure("notFound\0exec: \"x\": executable file not found in $PATH")
        #expect(failure.code == .notFound)
        #expect(failure.message == "exec: \"x\": executable file not found in $PATH")
    }

    @Test func `log lines are JSON whatever the message holds`() {
        #expect(Diagnostics.escaped("a\"b\\c\n\u{1}") == "a\\\"b\\\\c\\n\\u0001")
    }
}
