import Glibc
import JSONCodec
import LinuxSystem
import OCISpec
import TaskAPI

/// Create, Start and Exec: what runs the runtime and brings processes to life.
extension ContainerTask {
    // MARK: Create

    /// Mounts the root filesystem, opens the streams, runs the runtime's `create`. On failure nothing is left, and `completion` gets the error.
    func create(_ completion: @escaping (Result<UInt32, TTRPCStatus>) -> Void) {
        do throws(SystemError) {
            try runtime.settings.save(in: bundle)
            if !request.rootfs.isEmpty {
                let rootfs = "\(bundle)/rootfs"
                if mkdir(rootfs, 0o711) != 0 && errno != EEXIST { throw SystemError(call: "mkdir", subject: rootfs, errno: Errno(rawValue: errno)) }
                try RootfsMounts.mount(request.rootfs, at: rootfs)
                if runtime.settings.isBundled { runtime.sealedProgram = SealedRuntime.mount(runtime.settings.binary, bundle: bundle) }
            }
        } catch { return completion(.failure(.unknown("failed to mount rootfs component: \(error)"))) }

        process.stdio.prepare { [self] result in
            switch result {
            case .failure(let status): undoCreate(status, completion)
            case .success: if checkpoint.isEmpty { runCreate(completion) } else { awaitRestore(completion) }
            }
        }
    }

    private func runCreate(_ completion: @escaping (Result<UInt32, TTRPCStatus>) -> Void) {
        let pidFile = "\(bundle)/init.pid"
        var arguments = ["create", "--bundle", bundle, "--pid-file", pidFile]
        if options.noPivotRoot { arguments.append("--no-pivot") }
        if options.noNewKeyring { arguments.append("--no-new-keyring") }
        if let console = process.stdio.console { arguments += ["--console-socket", console.path] }
        environment.reaper.beginLaunch()
        runtime.run(arguments + [id], descriptors: process.stdio.childDescriptors) { [self] result in
            defer { environment.reaper.endLaunch() }
            if case .failure(let failure) = result {
                let detail = failure.message.contains(text: "left no message") ? process.stdio.runtimeMessage() ?? failure.message : failure.message
                let status = TTRPCStatus.unknown("OCI runtime create failed: \(detail)")
                // It had no time to clean up.
                if isKilledEarly { return runtime.run(["delete", "--force", id]) { [self] _ in undoCreate(status, completion) } }
                return undoCreate(status, completion)
            }
            do {
                process.pid = try ContainerTask.readPID(pidFile)
                InitRecord.save(process.pid, in: bundle)
                learnAboutInit()
                // In this order: a process that has ended already is told of at once, and its output is to be taken before.
                try process.stdio.begin()
                environment.reaper.adopt(process.pid) { [self] exit in ended(process, exit) }
                if isKilledEarly { try Children.send(SIGKILL, to: process.pid) }
                publish(.create(request, pid: UInt32(process.pid)))
                apply(process.state.created(), to: process)
                completion(.success(UInt32(process.pid)))
            } catch {
                let status = error as? TTRPCStatus ?? .unknown("\(error)")
                runtime.run(["delete", "--force", id]) { [self] _ in undoCreate(status, completion) }
            }
        }
        process.stdio.runtimeStarted()
    }

    private func undoCreate(_ status: TTRPCStatus, _ completion: (Result<UInt32, TTRPCStatus>) -> Void) {
        process.stdio.discard()
        unmountRoot()
        completion(.failure(status))
    }

    func learnAboutInit() {
        cgroup = ContainerCgroup.find(of: process.pid)
        if let cgroup { oom = OOMWatcher(loop: environment.loop, cgroup: cgroup) { [unowned self] in publish(.outOfMemory(container: id)) } }
        // The last number of NSpid is the one in the innermost pid namespace.
        let status = (try? Files.readText("/proc/\(process.pid)/status")) ?? ""
        let numbers = status.fields(by: "\n").first { $0.hasPrefix("NSpid:") }?.split { $0 == "\t" || $0 == " " } ?? []
        ownsPIDNamespace = numbers.count > 2 && numbers.last == "1"
    }

    static func readPID(_ path: String) throws(TTRPCStatus) -> pid_t {
        do throws(SystemError) {
            if let pid = pid_t(try Files.readText(path).fields(by: "\n").first ?? ""), pid > 0 { return pid }
        } catch { throw .unknown("failed to retrieve OCI runtime container pid: \(error)") }
        throw .unknown("failed to retrieve OCI runtime container pid: \(path) holds none")
    }

    // MARK: Start

    func start(_ execID: String, _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        let target = try find(execID)
        if !target.isInit && initHasEnded { throw .failedPrecondition("container \(id) init process is not running") }
        guard !target.isDeleting, target.state.beginStart() else {
            let state = target.state.phase == .stopped ? "stopped" : isPaused ? "paused" : "running"
            throw .failedPrecondition("cannot start a \(state) process")
        }
        if target.isInit { startInit(reply) } else { startExec(target, reply) }
    }

