import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Bind mounts as runc makes them, which images and engines count on.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct MountAttributeTests {
    private func attributes(of source: String, _ options: [String], userNamespace: Bool = false) throws -> TestBundle.Result {
        var result = TestBundle.Result(code: -1, output: "")
        try RuntimeTests.withBundle(["grep", " /tmp ", "/proc/mounts"]) { (bundle) throws in
            let directory = "\(bundle.base)/source"
            _ = try bundle.shell("mkdir -p \(directory) && mount -t tmpfs tmpfs \(directory) && mount --bind \(directory) \(directory) && mount -o remount,bind,\(source) \(directory)")
            defer { _ = try? bundle.shell("umount -l \(directory); umount -l \(directory)") }
            try bundle.configure(["grep", " /tmp ", "/proc/mounts"]) { spec in
                spec.mounts.append(RuntimeSpec.Mount(destination: "/tmp", type: "bind", source: directory, options: options))
                guard userNamespace else { return }
                spec.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "user"))
                spec.linux?.uidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 100_000, size: 65536)]
                spec.linux?.gidMappings = [RuntimeSpec.IDMapping(containerID: 0, hostID: 100_000, size: 65536)]
            }
            _ = try bundle.shell("chmod 755 \(bundle.base) \(bundle.path) \(bundle.rootfs)")
            result = try bundle.runContainer()
        }
        return result
    }

    private func flags(_ result: TestBundle.Result) -> Set<String> {
        Set(result.output.split(separator: " ").dropFirst(3).first?.split(separator: ",").map(String.init) ?? [])
    }

    @Test func `a bind mount without attributes has those of its source`() throws {
        #expect(flags(try attributes(of: "ro,nosuid,noexec", ["bind"])).isSuperset(of: ["ro", "nosuid", "noexec"]))
    }

    @Test func `naming one attribute names them all`() throws {
        let flags = flags(try attributes(of: "ro,nosuid,noexec,noatime", ["bind", "nodev"]))
        #expect(flags.isSuperset(of: ["rw", "nodev", "noatime"]) && flags.isDisjoint(with: ["nosuid", "noexec"]))
    }

    @Test func `access times stay until one of their modes is named`() throws {
        #expect(flags(try attributes(of: "noatime", ["bind", "atime"])).contains("noatime"))
        #expect(flags(try attributes(of: "noatime", ["bind", "relatime"])).contains("relatime"))
    }

    @Test func `in a user namespace the source's restrictions stay`() throws {
        #expect(flags(try attributes(of: "ro,nosuid", ["bind", "nodev"], userNamespace: true)).isSuperset(of: ["ro", "nosuid", "nodev"]))
        let refused = try attributes(of: "ro", ["bind", "rw"], userNamespace: true)
        #expect(refused.code == 1 && refused.output.contains("error mounting") && refused.output.contains("operation not permitted"))
    }

    @Test func `a source inside the root is what earlier mounts have put there`() throws {
        try RuntimeTests.withBundle(["cat", "/etc/copy/file"]) { (bundle) throws in
            _ = try bundle.shell("mkdir \(bundle.base)/a && echo from outside >\(bundle.base)/a/file")
            try bundle.configure(["cat", "/etc/copy/file"]) { spec in
                spec.mounts.append(RuntimeSpec.Mount(destination: "/tmp/a", type: "bind", source: "\(bundle.base)/a", options: ["rbind"]))
                // The destination is written as the host sees it.
                spec.mounts.append(RuntimeSpec.Mount(destination: "\(bundle.rootfs)/etc/copy", type: "bind", source: "\(bundle.rootfs)/tmp/a", options: ["rbind"]))
            }
            #expect(try bundle.runContainer().output == "from outside\n")
        }
    }
}
