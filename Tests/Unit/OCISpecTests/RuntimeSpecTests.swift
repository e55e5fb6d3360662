import JSONCodec
import OCISpec
import Testing

@Suite struct RuntimeSpecTests {
    private func read(_ text: String) throws -> RuntimeSpec { try JSON.decode(RuntimeSpec.self, from: Array(text.utf8)) }

    @Test func `absent lists, maps and flags are empty`() throws {
        let spec = try read(#"{"ociVersion":"1.0.2","process":{"cwd":"/","args":null,"user":{}},"root":{"path":"rootfs"},"linux":{}}"#)
        #expect(spec.process?.args == [])
        #expect(spec.process?.user == .init(uid: 0, gid: 0))
        #expect(spec.process?.noNewPrivileges == false)
        #expect(spec.root?.readonly == false)
        #expect(spec.annotations == [:])
        #expect(spec.linux?.maskedPaths == [])
        #expect(spec.linux?.resources == nil)
    }

    @Test func `unknown fields are ignored`() throws {
        #expect(try read(#"{"ociVersion":"1.0.2","windows":{"layerFolders":[]},"x":1}"#) == RuntimeSpec(ociVersion: "1.0.2"))
    }

    @Test func `empty lists and maps are not written`() throws {
        let text = String(decoding: try JSON.encode(RuntimeSpec(process: .init(args: ["a"], cwd: "/"))), as: UTF8.self)
        #expect(
            text
                == #"{"ociVersion":"1.3.0","process":{"terminal":false,"user":{"uid":0,"gid":0},"args":["a"],"cwd":"/","noNewPrivileges":false}}"#)
    }

    @Test func `every Linux field survives a round trip`() throws {
        let spec = RuntimeSpec(
            process: .init(
                consoleSize: .init(height: 24, width: 80), user: .init(uid: 1, gid: 2, umask: 0o77, additionalGids: [3]), cwd: "/",
                rlimits: [.init(type: "RLIMIT_CORE", soft: 0, hard: .max)], scheduler: .init(policy: "SCHED_FIFO", priority: 3),
                ioPriority: .init(class: "IOPRIO_CLASS_BE", priority: 4), execCPUAffinity: .init(initial: "0", final: "1")),
            hooks: .init(prestart: [.init(path: "/h", timeout: 3)]),
            linux: .init(
                timeOffsets: ["boottime": .init(secs: -5, nanosecs: 7)], devices: [.init(path: "/dev/x", type: "c", major: 1, minor: 3, fileMode: 0o666)],
                netDevices: ["eth1": .init(name: "x")],
                resources: .init(
                    devices: [.init(allow: false, access: "rwm")], memory: .init(limit: -1, swappiness: 0, disableOOMKiller: false),
                    cpu: .init(shares: 1024, quota: -1, cpus: "0-1", idle: 1), pids: .init(limit: 10),
                    blockIO: .init(weightDevice: [.init(major: 8, minor: 0, weight: 10)], throttleReadBpsDevice: [.init(major: 8, minor: 0, rate: .max)]),
                    hugepageLimits: [.init(pageSize: "2MB", limit: 0)], network: .init(classID: 1, priorities: [.init(name: "lo", priority: 1)]),
                    rdma: ["mlx": .init(hcaHandles: 1)], unified: ["memory.high": "1"]),
                seccomp: .init(
                    defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1, listenerPath: "/s",
                    syscalls: [
                        .init(
                            names: ["personality"], action: "SCMP_ACT_ALLOW",
                            args: [.init(index: 0, value: 0xFFFF_FFFF_FFFF_FFFF, valueTwo: 1, op: "SCMP_CMP_MASKED_EQ")])
                    ]),
                intelRdt: .init(schemata: ["L3:0=f"], enableMonitoring: true), memoryPolicy: .init(mode: "MPOL_BIND", nodes: "0"),
                personality: .init(domain: "LINUX32")))
        #expect(try JSON.decode(RuntimeSpec.self, from: JSON.encode(spec)) == spec)
    }
}
