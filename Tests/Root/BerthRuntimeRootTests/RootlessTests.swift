import Cgroups
import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// The runtime as a user without privileges calls it.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root, to become somebody else"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct RootlessTests {
    private static let user: UInt32 = 54321

    /// A bundle that belongs to the user, as `spec --rootless` makes it.
    private func withBundle(_ arguments: [String], edit: @escaping (inout RuntimeSpec) -> Void = { _ in }, _ body: (UserBundle) throws -> Void) throws {
        let rootless: (inout RuntimeSpec) -> Void = { spec in
            SpecCommand.makeRootless(&spec, ids: (Self.user, Self.user))
            edit(&spec)
        }
        try RuntimeTests.withBundle(arguments, edit: rootless) { (bundle) throws in
            // The build may be in a place that only root passes through.
            _ = try bundle.shell("cp \(bundle.runtime) \(bundle.base)/runtime && chmod 755 \(bundle.base)/runtime && mkdir \(bundle.state) && chown -R \(Self.user):\(Self.user) \(bundle.base)")
            try body(UserBundle(bundle: bundle, user: Self.user))
        }
    }

    @Test func `a container runs as the user and stays in the user's cgroup`() throws {
        try withBundle(["sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/cgroup; exit 7"]) { (bundle) throws in
            let result = try bundle.run(["run", "-b", bundle.path, bundle.id()])
            #expect(result.code == 7)
            #expect(result.lines.first == "0")
            #expect(result.lines.contains { $0.split(separator: " ") == ["0", "54321", "1"] }, "\(result.output)")
            // Nothing was delegated: it is where we are.
            let own = try Files.readText("/proc/self/cgroup").split(separator: "\n").first
            #expect(result.lines.contains { $0 == own }, "\(result.output)")
        }
    }

    @Test func `its life in steps, and what needs a cgroup says so`() throws {
        try withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle.run(["create", "-b", bundle.path, id]).code == 0)
            #expect(try bundle.run(["start", id]).code == 0)
            #expect(try bundle.run(["state", id]).output.contains("\"status\": \"running\""))
            #expect(try bundle.run(["exec", id, "id", "-u"]).output == "0\n")
            for command in ["pause", "ps", "events"] {
                let refused = try bundle.run([command, id])
                #expect(refused.code == 1)
                #expect(refused.output.contains("the container has no cgroup of its own"), "\(command): \(refused.output)")
            }
            #expect(try bundle.run(["kill", id, "KILL"]).code == 0)
            #expect(try bundle.run(["delete", "--force", id]).code == 0)
            let left = try Files.entries(of: bundle.state).filter { !$0.hasPrefix(".") }
            #expect(left == [], "\(left)")
        }
    }

    @Test func `a limit that nobody could keep is refused`() throws {
        let limited: (inout RuntimeSpec) -> Void = {
            var resources = RuntimeSpec.Linux.Resources()
            resources.pids = .init(limit: 20)
            $0.linux?.resources = resources
        }
        try withBundle(["true"], edit: limited) { (bundle) throws in
            let refused = try bundle.run(["run", "-b", bundle.path, bundle.id()])
            #expect(refused.code == 1)
            #expect(refused.output.contains("cannot set pids limit: container could not join or create cgroup"), "\(refused.output)")
        }
    }

    @Test func `a cgroup that the user may not make is an error when it is asked for`() throws {
        try withBundle(["true"], edit: { $0.linux?.cgroupsPath = "/berth-test-not-ours" }) { (bundle) throws in
            let refused = try bundle.run(["run", "-b", bundle.path, bundle.id()])
            #expect(refused.code == 1)
            #expect(refused.output.contains("unable to apply cgroup configuration: mkdir "), "\(refused.output)")
            #expect(refused.output.contains("permission denied"), "\(refused.output)")
        }
    }

    @Test func `limits are set in a cgroup that was delegated`() throws {
        let name = "/berth-test-\(getpid())-delegated"
        let top = try Cgroup(layout: .current(), path: name), caller = try Cgroup(layout: .current(), path: "\(name)/caller")
        try caller.create()
        defer { try? top.remove() }
        let limited: (inout RuntimeSpec) -> Void = {
            var resources = RuntimeSpec.Linux.Resources()
            resources.pids = .init(limit: 23)
            $0.linux?.resources = resources
            $0.linux?.cgroupsPath = "\(name)/container"
        }
        try withBundle(["sleep", "100"], edit: limited) { (bundle) throws in
            let id = bundle.id()
            let places = top.directories.map(\.path).joined(separator: " ")
            let enter = "for d in \(places); do chown -R \(Self.user) $d; echo $$ >$d/caller/cgroup.procs; done"
            let started = try bundle.run(["run", "-d", "-b", bundle.path, id], after: enter)
            #expect(started.code == 0, "\(started.output)")
            let limits = try bundle.bundle.shell("cat $(ls -d /sys/fs/cgroup\(name)/container/pids.max /sys/fs/cgroup/pids\(name)/container/pids.max 2>/dev/null)").output
            #expect(limits == "23\n")
            #expect(try bundle.run(["ps", "--format", "json", id], after: enter).output.contains("\(try bundle.bundle.pid(of: id))"))
            #expect(try bundle.run(["delete", "--force", id], after: enter).code == 0)
        }
    }

    @Test(.enabled(if: Files.exists("/usr/bin/newuidmap"), "needs newuidmap")) func `more ids are mapped by newuidmap and newgidmap`() throws {
        let mapped: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.uidMappings.append(.init(containerID: 1, hostID: 700_000, size: 1000))
            spec.linux?.gidMappings.append(.init(containerID: 1, hostID: 800_000, size: 1000))
            spec.process?.user.uid = 5
            spec.process?.user.gid = 6
            spec.mounts.append(.init(destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["mode=1777"]))
        }
        try withBundle(["sh", "-c", "id -u; id -g; echo >/tmp/own; stat -c %u-%g /tmp/own"], edit: mapped) { (bundle) throws in
            let base = bundle.bundle.base
            try Files.replace("\(base)/passwd", with: Array("root:x:0:0::/:/bin/sh\nberth-test:x:\(Self.user):\(Self.user)::/:/bin/sh\n".utf8), mode: 0o644)
            try Files.replace("\(base)/subuid", with: Array("berth-test:700000:1000\n".utf8), mode: 0o644)
            try Files.replace("\(base)/subgid", with: Array("berth-test:800000:1000\n".utf8), mode: 0o644)
            let ids = "for f in passwd subuid subgid; do touch /etc/$f; mount --bind \(base)/$f /etc/$f || exit 99; done"
            let result = try bundle.run(["run", "-b", bundle.path, bundle.id()], after: ids)
            #expect(result.code == 0)
            #expect(result.output == "5\n6\n5-6\n")
        }
    }

    @Test func `clocks and volumes of its own need no privileges`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.namespaces.append(.init(type: "time"))
            spec.linux?.timeOffsets["boottime"] = .init(secs: 5_000_000, nanosecs: 0)
            spec.mounts.append(.init(destination: "/volume", type: "bind", source: "volume", options: ["bind"]))
            spec.root?.readonly = false
        }
        try withBundle(["sh", "-c", "cat /proc/uptime; echo written >/volume/file"], edit: edit) { (bundle) throws in
            _ = try bundle.bundle.shell("mkdir \(bundle.path)/volume && chown \(Self.user) \(bundle.path)/volume")
            let result = try bundle.run(["run", "-b", bundle.path, bundle.id()])
            #expect(result.code == 0, "\(result.output)")
            #expect((result.output.split(separator: ".").first.flatMap { Int($0) } ?? 0) > 5_000_000, "\(result.output)")
            #expect(try Files.readText("\(bundle.path)/volume/file") == "written\n")
        }
    }
}

/// A bundle whose owner runs the containers.
private struct UserBundle {
    let bundle: TestBundle
    let user: UInt32

    var path: String { bundle.path }
    var state: String { bundle.state }
    func id() -> String { bundle.id() }

    /// Runs the runtime as the user.
    /// - Parameter preparation: commands that root runs before, in a mount namespace of its own.
    func run(_ arguments: [String], after preparation: String = ":") throws -> TestBundle.Result {
        let command = ["\(bundle.base)/runtime", "--root", state] + arguments
        let become = "exec setpriv --reuid \(user) --regid \(user) --clear-groups \(command.joined(separator: " "))"
        return try bundle.shell("unshare -m sh -c '\(preparation); \(become)' </dev/null")
    }
}
