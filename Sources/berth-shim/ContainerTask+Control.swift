import Cgroups
import Glibc
import LinuxSystem
import TaskAPI

/// The calls that act on a container or a process that is there.
extension ContainerTask {
    // MARK: Kill

    func kill(_ kill: KillRequest, _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        let target = try find(kill.execID)
        guard kill.signal <= 64 else { throw .invalidArgument("signal \(kill.signal)") }
        let signal = CInt(kill.signal)
        if target.state.phase == .creating, signal == SIGKILL { return giveUpCreation(reply) }
        guard target.pid > 0 else { throw .failedPrecondition("process not created") }
        if target.state.phase == .stopped || target.state.hasEnded || (target.isInit && initHasEnded) { throw .alreadyFinished }
        if !target.isInit || (runtime.settings.isBundled && !kill.all && !isPaused) {
            // A child that has not been reaped: its number cannot be another process's.
            do throws(SystemError) { try Children.send(signal, to: target.pid) } catch { throw .killFailure("\(error)") }
            return reply()
        }
        runtime.run(["kill"] + (kill.all ? ["--all"] : []) + [id, "\(signal)"]) { result in
            switch result {
            case .success: reply()
            case .failure(let failure): reply(failure: .killFailure(failure.message))
            }
        }
    }

    /// Ends the runtime's `create`, which may be waiting for a hook or a disk: Create fails, and what it had made goes. If it is over already and only its end
    /// has not been seen, the process is killed when that is.
    private func giveUpCreation(_ reply: TTRPCConnection.Reply) {
        isKilledEarly = true
        InterruptedStart(bundle: bundle, programs: [runtime.settings.binary]).end()
        reply()
    }

    // MARK: Pause, Resume

    func pause(_ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        guard process.state.phase == .running, !isPausing else { throw .failedPrecondition("cannot pause task in \(stateName) state") }
        if isPaused { throw .failedPrecondition("cannot pause a paused container") }
        isPausing = true
        runtime.run(["pause", id]) { [self] result in
            isPausing = false
            switch result {
            case .success:
                isPaused = !initHasEnded
                publish(.paused(container: id))
                reply()
            case .failure(let failure): reply(failure: .unknown("OCI runtime pause failed: \(failure.message)"))
            }
        }
    }

    func resume(_ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        guard isPaused else { throw .failedPrecondition("cannot resume a \(stateName) container") }
        runtime.run(["resume", id]) { [self] result in
            switch result {
            case .success:
                isPaused = false
                publish(.resumed(container: id))
                reply()
            case .failure(let failure): reply(failure: .unknown("OCI runtime resume failed: \(failure.message)"))
            }
        }
    }

    var stateName: String {
        switch process.state.phase {
        case .creating, .created, .starting: "created"
        case .running: isPausing ? "pausing" : isPaused ? "paused" : "running"
        case .stopped: "stopped"
        }
    }

    // MARK: Update

    func update(_ resources: [UInt8], _ reply: TTRPCConnection.Reply) throws(TTRPCStatus) {
        if process.state.phase == .stopped { throw .failedPrecondition("cannot update a stopped container") }
        do throws(SystemError) {
            let input = try Pipes.memoryFile(named: "resources", holding: resources)
            runtime.run(["update", "--resources", "-", id], descriptors: [(0, input.rawValue)]) { result in
                switch result {
                case .success: reply()
                case .failure(let failure): reply(failure: .unknown("OCI runtime update failed: \(failure.message)"))
                }
            }
        } catch { throw .unknown("\(error)") }
    }

    // MARK: Pids, Stats

    func pids() -> PidsResponse {
        var list = (try? cgroup?.processes()) ?? []
        if list.isEmpty && process.pid > 0 && !initHasEnded { list = [process.pid] }
        return PidsResponse(processes: list.map { pid in (UInt32(pid), execs.values.first { $0.pid == pid }?.execID) })
    }

    func stats() throws(TTRPCStatus) -> StatsResponse {
        guard let cgroup, cgroup.exists else { throw .notFound("cgroup does not exist") }
        return StatsResponse(stats: CgroupMetrics.message(cgroup.statistics(), isUnified: cgroup.v1.isEmpty))
    }

    // MARK: ResizePty, CloseIO

    func resize(_ request: ResizePtyRequest) throws(TTRPCStatus) {
        let target = try find(request.execID)
        guard request.width <= UInt32(UInt16.max), request.height <= UInt32(UInt16.max) else { throw .invalidArgument("window size \(request.width)x\(request.height)") }
        if target.state.phase == .stopped && !target.isInit { throw .failedPrecondition("cannot resize a stopped container") }
        do throws(SystemError) {
            try target.stdio.resize(columns: UInt16(request.width), rows: UInt16(request.height))
        } catch {
            // The terminal may be gone with its last process.
            if !target.state.hasEnded { throw .unknown("\(error)") }
        }
    }

    func closeIO(_ request: CloseIORequest) throws(TTRPCStatus) {
        let target = try find(request.execID)
        if request.stdin { target.stdio.closeStdin() }
    }
}
