import LinuxSystem
import OCISpec
import Testing

@testable import berth_runtime

/// The sentences of docs/errors.md, as the real program says them to those who match on them.
@Suite(.enabled(if: RuntimeTests.isRoot, "needs root"), .enabled(if: RuntimeTests.hasBusybox, "needs busybox-static"), .serialized)
struct ErrorWordsTests {
    @Test(arguments: [["state"], ["start"], ["kill"], ["delete"], ["pause"], ["resume"], ["exec"], ["ps"], ["events", "--stats"], ["update", "--memory", "1g"]])
    func `a container that is not there`(command: [String]) throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let result = try bundle.run(command + ["nosuch"] + (command == ["exec"] ? ["true"] : []))
            #expect(result.code == (command == ["exec"] ? 255 : 1) && result.output.contains("container does not exist"))
        }
    }

    @Test func `a container that has stopped`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "--keep", "-b", bundle.path, id).code == 0)
            #expect(try bundle("kill", id).output == "berth-runtime: kill \(id): container not running\n")
            #expect(try bundle("pause", id).output.contains("container not running"))
            #expect(try bundle("resume", id).output.contains("container not paused"))
            #expect(try bundle("start", id).output.contains("cannot start a container that has stopped"))
            #expect(try bundle("exec", id, "true").output == "berth-runtime: exec failed: cannot exec in a stopped container\n")
            #expect(try bundle("update", "--memory", "1g", id).output.contains("container not running"))
            #expect(try bundle("checkpoint", id).output.contains("Container cannot be checkpointed in stopped state"))
        }
    }

    @Test func `a container that runs, and one that is paused`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            #expect(try bundle("run", "-d", "-b", bundle.path, id).output.contains("container with given ID already exists"))
            #expect(try bundle("start", id).output.contains("cannot start an already running container"))
            #expect(try bundle("resume", id).output.contains("container not paused"))
            #expect(try bundle("delete", id).output.contains("cannot delete container \(id) that is not stopped: running"))
            #expect(try bundle("pause", id).code == 0)
            let paused = try bundle("exec", id, "true")
            #expect(paused.code == 255 && paused.output.contains("cannot exec in a paused container (use --ignore-paused to override)"))
        }
    }

    @Test func `a program that exec cannot run`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            _ = try bundle.shell("cd \(bundle.rootfs)/etc && echo x >plain && echo x >text && chmod 755 text && printf '#!/nowhere\\n' >script && chmod 755 script")
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            for (program, words) in [
                ("nowhere", "exec: \"nowhere\": executable file not found in $PATH"), ("/nowhere", "exec: \"/nowhere\": stat /nowhere: no such file or directory"),
                ("/etc", "exec: \"/etc\": is a directory"), ("/etc/plain", "exec: \"/etc/plain\": permission denied"), ("/etc/text", "exec /etc/text: exec format error"),
                ("/etc/script", "exec /etc/script: no such file or directory"),
            ] {
                let result = try bundle("exec", id, program)
                #expect(result.code == 255 && result.output == "berth-runtime: exec failed: unable to start container process: \(words)\n")
            }
        }
    }

    @Test func `without CRIU there is no checkpoint`() throws {
        try RuntimeTests.withBundle(["sleep", "100"]) { (bundle) throws in
            let id = bundle.id()
            #expect(try bundle("run", "-d", "-b", bundle.path, id).code == 0)
            let result = try bundle.shell("PATH=/nowhere \(bundle.runtime) --root \(bundle.state) checkpoint \(id)")
            #expect(result.output.contains("checkpoint and restore need CRIU: exec: \"criu\": executable file not found in $PATH"))
        }
    }

    @Test func `names that are none`() throws {
        try RuntimeTests.withBundle(["true"]) { (bundle) throws in
            #expect(try bundle("state", "a/b").output.contains("invalid container ID format: invalid character `/` in the ID `a/b`"))
            #expect(try bundle("state", "..").output.contains("invalid container ID format"))
            #expect(try bundle("nonsense").output.contains("No help topic for 'nonsense'"))
        }
    }

    @Test func `the log has the same words as standard error`() throws {
        try RuntimeTests.withBundle(["nowhere"]) { (bundle) throws in
            let log = "\(bundle.base)/log"
            #expect(try bundle("--log", log, "--log-format", "json", "create", "-b", bundle.path, bundle.id()).code == 1)
            let line = try Files.readText(log)
            #expect(line.hasPrefix("{\"level\":\"error\",\"msg\":\"berth-runtime create failed: unable to start container process: error during container init: "))
            #expect(line.contains("exec: \\\"nowhere\\\": executable file not found in $PATH\",\"time\":\"2"))
        }
    }
}
