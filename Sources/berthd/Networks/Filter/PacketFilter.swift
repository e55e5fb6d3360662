import Netlink
import NIOPosix

/// Keeps the kernel's table equal to a model, with one atomic transaction per change.
///
/// Changes that arrive while a transaction runs travel together in the next one: sixteen starts at once cost two or three transactions.
actor PacketFilter {
    private var model: FilterModel
    nonisolated let rules: FilterRules
    private let connection: FilterConnection
    private var pending: [(ticket: Int, transaction: NFTablesTransaction)] = []
    private var outcomes: [Int: Result<Void, any Error>] = [:]
    private var nextTicket = 0
    private var isWorking = false
    private var idle: [CheckedContinuation<Void, Never>] = []
    /// False until the whole table was written once.
    private var isInstalled = false

    init(bridge: String) throws {
        rules = FilterRules(bridge: bridge)
        model = FilterModel(rules: rules)
        connection = try FilterConnection()
    }

    /// Changes the model and the kernel. Returns when the rules are in force.
    ///
    /// - Throws: `PacketFilterError`; what the change would have added is then neither in the kernel nor in the model.
    func apply(_ change: FilterModel.Change) async throws {
        let transaction = model.apply(change)
        guard isInstalled, !transaction.isEmpty else { return }
        do {
            try await commit(transaction)
        } catch {
            switch change {
            case .publish(let ports): _ = model.apply(.unpublish(ports))
            case .addBridge(let bridge): _ = model.apply(.removeBridge(bridge.name))
            case .unpublish, .removeBridge: break
            }
            throw error
        }
        switch change {
        case .addBridge: await acceptInDockerUser()
        case .removeBridge(let name): await forgetInDockerUser(name)
        case .publish, .unpublish: break
        }
    }

    /// Whoever finds nobody at work takes all that is waiting, also the others'.
    private func commit(_ transaction: NFTablesTransaction) async throws {
        let ticket = nextTicket
        nextTicket += 1
        pending.append((ticket, transaction))
        while true {
            if let outcome = outcomes.removeValue(forKey: ticket) { return try outcome.get() }
            if isWorking {
                await withCheckedContinuation { idle.append($0) }
                continue
            }
            isWorking = true
            let batch = pending
            pending = []
            let outcome = await attempt(batch.reduce(into: NFTablesTransaction()) { $0.append($1.transaction) })
            for entry in batch { outcomes[entry.ticket] = outcome }
            isWorking = false
            let sleepers = idle
            idle = []
            for sleeper in sleepers { sleeper.resume() }
        }
    }

    private func attempt(_ transaction: NFTablesTransaction) async -> Result<Void, any Error> {
        do {
            try await run(transaction)
        } catch {
            // Somebody changed the table behind our back, or a change is refused: writing the whole table from the model tells which.
            do { try await run(model.everything) } catch { return .failure(error) }
        }
        return .success(())
    }

    /// Writes the whole table from the model: at start-up, and after somebody else changed it.
    func reinstall() async throws {
        isInstalled = true
        try await run(model.everything)
        await acceptInDockerUser()
    }

    /// Takes the table and what was put into DOCKER-USER away.
    func remove() async throws {
        isInstalled = false
        for name in model.bridges.keys { await forgetInDockerUser(name) }
        try await run(rules.absence)
    }

    private func run(_ transaction: NFTablesTransaction) async throws {
        let connection = connection
        try await NIOThreadPool.singleton.runIfActive { try connection.commit(transaction) }
    }

    // MARK: - Next to Docker

    /// Where Docker's FORWARD chain drops by policy, lets our bridges' packets through its DOCKER-USER chain. Our own rules still decide about them.
    ///
    /// Nothing happens where the chain does not exist: then nothing of Docker's stands in the way.
    func acceptInDockerUser() async {
        let names = model.bridges.keys.sorted()
        await editDockerUser { DockerUserChain.missing($0, bridges: names, rules: $1) }
    }

    private func forgetInDockerUser(_ bridge: String) async {
        await editDockerUser { DockerUserChain.stale($0, bridge: bridge, rules: $1) }
    }

    private func editDockerUser(_ edit: @escaping @Sendable (_ table: NFTablesTable, _ rules: [NFTablesRule]) -> NFTablesTransaction) async {
        let connection = connection
        for table in DockerUserChain.tables {
            do {
                try await NIOThreadPool.singleton.runIfActive {
                    guard let rules = try connection.rules(of: DockerUserChain.name, in: table) else { return }
                    try connection.commit(edit(table, rules))
                }
            } catch {
                // Losing a race with Docker, mostly; the monitor repairs that.
                Log.debug("chain \(DockerUserChain.name) of table \(table): \(error)")
            }
        }
    }
}
