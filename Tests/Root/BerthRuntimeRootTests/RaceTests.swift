import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Somebody changes the files of a container while it is being built (CVE-2021-30465): what is mounted where is decided by descriptors.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct RaceTests {
    /// Exchanges two names for as long as it lives, on a thread of its own.
    private final class Swapper {
        private final class Work {
            let first: String, second: String
            // Safety: written once by the owner, read by the thread; a late look costs one more exchange.
            nonisolated(unsafe) var isOver = false
            init(_ first: String, _ second: String) { (self.first, self.second) = (first, second) }
        }

        /// Swift's Glibc module does not carry it.
        private typealias RenameAt2 = @convention(c) (CInt, UnsafePointer<CChar>, CInt, UnsafePointer<CChar>, CUnsignedInt) -> CInt

        private let work: Work
        private var thread = pthread_t()

        init(_ first: String, _ second: String) {
            work = Work(first, second)
            pthread_create(&thread, nil, { raw in
                let work = Unmanaged<Work>.fromOpaque(raw!).takeUnretainedValue()
                let renameat2 = unsafeBitCast(dlsym(nil, "renameat2"), to: RenameAt2.self)
                while !work.isOver { _ = renameat2(AT_FDCWD, work.first, AT_FDCWD, work.second, 2) }  // RENAME_EXCHANGE
                return nil
            }, Unmanaged.passUnretained(work).toOpaque())
        }

        func stop() {
            work.isOver = true
            pthread_join(thread, nil)
        }
    }

    @Test func `a mount target that is exchanged for a symlink all the time never leads to the host`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let volume = "\(bundle.base)/volume", outside = "\(bundle.base)/outside"
            _ = try bundle.shell("mkdir -p \(volume)/real \(outside); ln -s \(String(repeating: "../", count: 12))\(outside.dropFirst()) \(volume)/trap")
            try bundle.configure(["sh", "-c", "ls /vol/real /vol/trap 2>/dev/null | grep -c HOSTFILE"]) {
                $0.root?.readonly = false
                $0.mounts.append(RuntimeSpec.Mount(destination: "/vol", type: "bind", source: volume, options: ["rbind"]))
                $0.mounts.append(RuntimeSpec.Mount(destination: "/vol/real", type: "tmpfs", source: "tmpfs"))
                $0.mounts.append(RuntimeSpec.Mount(destination: "/vol/real/deep", type: "tmpfs", source: "tmpfs"))
            }
            try Files.replace("\(outside)/HOSTFILE", with: [])
            let swapper = Swapper("\(volume)/real", "\(volume)/trap")
            defer { swapper.stop() }
            for _ in 0..<60 {
                // It may fail; what it may not do is show the host's directory or put something into it.
                let result = try bundle.runContainer()
                #expect(result.output.hasPrefix("0\n") || result.code != 0)
                #expect(try Files.entries(of: outside) == ["HOSTFILE"])
            }
            #expect(try bundle.shell("grep -c '\(outside)' /proc/self/mounts").output == "0\n")
        }
    }

    @Test func `a masked file that is exchanged for a link does not show`() throws {
        try RuntimeTests.withBundle(["cat", "/vol/secret"]) { (bundle) throws in
            let volume = "\(bundle.base)/volume"
            _ = try bundle.shell("mkdir -p \(volume); echo SECRET >\(volume)/secret; ln -s /etc/nothing \(volume)/link")
            try bundle.configure(["cat", "/vol/secret"]) {
                $0.root?.readonly = false
                $0.linux?.maskedPaths.append("/vol/secret")
                $0.mounts.append(RuntimeSpec.Mount(destination: "/vol", type: "bind", source: volume, options: ["rbind"]))
            }
            #expect(!(try bundle.runContainer().output.contains("SECRET")))
        }
    }

    @Test func `two creates of one id give one container`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            for _ in 0..<10 {
                let id = bundle.id()
                let result = try bundle.shell(
                    "for i in 1 2 3 4; do { \(bundle.runtime) --root \(bundle.state) create -b \(bundle.path) \(id) </dev/null >/dev/null 2>&1; echo $?; } & done; wait")
                #expect(result.lines.filter { $0 == "0" }.count == 1)
                #expect(try bundle("delete", "--force", id).code == 0)
            }
        }
    }

    @Test func `start, kill and delete at once leave nothing`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            for _ in 0..<10 {
                let id = bundle.id()
                #expect(try bundle("create", "-b", bundle.path, id).code == 0)
                let line = "\(bundle.runtime) --root \(bundle.state)"
                _ = try bundle.shell("\(line) start \(id) & \(line) kill \(id) KILL & \(line) delete --force \(id) & \(line) delete --force \(id) & wait")
                #expect(try bundle("delete", "--force", id).code == 0)
                #expect(try bundle.shell("ls -d /sys/fs/cgroup/*/\(id) /sys/fs/cgroup/\(id) 2>/dev/null").output.isEmpty)
                #expect(!Files.exists("\(bundle.state)/\(id)"))
            }
        }
    }
}