    private func startInit(_ reply: TTRPCConnection.Reply) {
        if process.pid == 0 { return restoreInit(reply) }
        do throws(SystemError) { try process.stdio.openStdin() } catch {
            apply(process.state.startFailed(processExists: true, at: ContainerTask.timestamp()), to: process)
            return reply(failure: .unknown("failed to open stdin fifo: \(error)"))
        }
        runtime.run(["start", id]) { [self] result in
            switch result {
            case .success:
                apply(process.state.started(), to: process)
                reply(PidResponse(pid: UInt32(process.pid)).encoded())
            case .failure(let failure):
                apply(process.state.startFailed(processExists: true, at: ContainerTask.timestamp()), to: process)
                reply(failure: .unknown("OCI runtime start failed: \(failure.message)"))
            }
        }
    }

    private func startExec(_ exec: ManagedProcess, _ reply: TTRPCConnection.Reply) {
        let specFile = "\(bundle)/\(exec.execID).process.json", pidFile = "\(bundle)/\(exec.execID).pid"
        do throws(SystemError) { try Files.replace(specFile, with: exec.spec) } catch { return execFailed(exec, .unknown("\(error)"), reply) }
        exec.spec = []
        var arguments = ["exec", "--process", specFile, "--pid-file", pidFile, "--detach"]
        if let console = exec.stdio.console { arguments += ["--console-socket", console.path] }
        environment.reaper.beginLaunch()
        runtime.run(arguments + [id], descriptors: exec.stdio.childDescriptors) { [self] result in
            defer { environment.reaper.endLaunch() }
            unlink(specFile)
            if case .failure(let failure) = result {
                let detail = failure.message.contains(text: "left no message") ? exec.stdio.runtimeMessage() ?? failure.message : failure.message
                return execFailed(exec, .unknown("OCI runtime exec failed: \(detail)"), reply)
            }
            do {
                exec.pid = try ContainerTask.readPID(pidFile)
                unlink(pidFile)
                try exec.stdio.begin()
                try exec.stdio.openStdin()
                environment.reaper.adopt(exec.pid) { [self] exit in ended(exec, exit) }
                apply(exec.state.started(), to: exec)
                reply(PidResponse(pid: UInt32(exec.pid)).encoded())
            } catch {
                if exec.pid > 0 { try? Children.send(SIGKILL, to: exec.pid) }
                execFailed(exec, error as? TTRPCStatus ?? .unknown("\(error)"), reply)
            }
        }
        exec.stdio.runtimeStarted()
    }

    private func execFailed(_ exec: ManagedProcess, _ status: TTRPCStatus, _ reply: TTRPCConnection.Reply) {
        exec.stdio.discard()
        apply(exec.state.startFailed(processExists: false, at: ContainerTask.timestamp()), to: exec)
        exec.answerWaiters()
        reply(failure: status)
        execEndedWithoutProcess()
    }

    // MARK: Exec

    /// Registers an exec and opens its streams; the process comes with Start.
    func addExec(_ exec: ExecProcessRequest, _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        guard ContainerTask.isValidID(exec.execID) else { throw .invalidArgument("exec id \(exec.execID)") }
        guard execs[exec.execID] == nil else { throw .alreadyExists("id \(exec.execID)") }
        if initHasEnded || process.state.phase == .stopped { throw .failedPrecondition("cannot exec in a stopped state") }
        if isPaused { throw .failedPrecondition("cannot exec in a paused state") }
        let spec = try ContainerTask.processSpec(exec.spec, terminal: exec.stdio.terminal)
        let stdio = ContainerTask.makeStdio(environment, request, options, addresses: exec.stdio, name: exec.execID)
        let added = ManagedProcess(execID: exec.execID, addresses: exec.stdio, stdio: stdio, spec: spec, state: ProcessState(phase: .created))
        execs[exec.execID] = added
        stdio.prepare { [self] result in
            switch result {
            case .success:
                publish(.execAdded(container: id, exec: exec.execID))
                reply()
            case .failure(let status):
                execs[exec.execID] = nil
                reply(failure: status)
            }
        }
    }

    /// An identifier as containerd allows it: it becomes part of file names.
    static func isValidID(_ id: String) -> Bool {
        !id.isEmpty && id.utf8.count <= 76 && id.utf8.first != UInt8(ascii: ".")
            && id.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0) || $0 == 0x2d || $0 == 0x2e || $0 == 0x5f }
    }

    private struct TerminalOnly: Decodable { var terminal: Bool? }

    /// The request's word on the terminal counts, whatever the specification says. Changed only where they differ: the runtime may know fields that
    /// we do not.
    private static func processSpec(_ json: [UInt8], terminal: Bool) throws(TTRPCStatus) -> [UInt8] {
        do throws(JSONError) {
            if try JSON.decode(TerminalOnly.self, from: json).terminal ?? false == terminal { return json }
            var spec = try JSON.decode(RuntimeSpec.Process.self, from: json)
            spec.terminal = terminal
            return try JSON.encode(spec)
        } catch { throw .invalidArgument("process specification: \(error)") }
    }
}
