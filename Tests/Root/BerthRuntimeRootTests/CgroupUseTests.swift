import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Cgroups that are not only the container's own.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct CgroupUseTests {
    private static let freezer = "/sys/fs/cgroup/freezer"

    @Test func `another container's cgroup is refused, and stays the other's`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let first = bundle.id()
            try bundle.configure(["sleep", "100"]) { $0.linux?.cgroupsPath = "/\(first)" }
            #expect(try bundle("run", "-d", "-b", bundle.path, first).code == 0)
            let second = try bundle("create", "-b", bundle.path, bundle.id())
            #expect(second.code == 1 && second.output.contains("container's cgroup is not empty: 1 process(es) found"))
            #expect(try bundle("exec", first, "echo", "alive").output == "alive\n")
        }
    }

    @Test(.enabled(if: Files.exists(freezer), "needs the freezer of v1")) func `a frozen cgroup is refused at once, and left as it is`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            let directory = "\(Self.freezer)/\(id)"
            try Files.makeDirectory(directory)
            defer { _ = try? bundle.shell("echo THAWED >\(directory)/freezer.state; rmdir \(directory)") }
            try Files.write("FROZEN", toExisting: "\(directory)/freezer.state")
            try bundle.configure(["sleep", "100"]) { $0.linux?.cgroupsPath = "/\(id)" }
            let result = try bundle("create", "-b", bundle.path, id)
            #expect(result.code == 1 && result.output.contains("container's cgroup unexpectedly frozen"))
            #expect(try Files.readText("\(directory)/freezer.state") == "FROZEN\n")
        }
    }

    @Test func `exec tells why it cannot enter a cgroup`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            #expect(try bundle("exec", "--cgroup", "..", id, "true").output.contains("bad sub cgroup path: .. is not a sub cgroup path"))
            let missing = try bundle("exec", "--cgroup", "nowhere", id, "true")
            #expect(missing.code == 255 && missing.output.contains(" adding pid ") && missing.output.contains("/nowhere/cgroup.procs: no such file or directory"))
        }
    }

    @Test func `without systemd its driver says so`() throws {
        guard !Files.exists("/run/systemd/system") else { return }
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let result = try bundle("--systemd-cgroup", "run", "-b", bundle.path, bundle.id())
            #expect(result.output.contains("systemd not running on this host, cannot use systemd cgroups manager"))
        }
    }
}
