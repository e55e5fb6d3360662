import TaskAPI

/// How a process ended.
struct ExitRecord: Equatable {
    let status: UInt32
    let time: Timestamp
}

/// The life of an init or exec process, as a pure state machine: events in, actions out.
///
///     creating ── created ── starting ── running ── stopped
///         └──────────┴───────────┴──────────┴───────▲
///
/// The kernel reports an exit whenever it pleases, even before the runtime has said that the process runs. Whoever follows the events must
/// see start before exit all the same, so an exit that comes while a start is under way is kept until that start has been answered.
struct ProcessState: Equatable {
    enum Phase: Equatable { case creating, created, starting, running, stopped }

    enum Action: Equatable {
        case publishStart
        case publishExit(ExitRecord)
    }

    private(set) var phase: Phase
    private(set) var exit: ExitRecord?
    private var heldExit: ExitRecord?

    /// An init process begins in `creating`, an exec, of which nothing exists before its start, in `created`.
    init(phase: Phase) { self.phase = phase }

    /// The runtime's `create` has ended well.
    mutating func created() -> [Action] {
        guard phase == .creating else { return [] }
        phase = .created
        return releaseHeldExit()
    }

    /// Start was asked for. False in any state but `created`.
    mutating func beginStart() -> Bool {
        guard phase == .created else { return false }
        phase = .starting
        return true
    }

    mutating func started() -> [Action] {
        guard phase == .starting else { return [] }
        phase = .running
        return [.publishStart] + releaseHeldExit()
    }

    /// The start failed. A process that exists (an init whose `start` failed) stays `created` until it ends; an exec is over: its failure is its exit.
    mutating func startFailed(processExists: Bool, at time: Timestamp) -> [Action] {
        guard phase == .starting else { return [] }
        if heldExit != nil { return releaseHeldExit() }
        phase = processExists ? .created : .stopped
        if !processExists { exit = ExitRecord(status: 255, time: time) }
        return []
    }

    /// The process was reaped.
    mutating func exited(_ record: ExitRecord) -> [Action] {
        switch phase {
        case .creating, .starting:
            heldExit = record
            return []
        case .created, .running:
            phase = .stopped
            exit = record
            return [.publishExit(record)]
        case .stopped: return []
        }
    }

    private mutating func releaseHeldExit() -> [Action] {
        guard let record = heldExit else { return [] }
        heldExit = nil
        phase = .stopped
        exit = record
        return [.publishExit(record)]
    }

    /// Reaped already, though perhaps not announced yet.
    var hasEnded: Bool { exit != nil || heldExit != nil }

    var taskStatus: TaskStatus {
        switch phase {
        case .creating, .created, .starting: .created
        case .running: .running
        case .stopped: .stopped
        }
    }
}
