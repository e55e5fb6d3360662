import TaskAPI

/// The init process of the container, or an exec.
final class ManagedProcess {
    /// Empty for the init process.
    let execID: String
    let addresses: StdioAddresses
    let stdio: ProcessStdio
    /// JSON of the specification's Process; only of an exec, only until its start.
    var spec: [UInt8]
    var state: ProcessState
    var pid: Int32 = 0
    var isDeleting = false
    private var waiters: [TTRPCConnection.Reply] = []
    private var endWaiters: [() -> Void] = []

    init(execID: String, addresses: StdioAddresses, stdio: ProcessStdio, spec: [UInt8], state: ProcessState) {
        self.execID = execID
        self.addresses = addresses
        self.stdio = stdio
        self.spec = spec
        self.state = state
    }

    var isInit: Bool { execID.isEmpty }
    /// A start is under way, or the process runs.
    var isLive: Bool { state.phase == .starting || state.phase == .running }

    /// Answers now or when the process has ended.
    func wait(_ reply: TTRPCConnection.Reply) {
        if let exit = state.exit { return answer(reply, exit) }
        // Callers that have gone away would pile up here.
        waiters.removeAll { $0.isAbandoned }
        waiters.append(reply)
    }

    /// Calls `action` when the end of the process has been told; at once when there is nothing to be told.
    func whenEnded(_ action: @escaping () -> Void) {
        if state.exit != nil || pid == 0 { action() } else { endWaiters.append(action) }
    }

    func answerWaiters() {
        guard let exit = state.exit else { return }
        let actions = endWaiters
        endWaiters = []
        for action in actions { action() }
        let all = waiters
        waiters = []
        for reply in all { answer(reply, exit) }
    }

    private func answer(_ reply: TTRPCConnection.Reply, _ exit: ExitRecord) { reply(WaitResponse(exitStatus: exit.status, exitedAt: exit.time).encoded()) }
}
