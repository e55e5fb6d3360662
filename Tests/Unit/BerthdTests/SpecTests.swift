@testable import berthd
import DockerAPI
import OCISpec
import Testing

private func record(_ change: (inout HostConfig, inout ContainerConfig) -> Void = { _, _ in }) throws -> ContainerRecord {
    var host = HostConfig()
    var config = ContainerConfig()
    config.Hostname = "box"
    change(&host, &config)
    _ = try CreateValidation(daemon: DaemonConfig()).settle(&host)
    let image = ResolvedImage(id: "sha256:1", reference: "a:latest", config: ContainerConfig(), chainID: "", platform: "linux/amd64", manifest: Descriptor())
    let mounts = try MountSettlement(host, volumes: config.Volumes ?? [:], others: [], dataRoot: "/var/lib/berth", defaultReadOnlyNonRecursive: false).mounts
    return ContainerRecord(
        id: String(repeating: "ab", count: 32), name: "web", created: .now(), config: config, hostConfig: host, image: image, path: "sh", args: ["-c", "true"], mounts: mounts, endpoints: [:], logPath: "",
        maskedPaths: ["/proc/kcore"], readonlyPaths: ["/proc/sys"])
}

private func context(home: String = "/root", uid: UInt32 = 0) -> SpecBuilder.Context {
    .init(
        identity: .init(uid: uid, gid: 0, additionalGids: [0], home: home), filesDirectory: "/files", volumePaths: ["data": "/volumes/data"], initPath: nil, cgroupParent: "", seccomp: nil,
        noNewPrivileges: false, defaultUlimits: [], unifiedCgroups: false, dataRoot: "/data")
}

@Test func `the environment is PATH, HOSTNAME, then the user's, then HOME`() throws {
    let spec = try SpecBuilder(record: record { $1.Env = ["A=1", "PATH=/x", "B"] }, context: context()).build()
    #expect(spec.process?.env == ["PATH=/x", "HOSTNAME=box", "A=1", "HOME=/root"])
}

@Test func `a container has its own namespaces unless the host's are asked for`() throws {
    let own = try SpecBuilder(record: record(), context: context()).build()
    #expect(Set(own.linux?.namespaces.map(\.type) ?? []) == ["mount", "network", "uts", "pid", "ipc", "cgroup"])
    #expect(own.linux?.cgroupsPath == "/docker/" + String(repeating: "ab", count: 32))
    let shared = try SpecBuilder(
        record: record { host, _ in (host.NetworkMode, host.PidMode, host.IpcMode, host.UTSMode, host.CgroupnsMode) = ("host", "host", "host", "host", "host") }, context: context()
    ).build()
    #expect(shared.linux?.namespaces.map(\.type) == ["mount"])
    #expect(shared.hostname == nil)
}

@Test func `capabilities follow add, drop and all, and nothing is inheritable`() throws {
    func names(_ add: [String], _ drop: [String]) -> Set<String> {
        var host = HostConfig()
        (host.CapAdd, host.CapDrop) = (add, drop)
        return Set(Capabilities.names(of: host))
    }
    #expect(names([], []) == Set(DefaultCapabilities.names.filter { Capabilities.available.contains($0) }))
    #expect(names(["kill"], ["ALL"]) == ["CAP_KILL"])
    #expect(!names(["ALL"], ["chown"]).contains("CAP_CHOWN"))
    let sets = Capabilities.sets(of: HostConfig(), uid: 1000)
    #expect(sets.inheritable.isEmpty && sets.ambient.isEmpty && sets.effective.isEmpty && !sets.bounding.isEmpty)
}

