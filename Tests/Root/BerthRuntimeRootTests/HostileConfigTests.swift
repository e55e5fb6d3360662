import Glibc
import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// Configs that somebody made to break the runtime: one clear line and nothing left behind.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct HostileConfigTests {
    /// Refused, in time, in one line that has `words`.
    private func expectRefusal(_ bundle: TestBundle, _ words: String, _ comment: Comment? = nil) throws {
        let id = bundle.id()
        let result = try bundle.shell("timeout 20 \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(id) </dev/null")
        #expect(result.code == 1, comment)
        #expect(result.lines.count == 1, comment)
        #expect(result.output.hasPrefix("berth-runtime run failed: "), comment)
        #expect(result.output.contains(words), comment)
        #expect(!Files.exists("\(bundle.state)/\(id)"), comment)
        #expect(try bundle.shell("ls -d /sys/fs/cgroup/*/\(id) /sys/fs/cgroup/\(id) 2>/dev/null").output.isEmpty, comment)
    }

    @Test(arguments: [
        ("", "config.json"), ("{", "config.json"), ("[]", "config.json"), ("null", "config.json"), ("{\"ociVersion\":1}", "ociVersion"),
        ("{\"ociVersion\":\"1.0.0\",\"ociVersion\":\"1.0.0\"}", "ociVersion"), ("{\"ociVersion\":\"2.0.0\",\"root\":{\"path\":\"rootfs\"}}", "ociVersion"),
        ("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\",\"args\":[\"true\"],\"user\":{\"uid\":99999999999999999999}}}", "uid"),
        ("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\",\"args\":[\"true\"],\"user\":{\"uid\":-1}}}", "uid"),
        ("{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},\"process\":{\"cwd\":\"/\",\"args\":[\"true\"],\"user\":{\"uid\":1e3000}}}", "config.json"),
    ])
    func `documents that are none`(document: String, words: String) throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            try bundle.write(Array(document.utf8))
            try expectRefusal(bundle, words, "\(document)")
        }
    }

    @Test func `nesting, bytes that are no text, and size`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            try bundle.write(Array(("{\"annotations\":" + String(repeating: "[", count: 200_000)).utf8))
            try expectRefusal(bundle, "config.json", "deep")
            try bundle.write(Array("{\"ociVersion\":\"".utf8) + [0xff, 0xfe, 0xc0, 0x80] + Array("\"}".utf8))
            try expectRefusal(bundle, "config.json", "not UTF-8")
            try bundle.write(Array(repeating: UInt8(ascii: " "), count: 17 << 20))
            try expectRefusal(bundle, "config.json", "large")
            _ = try bundle.shell("rm \(bundle.path)/config.json; mkfifo \(bundle.path)/config.json")
            let result = try bundle.shell("timeout 5 \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) x </dev/null")
            #expect(result.code != 0)
        }
    }

    @Test func `values out of range name their field`() throws {
        let cases: [(String, (inout RuntimeSpec) -> Void)] = [
            ("process.user.uid", { $0.process?.user.uid = UInt32.max }),
            ("process.oomScoreAdj", { $0.process?.oomScoreAdj = 100_000 }),
            ("NUL", { $0.process?.args = ["a\u{0}b"] }),
            ("NUL", { $0.process?.env = ["A=\u{0}"] }),
            ("Cwd must be an absolute path", { $0.process?.cwd = "../../.." }),
            ("invalid rlimit type", { $0.process?.rlimits = [RuntimeSpec.Rlimit(type: "RLIMIT_EVERYTHING", soft: 1, hard: 1)] }),
            ("hostname", { $0.hostname = String(repeating: "x", count: 65) }),
            ("linux.namespaces", { $0.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "pid")) }),
            ("linux.namespaces", { $0.linux?.namespaces.append(RuntimeSpec.Linux.Namespace(type: "galaxy")) }),
            ("linux.devices[0]", { $0.linux?.devices = [RuntimeSpec.Linux.Device(path: "/dev/x", type: "c", major: 1 << 40, minor: 0)] }),
            ("linux.devices[0]", { $0.linux?.devices = [RuntimeSpec.Linux.Device(path: "../etc/x", type: "c", major: 1, minor: 3)] }),
            ("linux.maskedPaths", { $0.linux?.maskedPaths = ["relative"] }),
            ("linux.personality", { $0.linux?.personality = RuntimeSpec.Linux.Personality(domain: "PLAN9") }),
            ("linux.netDevices", { $0.linux?.netDevices = ["a/b": RuntimeSpec.Linux.NetDevice()] }),
            ("rootfsPropagation", { $0.linux?.rootfsPropagation = "everywhere" }),
            ("NUL", { $0.mounts.insert(RuntimeSpec.Mount(destination: "/a\u{0}b", type: "tmpfs"), at: 0) }),
            ("mounts[0]", { $0.mounts.insert(RuntimeSpec.Mount(destination: "/../..", type: "tmpfs"), at: 0) }),
            ("timeOffsets", { $0.linux?.namespaces.append(.init(type: "time")); $0.linux?.timeOffsets = ["tomorrow": .init()] }),
        ]
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            for (words, edit) in cases {
                try bundle.configure(["true"], edit)
                try expectRefusal(bundle, words, "\(words)")
            }
        }
    }

    @Test func `a list of all processors of the future is refused without being counted`() throws {
        for text in ["0-4294967295", "0-18446744073709551615", "0-", "-1", "1,,2"] {
            try RuntimeTests.withBundle(["true"], edit: { $0.linux?.resources?.cpu = RuntimeSpec.Linux.Resources.CPU(cpus: text) }) { (bundle) throws in
                let began = ContinuousClock.now
                #expect(try bundle.runContainer().code != 0, "\(text)")
                #expect(ContinuousClock.now - began < .seconds(5))
            }
        }
    }

    @Test func `ten thousand mounts do not break it`() throws {
        let edit: (inout RuntimeSpec) -> Void = { spec in
            spec.root?.readonly = false
            for index in 0..<10_000 { spec.mounts.append(RuntimeSpec.Mount(destination: "/tmp/m", type: "tmpfs", source: "m\(index)", options: ["size=4k"])) }
        }
        try RuntimeTests.withBundle(["echo", "fine"], edit: edit) { (bundle) throws in
            let result = try bundle.shell("timeout 60 \(bundle.runtime) --root \(bundle.state) run -b \(bundle.path) \(bundle.id()) </dev/null")
            #expect(result.output == "fine\n" || (result.code == 1 && result.lines.count == 1))
        }
    }

    @Test(arguments: ["", ".", "..", "../x", "a/b", "a b", "ä", String(repeating: "x", count: 300)])
    func `an id that is a path or worse is refused`(id: String) throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let result = try bundle("run", "-b", bundle.path, id)
            #expect(result.code == 1)
            #expect(result.output.contains("container ID") || result.output.contains("container id"))
        }
    }
}
