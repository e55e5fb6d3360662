import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Fields of the specification that take the kernel's help to be seen.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct SpecFieldTests {
    private static let full = [RuntimeSpec.IDMapping(containerID: 0, hostID: 0, size: UInt32.max)]

    @Test func `a network device moves in with its addresses, under its new name`() throws {
        let edit: (inout RuntimeSpec) -> Void = { $0.linux?.netDevices = ["bnd0": RuntimeSpec.Linux.NetDevice(name: "eth%d")] }
        try RuntimeTests.withBundle(["ip", "-o", "addr", "show", "eth0"], edit: edit) { (bundle) throws in
            // A host of its own: the test's network namespace.
            let result = try bundle.shell(
                """
                unshare -n sh -c 'ip link add bnd0 type veth peer name bnd1 && ip addr add 10.9.8.7/24 dev bnd0 && ip link set bnd0 mtu 1400 up &&
                \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null; ip -o link show bnd0 2>&1 | grep -c "does not exist"'
                """)
            #expect(result.output.contains("10.9.8.7/24"))
            #expect(result.output.hasSuffix("1\n"))
        }
    }

    @Test func `a network device that does not exist is named`() throws {
        try RuntimeTests.withBundle(["true"], edit: { $0.linux?.netDevices = ["nosuch0": RuntimeSpec.Linux.NetDevice()] }) { (bundle) throws in
            #expect(try bundle.runContainer().output.contains("linux.netDevices: RTM_GETLINK link nosuch0"))
        }
    }

    @Test func `devices of a user namespace have the config's owner and mode, and nothing is seen of them on the host`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
            spec.linux?.uidMappings = Self.full
            spec.linux?.gidMappings = Self.full
            spec.linux?.devices = [RuntimeSpec.Linux.Device(path: "/dev/mine", type: "c", major: 1, minor: 5, fileMode: 0o644, uid: 10, gid: 11)]
            spec.linux?.resources?.devices.append(RuntimeSpec.Linux.Resources.DeviceRule(allow: true, type: "c", major: 1, minor: 5, access: "rwm"))
        }
        try RuntimeTests.withBundle(["sh", "-c", "stat -c '%a %u:%g %t:%T' /dev/mine; head -c 3 /dev/mine | wc -c"], edit: edit) { (bundle) throws in
            let output = try bundle.runContainer().output
            #expect(output == "644 10:11 1:5\n3\n")
            #expect(!Files.exists("/dev/mine"))
        }
    }

    @Test func `a device of the host with the same path and other numbers is not taken for it`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
            spec.linux?.uidMappings = Self.full
            spec.linux?.gidMappings = Self.full
            spec.linux?.devices = [RuntimeSpec.Linux.Device(path: "/dev/kmsg", type: "c", major: 1, minor: 3)]
        }
        try RuntimeTests.withBundle(["stat", "-c", "%t:%T", "/dev/kmsg"], edit: edit) { (bundle) throws in
            #expect(try bundle.runContainer().output == "1:3\n")
        }
    }

    @Test func `remount changes the attributes of what is mounted`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.mounts.append(RuntimeSpec.Mount(destination: "/tmp", type: "tmpfs", source: "tmpfs"))
            spec.mounts.append(RuntimeSpec.Mount(destination: "/tmp", type: "none", options: ["remount", "ro", "noexec", "size=32k"]))
        }
        try RuntimeTests.withBundle(["grep", " /tmp ", "/proc/mounts"], edit: edit) { (bundle) throws in
            let output = try bundle.runContainer().output
            #expect(output.contains(" ro,") && output.contains("noexec") && output.contains("size=32k"))
        }
    }

    @Test func `time offsets count in the container alone`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "time"))
            spec.linux?.timeOffsets = ["boottime": RuntimeSpec.Linux.TimeOffset(secs: 1_000_000_000)]
        }
        try RuntimeTests.withBundle(["cat", "/proc/uptime"], edit: edit) { (bundle) throws in
            let seconds = try bundle.runContainer().output.split(separator: ".").first.flatMap { Int($0) }
            #expect(seconds ?? 0 > 1_000_000_000)
        }
    }

    @Test func `readiness is passed on, and nothing else`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "ls $NOTIFY_SOCKET"]) { (bundle) throws in
            let result = try bundle.shell("NOTIFY_SOCKET=\(bundle.base)/manager.sock \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(result.output == "\(bundle.base)/manager.sock/notify\n")
        }
    }

    @Test func `resctrl is asked for in vain on a machine without`() throws {
        try #require(ResctrlGroup.mountPoint() == nil)
        try RuntimeTests.withBundle(["true"], edit: { $0.linux?.intelRdt = RuntimeSpec.Linux.IntelRdt(closID: "gold") }) { (bundle) throws in
            #expect(try bundle.runContainer().output.contains("Intel RDT is not enabled"))
        }
    }

    @Test(arguments: [("1.2.0", CInt(0)), ("1.3.0", 1)])
    func `a failing poststart hook is what the config's version says`(version: String, code: CInt) throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.ociVersion = version
            spec.hooks = RuntimeSpec.Hooks(poststart: [RuntimeSpec.Hook(path: "/bin/false"), RuntimeSpec.Hook(path: "/bin/true")])
        }
        try RuntimeTests.withBundle(["sleep", "1"], edit: edit) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("create", "-b", bundle.path, id).code == 0)
            let result = try bundle("start", id)
            #expect(result.code == code)
            #expect(result.output.contains("error running poststart hook #0: /bin/false: exit status 1"))
        }
    }

    @Test func `checkpoint without CRIU says what is missing`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            let result = try bundle.shell("PATH=/nowhere \(bundle.runtime) --root \(bundle.state) checkpoint --image-path \(bundle.base)/images \(id)")
            #expect(result.output.contains("exec: \"criu\": executable file not found in $PATH"))
            #expect(try bundle("state", id).output.contains("\"running\""))
            #expect(try bundle("checkpoint", "--empty-ns", "mount", id).output.contains("namespace \"mount\" is not supported"))
            #expect(try bundle("restore", "-b", bundle.path, "--image-path", "\(bundle.base)/nothing", bundle.id()).output.contains("inventory.img does not exist"))
        }
    }
}
