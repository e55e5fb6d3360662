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

    /// With something in every field.
    private static let full = RuntimeSpec(
        process: .init(
            terminal: true, consoleSize: .init(height: 24, width: 80), user: .init(uid: 1, gid: 2, umask: 0o77, additionalGids: [3]), args: ["a"],
            env: ["A=b"], cwd: "/", capabilities: .init(bounding: ["A"], effective: ["B"], inheritable: ["C"], permitted: ["D"], ambient: ["E"]),
            rlimits: [.init(type: "RLIMIT_CORE", soft: 0, hard: .max)], noNewPrivileges: true, apparmorProfile: "p", oomScoreAdj: -5,
            scheduler: .init(policy: "SCHED_FIFO", nice: -1, priority: 3, flags: ["F"], runtime: 1, deadline: 2, period: 3), selinuxLabel: "l",
            ioPriority: .init(class: "IOPRIO_CLASS_BE", priority: 4), execCPUAffinity: .init(initial: "0", final: "1")),
        root: .init(path: "rootfs", readonly: true), hostname: "h", domainname: "d",
        mounts: [
            .init(
                destination: "/m", type: "bind", source: "/s", options: ["rbind"], uidMappings: [.init(containerID: 1, hostID: 2, size: 3)],
                gidMappings: [.init(containerID: 4, hostID: 5, size: 6)])
        ],
        hooks: .init(
            prestart: [.init(path: "/a", args: ["a"], env: ["B=c"], timeout: 3)], createRuntime: [hook], createContainer: [hook], startContainer: [hook],
            poststart: [hook], poststop: [hook]),
        annotations: ["k": "v"], linux: linux)

    private static let hook = RuntimeSpec.Hook(path: "/b", args: ["b"], env: ["C=d"], timeout: 1)

    private static let linux = RuntimeSpec.Linux(
        namespaces: [.init(type: "network", path: "/n")], uidMappings: [.init(containerID: 0, hostID: 1, size: 2)],
        gidMappings: [.init(containerID: 3, hostID: 4, size: 5)], timeOffsets: ["boottime": .init(secs: -5, nanosecs: 7)],
        devices: [.init(path: "/dev/x", type: "c", major: 1, minor: 3, fileMode: 0o666, uid: 1, gid: 2)], netDevices: ["eth1": .init(name: "x")],
        cgroupsPath: "/c", resources: resources, rootfsPropagation: "slave", maskedPaths: ["/x"], readonlyPaths: ["/y"], mountLabel: "m",
        sysctl: ["net.a": "1"],
        seccomp: .known(.init(
            defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1, architectures: ["SCMP_ARCH_X86_64"], flags: ["F"], listenerPath: "/s", listenerMetadata: "m",
            syscalls: [
                .init(
                    names: ["personality"], action: "SCMP_ACT_ALLOW", errnoRet: 2,
                    args: [.init(index: 0, value: 0xFFFF_FFFF_FFFF_FFFF, valueTwo: 1, op: "SCMP_CMP_MASKED_EQ")])
            ])),
        intelRdt: .init(closID: "c", schemata: ["L3:0=f"], l3CacheSchema: "L3", memBwSchema: "MB", enableMonitoring: true),
        memoryPolicy: .init(mode: "MPOL_BIND", nodes: "0", flags: ["F"]), personality: .init(domain: "LINUX32", flags: ["F"]))

    private static let resources = RuntimeSpec.Linux.Resources(
        devices: [.init(allow: true, type: "c", major: 1, minor: -1, access: "rwm")],
        memory: .init(
            limit: -1, reservation: 1, swap: 2, kernel: 3, kernelTCP: 4, swappiness: 0, disableOOMKiller: false, useHierarchy: true, checkBeforeUpdate: true),
        cpu: .init(shares: 1024, quota: -1, burst: 1, period: 2, realtimeRuntime: 3, realtimePeriod: 4, cpus: "0-1", mems: "0", idle: 1),
        pids: .init(limit: 10),
        blockIO: .init(
            weight: 10, leafWeight: 11, weightDevice: [.init(major: 8, minor: 0, weight: 10, leafWeight: 12)],
            throttleReadBpsDevice: [.init(major: 8, minor: 0, rate: .max)], throttleWriteBpsDevice: [.init(major: 8, minor: 1, rate: 1)],
            throttleReadIOPSDevice: [.init(major: 8, minor: 2, rate: 2)], throttleWriteIOPSDevice: [.init(major: 8, minor: 3, rate: 3)]),
        hugepageLimits: [.init(pageSize: "2MB", limit: 0)], network: .init(classID: 1, priorities: [.init(name: "lo", priority: 1)]),
        rdma: ["mlx": .init(hcaHandles: 1, hcaObjects: 2)], unified: ["memory.high": "1"])

    @Test func `every field survives a round trip`() throws {
        #expect(try JSON.decode(RuntimeSpec.self, from: JSON.encode(Self.full)) == Self.full)
    }

    /// The runtime's own reader names all fields a second time.
    @Test func `the runtime reads every field`() throws {
        #expect(Self.emptyFields(Self.full) == [], "the document has to have something in every field")
        #expect(try JSON.read(RuntimeSpec.self, from: JSON.encode(Self.full)) == Self.full)
    }

    private static func emptyFields(_ value: Any, _ path: String = "") -> [String] {
        let mirror = Mirror(reflecting: value)
        switch mirror.displayStyle {
        case .optional, .enum: return mirror.children.first.map { emptyFields($0.value, path) } ?? [path]
        case .struct, .collection, .dictionary, .tuple:
            if mirror.children.isEmpty { return value is String ? [] : [path] }
            return mirror.children.flatMap { emptyFields($0.value, "\(path).\($0.label ?? "")") }
        default: return []
        }
    }

    @Test(arguments: [
        #"{"ociVersion":"1.0.2","process":{"cwd":"/","args":null,"user":{}},"root":{"path":"rootfs"},"linux":{}}"#,
        #"{"ociVersion":"1.0.2","windows":{"layerFolders":[]},"x":1}"#, #"{}"#, #"[]"#, #"{"ociVersion":null}"#, #"{"ociVersion":1}"#,
        #"{"ociVersion":"1","process":{"cwd":"/","args":["a",1]}}"#, #"{"ociVersion":"1","process":{"args":[]}}"#,
        #"{"ociVersion":"1","process":{"cwd":"/","user":{"uid":-1}}}"#, #"{"ociVersion":"1","process":{"cwd":"/","user":{"uid":4294967296}}}"#,
        #"{"ociVersion":"1","process":{"cwd":"/","oomScoreAdj":1.5}}"#, #"{"ociVersion":"1","process":{"cwd":"/","terminal":"yes"}}"#,
        #"{"ociVersion":"1","mounts":[{"destination":"/a"},{}]}"#, #"{"ociVersion":"1","mounts":{}}"#, #"{"ociVersion":"1","annotations":{"a":1}}"#,
        #"{"ociVersion":"1","linux":{"namespaces":[{"type":"pid"},null]}}"#, #"{"ociVersion":"1","linux":{"timeOffsets":{"monotonic":[]}}}"#,
        #"{"ociVersion":"1","linux":{"resources":{"blockIO":{"weight":65536}}}}"#, #"{"ociVersion":"1","linux":{"resources":{"devices":[{}]}}}"#,
        #"{"ociVersion":"1","linux":{"seccomp":{"syscalls":[]}}}"#, #"{"ociVersion":"1","linux":{"memoryPolicy":{}}}"#,
        #"{"ociVersion":"1","linux":{"devices":[{}]}}"#, #"{"ociVersion":"1","linux":{"intelRdt":{},"personality":{}}}"#,
        #"{"ociVersion":"1","process":{"cwd":"/","rlimits":[{"type":"a","soft":-9223372036854775808,"hard":0}]}}"#,
        #"{"ociVersion":"1","linux":{"resources":{"memory":{"limit":-9223372036854775808,"swap":9223372036854775808}}}}"#,
    ]) func `both ways of reading agree on what a document says and on why it is refused`(_ text: String) {
        func outcome(_ body: () throws -> RuntimeSpec) -> String { do { return "\(try body())" } catch { return "refused: \(error)" } }
        let bytes = Array(text.utf8)
        let read = outcome {
            let spec = try JSON.read(RuntimeSpec.self, from: bytes)
            _ = try spec.linux?.seccomp?.read()
            return spec
        }
        let decoded = outcome { try JSON.decode(RuntimeSpec.self, from: bytes) }
        #expect(read == decoded)
    }
}
