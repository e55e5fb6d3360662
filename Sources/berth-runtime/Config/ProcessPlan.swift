import BerthDefaults
import Glibc
import LinuxSystem
import OCISpec

/// What becomes of the init or of an exec'd process just before its program starts: `RuntimeSpec.Process` with every name translated.
struct ProcessPlan {
    struct Limit {
        let name: String
        let resource: CInt
        let soft: UInt64
        let hard: UInt64
    }

    struct Scheduler {
        let policy: UInt32
        let nice: Int32
        let priority: UInt32
        let flags: UInt64
        let runtime: UInt64
        let deadline: UInt64
        let period: UInt64
    }

    let arguments: [String]
    var environment: [String]
    let cwd: String
    let uid: UInt32
    let gid: UInt32
    let groups: [UInt32]
    let umask: UInt32
    let capabilities: RuntimeSpec.Capabilities?
    let limits: [Limit]
    let noNewPrivileges: Bool
    let apparmorProfile: String?
    let selinuxLabel: String?
    let oomScoreAdj: Int?
    let scheduler: Scheduler?
    let ioPriority: (class: CInt, level: CInt)?
    /// Of an exec'd process, before and after it enters the cgroup; empty leaves them alone.
    let initialCPUs: [Int]
    let finalCPUs: [Int]
    let terminal: Bool
    let consoleSize: RuntimeSpec.ConsoleSize?

    /// Of a container that was created without a process: there is nothing to start.
    var hasProgram: Bool { !arguments.isEmpty }

    static func withoutProgram() throws(RuntimeError) -> ProcessPlan { try ProcessPlan(RuntimeSpec.Process(args: [], cwd: "/"), needsProgram: false) }

    init(_ process: RuntimeSpec.Process, needsProgram: Bool = true) throws(RuntimeError) {
        try Self.check(process)
        if needsProgram && process.args.isEmpty { throw RuntimeError(.invalidArgument, "args must not be empty") }
        arguments = process.args
        environment = process.env
        cwd = process.cwd
        uid = process.user.uid
        gid = process.user.gid
        groups = process.user.additionalGids
        umask = process.user.umask ?? 0o022
        capabilities = process.capabilities
        limits = try Self.limits(process.rlimits)
        noNewPrivileges = process.noNewPrivileges
        apparmorProfile = process.apparmorProfile.flatMap { $0.isEmpty ? nil : $0 }
        selinuxLabel = process.selinuxLabel.flatMap { $0.isEmpty ? nil : $0 }
        oomScoreAdj = process.oomScoreAdj
        scheduler = try process.scheduler.map(Self.scheduler)
        ioPriority = try process.ioPriority.map(Self.ioPriority)
        initialCPUs = try NumberList.parse(process.execCPUAffinity?.initial ?? "", field: "process.execCPUAffinity.initial", limit: 8192)
        finalCPUs = try NumberList.parse(process.execCPUAffinity?.final ?? "", field: "process.execCPUAffinity.final", limit: 8192)
        terminal = process.terminal
        consoleSize = process.consoleSize
    }

    /// What runc's `validateProcessSpec` refuses, and strings that a C program cannot be given.
    private static func check(_ process: RuntimeSpec.Process) throws(RuntimeError) {
        if process.cwd.isEmpty { throw RuntimeError(.invalidArgument, "Cwd property must not be empty") }
        if !process.cwd.isAbsolutePath { throw RuntimeError(.invalidArgument, "Cwd must be an absolute path") }
        func check(_ name: String, _ texts: [String]) throws(RuntimeError) {
            for text in texts where text.contains(byte: 0) { throw RuntimeError(.invalidArgument, "process.\(name): a NUL character") }
        }
        try check("args", process.args)
        try check("env", process.env)
        try check("cwd", [process.cwd])
        func check(_ name: String, _ id: UInt32) throws(RuntimeError) {
            if id == .max { throw RuntimeError(.invalidArgument, "process.user.\(name): \(id) is not a valid id") }
        }
        try check("uid", process.user.uid)
        try check("gid", process.user.gid)
        if let score = process.oomScoreAdj, !(-1000...1000).contains(score) {
            throw RuntimeError(.invalidArgument, "process.oomScoreAdj: \(score) is not between -1000 and 1000")
        }
    }

    /// In the order of their numbers.
    private static let resources: [String] = [
        "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE", "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK",
        "RLIMIT_AS", "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE", "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
    ]

    private static func limits(_ limits: [RuntimeSpec.Rlimit]) throws(RuntimeError) -> [Limit] {
        var result: [Limit] = []
        for limit in limits {
            guard let resource = resources.firstIndex(of: limit.type).map(CInt.init) else { throw RuntimeError(.invalidArgument, "invalid rlimit type: \(limit.type)") }
            if result.contains(where: { $0.resource == resource }) { throw RuntimeError(.invalidArgument, "process.rlimits: \(limit.type) is given twice") }
            result.append(Limit(name: limit.type, resource: resource, soft: limit.soft, hard: limit.hard))
        }
        return result
    }

    private static func scheduler(_ scheduler: RuntimeSpec.Scheduler) throws(RuntimeError) -> Scheduler {
        let policies: [String: UInt32] = [
            "SCHED_OTHER": 0, "SCHED_FIFO": 1, "SCHED_RR": 2, "SCHED_BATCH": 3, "SCHED_ISO": 4, "SCHED_IDLE": 5, "SCHED_DEADLINE": 6,
        ]
        let flagBits: [String: UInt64] = [
            "SCHED_FLAG_RESET_ON_FORK": 0x01, "SCHED_FLAG_RECLAIM": 0x02, "SCHED_FLAG_DL_OVERRUN": 0x04, "SCHED_FLAG_KEEP_POLICY": 0x08,
            "SCHED_FLAG_KEEP_PARAMS": 0x10, "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20, "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
        ]
        guard let policy = policies[scheduler.policy] else { throw RuntimeError(.invalidArgument, "invalid scheduler policy: \(scheduler.policy)") }
        var flags: UInt64 = 0
        for name in scheduler.flags {
            guard let bit = flagBits[name] else { throw RuntimeError(.invalidArgument, "invalid scheduler flag: \(name)") }
            flags |= bit
        }
        let nice = scheduler.nice ?? 0
        if !(-20...19).contains(nice) { throw RuntimeError(.invalidArgument, "process.scheduler.nice: \(nice) is not between -20 and 19") }
        let priority = scheduler.priority ?? 0
        if priority != 0 && policy != 1 && policy != 2 {
            throw RuntimeError(.invalidArgument, "scheduler.priority can only be specified for SchedFIFO or SchedRR policy")
        }
        return Scheduler(
            policy: policy, nice: nice, priority: UInt32(max(0, priority)), flags: flags, runtime: scheduler.runtime ?? 0,
            deadline: scheduler.deadline ?? 0, period: scheduler.period ?? 0)
    }

    private static func ioPriority(_ priority: RuntimeSpec.IOPriority) throws(RuntimeError) -> (class: CInt, level: CInt) {
        let classes: [String: CInt] = ["IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3]
        guard let number = classes[priority.class] else { throw RuntimeError(.invalidArgument, "invalid io priority class: \(priority.class)") }
        let level = priority.priority ?? 0
        guard (0...7).contains(level) else { throw RuntimeError(.invalidArgument, "process.ioPriority.priority: \(level) is not between 0 and 7") }
        return (number, CInt(level))
    }
}