@Test func `binds, volumes and tmpfs become mounts, the shallow ones first`() throws {
    let spec = try SpecBuilder(
        record: record { host, _ in
            host.Binds = ["/tmp:/a/b/c:ro", "data:/a"]
            host.Tmpfs = ["/t": "exec,size=1m"]
        }, context: context()
    ).build()
    let own = spec.mounts.filter { ["/a", "/a/b/c", "/t"].contains($0.destination) }
    #expect(own.map(\.destination).firstIndex(of: "/a")! < own.map(\.destination).firstIndex(of: "/a/b/c")!)
    #expect(own.first { $0.destination == "/a" }?.source == "/volumes/data")
    #expect(own.first { $0.destination == "/a/b/c" }?.options.contains { $0 == "ro" || $0 == "rro" } == true)
    #expect(own.first { $0.destination == "/t" }?.options == ["nosuid", "nodev", "exec", "size=1m"])
}

@Test func `a mount over a file of the engine takes its place`() throws {
    let spec = try SpecBuilder(record: record { host, _ in host.Binds = ["/tmp/hosts:/etc/hosts"] }, context: context()).build()
    #expect(spec.mounts.filter { $0.destination == "/etc/hosts" }.map(\.source) == ["/tmp/hosts"])
}

@Test(arguments: ["::", "/a:", ":/b", "relative", "/a:b", "/a:/b:nomode", "/a:/b:ro,rw", "/a:/", "x y:/b", "/a:/b:c:d"])
func `a malformed volume is refused`(_ text: String) {
    var host = HostConfig()
    host.Binds = [text]
    #expect(throws: DaemonError.self) { _ = try MountSettlement(host, volumes: [:], others: [], dataRoot: "/var/lib/berth", defaultReadOnlyNonRecursive: false) }
}

@Test func `limits reach the spec in the kernel's units`() throws {
    var host = HostConfig()
    host.NanoCpus = 500_000_000
    host.Memory = 64 << 20
    host.MemorySwap = -1
    host.PidsLimit = 50
    let resources = try ResourceLimits(host).resources()
    #expect(resources.cpu?.quota == 50_000 && resources.cpu?.period == 100_000)
    #expect(resources.memory?.limit == 64 << 20 && resources.memory?.swap == -1)
    #expect(resources.pids?.limit == 50)
}

@Test func `users are found by name and number, and ids beyond 31 bits are refused`() throws {
    let database = UserDatabase(passwd: "root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\nbad:x:4294967296:0::/:\n", group: "web:x:33:\nlog:x:44:web,other\n")
    #expect(try database.resolve("") == .init(uid: 0, gid: 0, additionalGids: [0], home: "/root"))
    #expect(try database.resolve("web") == .init(uid: 33, gid: 33, additionalGids: [33, 44], home: "/srv"))
    #expect(try database.resolve("1234:log").gid == 44)
    #expect(try database.resolve("1234").home == "/")
    for bad in ["nobody", "web:nogroup", "2147483648", "4294967296", "-1", "0:4294967296", "bad"] {
        #expect(throws: DaemonError.self) { _ = try database.resolve(bad) }
    }
}

@Test func `an image's configuration lies under the container's own`() throws {
    var image = ContainerConfig()
    (image.Entrypoint, image.Cmd, image.Env, image.WorkingDir) = (["/entry"], ["run"], ["PATH=/i", "A=i"], "/w")
    var plain = ContainerConfig()
    try ImageMerge.apply(image, to: &plain)
    #expect(plain.Entrypoint == ["/entry"] && plain.Cmd == ["run"] && plain.WorkingDir == "/w")
    var own = ContainerConfig()
    (own.Entrypoint, own.Env) = (["/mine"], ["A=o"])
    try ImageMerge.apply(image, to: &own)
    #expect(own.Entrypoint == ["/mine"] && own.Cmd == nil && own.Env == ["A=o", "PATH=/i"])
    var cleared = ContainerConfig()
    (cleared.Entrypoint, cleared.Cmd) = ([""], ["ls"])
    try ImageMerge.apply(image, to: &cleared)
    #expect(cleared.Entrypoint == [] && cleared.Cmd == ["ls"])
}
