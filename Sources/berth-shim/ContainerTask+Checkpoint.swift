import Glibc
import LinuxSystem
import TaskAPI

/// Checkpoint, and the start of a container that was created from one: both are the runtime's work, through CRIU.
extension ContainerTask {
    // MARK: Checkpoint

    func checkpoint(_ request: CheckpointTaskRequest, _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        guard process.state.phase == .running, !isPausing else { throw .failedPrecondition("cannot checkpoint a \(stateName) container") }
        guard request.path.isAbsolutePath else { throw .invalidArgument("checkpoint path \"\(request.path)\": not an absolute path") }
        let options: CheckpointTaskOptions
        do throws(ProtobufError) { options = try CheckpointTaskOptions(request.options) } catch { throw .invalidArgument(error.description) }
        let work = options.workPath.isEmpty ? "\(bundle)/criu-work" : options.workPath
        runtime.run(["checkpoint"] + Self.arguments(options, images: request.path, work: work) + [id]) { [self] result in
            switch result {
            case .success:
                if options.workPath.isEmpty { Self.removeWork(work) }
                reply()
            case .failure(let failure):
                // What CRIU has to say stays where a client that was told of it can look.
                let log = "\(bundle)/criu-dump.log"
                let kept = rename("\(work)/dump.log", log) == 0 ? log : work
                if options.workPath.isEmpty { Self.removeWork(work) }
                reply(failure: .unknown("OCI runtime checkpoint failed: \(failure.message) path= \(kept)"))
            }
        }
    }

    private static func arguments(_ options: CheckpointTaskOptions, images: String, work: String) -> [String] {
        var arguments = ["--image-path", images, "--work-path", work]
        if options.openTCP { arguments.append("--tcp-established") }
        if options.externalUnixSockets { arguments.append("--ext-unix-sk") }
        if options.terminal { arguments.append("--shell-job") }
        if options.fileLocks { arguments.append("--file-locks") }
        for namespace in options.emptyNamespaces { arguments += ["--empty-ns", namespace] }
        if !options.cgroupsMode.isEmpty { arguments += ["--manage-cgroups-mode", options.cgroupsMode] }
        if !options.exits { arguments.append("--leave-running") }
        return arguments
    }

    /// CRIU's work directory is flat.
    private static func removeWork(_ path: String) {
        for name in (try? Files.entries(of: path)) ?? [] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    // MARK: Restore

    /// Create has nothing to run: the process comes with Start, as in containerd's shim.
    func awaitRestore(_ completion: (Result<UInt32, TTRPCStatus>) -> Void) {
        publish(.create(request, pid: 0))
        apply(process.state.created(), to: process)
        completion(.success(0))
    }

    func restoreInit(_ reply: TTRPCConnection.Reply) {
        let pidFile = "\(bundle)/init.pid"
        let work = options.criuWorkPath.isEmpty ? "\(bundle)/criu-work" : options.criuWorkPath
        var arguments = ["restore", "--bundle", bundle, "--image-path", checkpoint, "--work-path", work, "--pid-file", pidFile, "--detach", "--no-subreaper"]
        if options.noPivotRoot { arguments.append("--no-pivot") }
        if let console = process.stdio.console { arguments += ["--console-socket", console.path] }
        environment.reaper.beginLaunch()
        runtime.run(arguments + [id], descriptors: process.stdio.childDescriptors) { [self] result in
            defer { environment.reaper.endLaunch() }
            if options.criuWorkPath.isEmpty, case .success = result { Self.removeWork(work) }
            if case .failure(let failure) = result {
                let detail = failure.message.contains(text: "left no message") ? process.stdio.runtimeMessage() ?? failure.message : failure.message
                return restoreFailed(.unknown("OCI runtime restore failed: \(detail)"), reply)
            }
            do {
                process.pid = try Self.readPID(pidFile)
                InitRecord.save(process.pid, in: bundle)
                learnAboutInit()
                try process.stdio.begin()
                try process.stdio.openStdin()
                environment.reaper.adopt(process.pid) { [self] exit in ended(process, exit) }
                apply(process.state.started(), to: process)
                reply(PidResponse(pid: UInt32(process.pid)).encoded())
            } catch {
                let status = error as? TTRPCStatus ?? .unknown("\(error)")
                runtime.run(["delete", "--force", id]) { [self] _ in restoreFailed(status, reply) }
            }
        }
        process.stdio.runtimeStarted()
    }

    /// Images that could not be read once are not read better a second time: the task is over.
    private func restoreFailed(_ status: TTRPCStatus, _ reply: TTRPCConnection.Reply) {
        process.stdio.discard()
        apply(process.state.startFailed(processExists: false, at: Self.timestamp()), to: process)
        process.answerWaiters()
        reply(failure: status)
    }
}
