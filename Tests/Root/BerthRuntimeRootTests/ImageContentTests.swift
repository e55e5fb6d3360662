import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Files and names of the image that the runtime looks at (CVE-2024-9676, CVE-2026-47262, CVE-2020-1726, CVE-2022-4318).
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct ImageContentTests {
    @Test(arguments: ["mkfifo etc/passwd", "ln -s /dev/zero etc/passwd", "ln -s /proc/kmsg etc/passwd", "mkdir etc/passwd", "busybox yes | head -c 4000000 >etc/passwd", "printf 'root:x:0:0:r:/evil\\nHOME=/two:/bin/sh\\n' >etc/passwd"])
    func `a passwd file that is none costs neither time nor memory`(make: String) throws {
        try RuntimeTests.withBundle(["sh", "-c", "echo $HOME"]) { (bundle) throws in
            #expect(try bundle.shell("cd \(bundle.rootfs) && \(make)").code == 0)
            let result = try bundle.shell("timeout 5 \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(result.code == 0)
            #expect(result.output == "/\n" || result.output == "/evil\n", "\(make)")
        }
    }

    @Test func `home comes from the image's passwd, and from the config before that`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "echo $HOME"], edit: { $0.process?.user.uid = 7 }) { (bundle) throws in
            _ = try bundle.shell("echo 'seven:x:7:7::/home/seven:/bin/sh' >\(bundle.rootfs)/etc/passwd")
            #expect(try bundle.runContainer().output == "/home/seven\n")
            try bundle.configure(["sh", "-c", "echo $HOME"]) { $0.process?.env.append("HOME=/given") }
            #expect(try bundle.runContainer().output == "/given\n")
        }
    }

    @Test func `tmpcopyup shows the image's files and leaves them alone`() throws {
        try RuntimeTests.withBundle(["sh", "-c", "cat /data/file /data/link; echo new >/data/file"]) { (bundle) throws in
            _ = try bundle.shell("mkdir \(bundle.rootfs)/data; echo old >\(bundle.rootfs)/data/file; ln -s /etc/shadow \(bundle.rootfs)/data/link; echo outside >\(bundle.base)/shadow")
            try bundle.configure(["sh", "-c", "cat /data/file; readlink /data/link; echo new >/data/file"]) {
                $0.mounts.append(RuntimeSpec.Mount(destination: "/data", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]))
            }
            #expect(try bundle.runContainer().output == "old\n/etc/shadow\n")
            #expect(try Files.readText("\(bundle.rootfs)/data/file") == "old\n")
        }
    }

    @Test func `nothing of the image is executed outside of the container`() throws {
        // Programs of these names in the image would be run by who looks in the wrong root.
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let file = "\(bundle.base)/touched"
            for name in ["criu", "newuidmap", "newgidmap", "ps", "nsenter", "modprobe"] {
                _ = try bundle.shell("mkdir -p \(bundle.rootfs)/usr/bin; printf '#!/bin/sh\\ntouch \(file)\\n' >\(bundle.rootfs)/usr/bin/\(name); chmod 755 \(bundle.rootfs)/usr/bin/\(name)")
            }
            #expect(try bundle.runContainer().code == 0)
            #expect(!Files.exists(file))
        }
    }
}
