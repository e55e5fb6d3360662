extension RuntimeSpec {
    /// The program of the container, or of `exec --process`.
    ///
    /// Spec: config.md#process.
    package struct Process: Codable, Sendable, Equatable {
        package var terminal: Bool
        /// Ignored without `terminal`.
        package var consoleSize: Optional<ConsoleSize>
        package var user: User
        /// As for execvp(3); at least one element when the container is started.
        package var args: [String]
        /// "NAME=value".
        package var env: [String]
        /// Absolute path inside the container.
        package var cwd: String
        package var capabilities: Optional<Capabilities>
        package var rlimits: [Rlimit]
        package var noNewPrivileges: Bool
        package var apparmorProfile: String?
        /// -1000 to 1000; unset leaves the inherited value.
        package var oomScoreAdj: Int?
        package var scheduler: Optional<Scheduler>
        package var selinuxLabel: String?
        package var ioPriority: Optional<IOPriority>
        /// Only for exec'd processes.
        package var execCPUAffinity: Optional<CPUAffinity>

        package init(
            terminal: Bool = false, consoleSize: ConsoleSize? = nil, user: User = User(), args: [String] = [], env: [String] = [], cwd: String,
            capabilities: Capabilities? = nil, rlimits: [Rlimit] = [], noNewPrivileges: Bool = false, apparmorProfile: String? = nil,
            oomScoreAdj: Int? = nil, scheduler: Scheduler? = nil, selinuxLabel: String? = nil, ioPriority: IOPriority? = nil,
            execCPUAffinity: CPUAffinity? = nil
        ) {
            self.terminal = terminal
            self.consoleSize = consoleSize
            self.user = user
            self.args = args
            self.env = env
            self.cwd = cwd
            self.capabilities = capabilities
            self.rlimits = rlimits
            self.noNewPrivileges = noNewPrivileges
            self.apparmorProfile = apparmorProfile
            self.oomScoreAdj = oomScoreAdj
            self.scheduler = scheduler
            self.selinuxLabel = selinuxLabel
            self.ioPriority = ioPriority
            self.execCPUAffinity = execCPUAffinity
        }
    }

    /// Terminal size in characters.
    package struct ConsoleSize: Codable, Sendable, Equatable {
        package var height: UInt16
        package var width: UInt16

        package init(height: UInt16, width: UInt16) {
            self.height = height
            self.width = width
        }
    }

    /// Numeric ids only: nobody below the daemons looks into a user database.
    package struct User: Codable, Sendable, Equatable {
        package var uid: UInt32
        package var gid: UInt32
        /// Unset leaves 0022.
        package var umask: UInt32?
        package var additionalGids: [UInt32]

        package init(uid: UInt32 = 0, gid: UInt32 = 0, umask: UInt32? = nil, additionalGids: [UInt32] = []) {
            self.uid = uid
            self.gid = gid
            self.umask = umask
            self.additionalGids = additionalGids
        }
    }

    /// Names such as "CAP_NET_BIND_SERVICE" in the five sets of capabilities(7).
    package struct Capabilities: Codable, Sendable, Equatable {
        package var bounding: [String]
        package var effective: [String]
        package var inheritable: [String]
        package var permitted: [String]
        package var ambient: [String]

        package init(
            bounding: [String] = [], effective: [String] = [], inheritable: [String] = [], permitted: [String] = [], ambient: [String] = []
        ) {
            self.bounding = bounding
            self.effective = effective
            self.inheritable = inheritable
            self.permitted = permitted
            self.ambient = ambient
        }
    }

    /// A limit of setrlimit(2).
    package struct Rlimit: Codable, Sendable, Equatable {
        /// "RLIMIT_NOFILE".
        package var type: String
        /// 18446744073709551615 is RLIM_INFINITY.
        package var soft: UInt64
        package var hard: UInt64

        package init(type: String, soft: UInt64, hard: UInt64) {
            self.type = type
            self.soft = soft
            self.hard = hard
        }
    }

    /// Arguments of sched_setattr(2).
    package struct Scheduler: Codable, Sendable, Equatable {
        /// "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE".
        package var policy: String
        /// For OTHER and BATCH.
        package var nice: Int32?
        /// For FIFO and RR.
        package var priority: Int32?
        /// "SCHED_FLAG_RESET_ON_FORK" ….
        package var flags: [String]
        /// Nanoseconds, for DEADLINE, as the two below.
        package var runtime: UInt64?
        package var deadline: UInt64?
        package var period: UInt64?

        package init(
            policy: String, nice: Int32? = nil, priority: Int32? = nil, flags: [String] = [], runtime: UInt64? = nil, deadline: UInt64? = nil,
            period: UInt64? = nil
        ) {
            self.policy = policy
            self.nice = nice
            self.priority = priority
            self.flags = flags
            self.runtime = runtime
            self.deadline = deadline
            self.period = period
        }
    }

    /// Arguments of ioprio_set(2).
    package struct IOPriority: Codable, Sendable, Equatable {
        /// "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE".
        package var `class`: String
        /// 0 (highest) to 7.
        /// Absent is 0, the highest.
        package var priority: Int?

        package init(`class`: String, priority: Int? = nil) {
            self.`class` = `class`
            self.priority = priority
        }
    }

    /// CPU lists ("0-3,7") of an exec'd process: before it enters the container's cgroup, and afterwards.
    package struct CPUAffinity: Codable, Sendable, Equatable {
        package var initial: String?
        package var final: String?

        package init(initial: String? = nil, final: String? = nil) {
            self.initial = initial
            self.final = final
        }
    }
}

extension RuntimeSpec.User {
    /// Absent ids are 0: other runtimes accept `"user": {}`.
    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            uid: try fields.decodeIfPresent(UInt32.self, forKey: .uid) ?? 0, gid: try fields.decodeIfPresent(UInt32.self, forKey: .gid) ?? 0,
            umask: try fields.decodeIfPresent(UInt32.self, forKey: .umask), additionalGids: try fields.decode([UInt32].self, forKey: .additionalGids))
    }
}
