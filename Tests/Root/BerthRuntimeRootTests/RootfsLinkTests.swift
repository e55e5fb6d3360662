import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// An image whose directories are symlinks chooses among places inside the root, never on the host (CVE-2021-30465, 2025-31133, 2025-52565, 2026-41579 …).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct RootfsLinkTests {
    /// Leads out if it were followed on the host, in several ways of writing it.
    private static let targets = ["/OUTSIDE", "../../../../../../../OUTSIDE", "/proc/self/root/OUTSIDE", "/proc/1/root/OUTSIDE", "nowhere/../../../../../../../OUTSIDE"]

    @Test(arguments: ["/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/etc", "/tmp/mounted"], targets)
    func `a symlink at a mount's target stays inside`(path: String, target: String) throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let outside = "\(bundle.base)/outside"
            _ = try bundle.shell("mkdir -p \(outside) \(bundle.base)/source \(bundle.rootfs)\(path); rm -rf '\(bundle.rootfs)\(path)'; ln -s '\(target.replacing("/OUTSIDE", with: outside))' '\(bundle.rootfs)\(path)'")
            try bundle.configure(["true"]) {
                $0.root?.readonly = false
                // Without a tmpfs on /dev the image's own is used.
                if path.hasPrefix("/dev/") { $0.mounts.removeAll { $0.destination == "/dev" } }
                $0.mounts.append(RuntimeSpec.Mount(destination: "/tmp/mounted/deep", type: "bind", source: "\(bundle.base)/source", options: ["bind"]))
                $0.mounts.append(RuntimeSpec.Mount(destination: "/etc/deep/er", type: "tmpfs", source: "tmpfs"))
            }
            _ = try bundle.runContainer()
            #expect(try Files.entries(of: outside) == [], "\(path) -> \(target)")
            #expect(try bundle.shell("grep -c '\(outside)' /proc/self/mounts").output == "0\n")
        }
    }

    @Test(arguments: ["null", "console", "ptmx", "fd", "stdin", "zero"])
    func `a link in the image's dev is not followed out`(name: String) throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let victim = "\(bundle.base)/victim"
            try Files.replace(victim, with: Array("untouched".utf8))
            _ = try bundle.shell("mkdir -p \(bundle.rootfs)/dev; ln -sfn \(victim) \(bundle.rootfs)/dev/\(name)")
            try bundle.configure(["true"]) {
                $0.root?.readonly = false
                $0.mounts.removeAll { $0.destination.hasPrefix("/dev") }
                $0.process?.user.uid = 1000
            }
            _ = try bundle.runContainer()
            #expect(try Files.readText(victim) == "untouched")
            #expect(try Files.status(victim).st_uid == 0)
            #expect(try Files.status(victim).isRegular)
        }
    }

    @Test func `masks come from the host's null device whatever the image has`() throws {
        // The image's /dev/null is a file with a secret's name; a mask made of it would show or write it.
        try RuntimeTests.withBundle(["sh", "-c", "cat /proc/kcore /proc/keys /proc/timer_list | wc -c; stat -c '%t:%T' /proc/keys; ls /sys/firmware | wc -l"]) { (bundle) throws in
            _ = try bundle.shell("rm -f \(bundle.rootfs)/dev/null; echo fake >\(bundle.rootfs)/dev/null")
            try bundle.configure(["sh", "-c", "cat /proc/keys | wc -c; stat -c '%t:%T' /proc/keys; ls /sys/firmware | wc -l"]) { $0.mounts.removeAll { $0.destination.hasPrefix("/dev") } }
            #expect(try bundle.runContainer().output == "0\n1:3\n0\n")
        }
    }

    @Test func `a masked path that is a symlink does not move the mask away`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "cat /secret/data"]) { (bundle) throws in
            _ = try bundle.shell("mkdir \(bundle.rootfs)/real; echo SECRET >\(bundle.rootfs)/real/data; ln -s real \(bundle.rootfs)/secret")
            try bundle.configure(["sh", "-c", "cat /secret/data /real/data"]) { $0.linux?.maskedPaths.append("/secret/data") }
            #expect(!(try bundle.runContainer().output.contains("SECRET")))
        }
    }

    @Test func `a bind mount's source may be a link of the host, its target may not leave the root`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            _ = try bundle.shell("mkdir \(bundle.base)/data; echo shown >\(bundle.base)/data/file; ln -s data \(bundle.base)/link; ln -s \(bundle.base) \(bundle.rootfs)/up")
            try bundle.configure(["cat", "/up/inside/file"]) {
                $0.root?.readonly = false
                $0.mounts.append(RuntimeSpec.Mount(destination: "/up/inside", type: "bind", source: "\(bundle.base)/link", options: ["bind"]))
            }
            #expect(try bundle.runContainer().output == "shown\n")
            #expect(!Files.exists("\(bundle.base)/inside"))
        }
    }

    @Test func `with src-nofollow the link itself is what is mounted`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            _ = try bundle.shell("ln -s /nowhere/at/all \(bundle.base)/link")
            try bundle.configure(["readlink", "/tmp/link"]) {
                $0.root?.readonly = false
                $0.mounts.append(RuntimeSpec.Mount(destination: "/tmp/link", type: "bind", source: "\(bundle.base)/link", options: ["bind", "src-nofollow"]))
            }
            #expect(try bundle.runContainer().output == "/nowhere/at/all\n")
        }
    }
}
