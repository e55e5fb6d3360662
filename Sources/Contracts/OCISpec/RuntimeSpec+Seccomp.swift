package import JSONCodec

extension RuntimeSpec.Linux {
    /// A system call filter, whether or not somebody has read it yet: one like Docker's has four hundred names, of which nothing is wanted where the program that
    /// it becomes is known already.
    package enum SeccompProfile: Sendable {
        case known(Seccomp)
        case unread(JSONNode)

        /// All of it.
        package func read() throws(JSONError) -> Seccomp {
            switch self {
            case .known(let seccomp): return seccomp
            case .unread(let node):
                var seccomp = try frame()
                seccomp.syscalls = try node.object().list("syscalls")
                return seccomp
            }
        }

        /// All but its rules.
        package func frame() throws(JSONError) -> Seccomp {
            switch self {
            case .known(var seccomp):
                seccomp.syscalls = []
                return seccomp
            case .unread(let node):
                let object = try node.object()
                // An absent list means something else than an empty one.
                let flags: [String]? = if let member = object.member("flags") { try member.strings() } else { nil }
                return Seccomp(
                    defaultAction: try object.string("defaultAction"), defaultErrnoRet: try object.optionalInteger("defaultErrnoRet"),
                    architectures: try object.strings("architectures"), flags: flags, listenerPath: try object.optionalString("listenerPath"),
                    listenerMetadata: try object.optionalString("listenerMetadata"))
            }
        }

        /// What it says, in JSON. Two that differ here may still mean the same.
        package func text() throws(JSONError) -> [UInt8] {
            switch self {
            case .known(let seccomp): try JSON.encode(seccomp)
            case .unread(let node): node.text
            }
        }
    }

    /// A system call filter. Spec: config-linux.md#seccomp.
    package struct Seccomp: Codable, Sendable, Equatable {
        /// "SCMP_ACT_ERRNO" …, for every call that no rule names.
        package var defaultAction: String
        /// errno for ERRNO and TRACE; EPERM when unset.
        package var defaultErrnoRet: UInt32?
        /// "SCMP_ARCH_X86_64" …; the native one is always included.
        package var architectures: [String]
        /// "SECCOMP_FILTER_FLAG_LOG" …. An empty list asks for none, an absent one for what the runtime thinks best.
        package var flags: [String]?
        /// Unix socket that receives the notification descriptor of "SCMP_ACT_NOTIFY".
        package var listenerPath: String?
        /// Passed on to the listener as it is.
        package var listenerMetadata: String?
        package var syscalls: [SeccompRule]

        package init(
            defaultAction: String, defaultErrnoRet: UInt32? = nil, architectures: [String] = [], flags: [String]? = nil,
            listenerPath: String? = nil, listenerMetadata: String? = nil, syscalls: [SeccompRule] = []
        ) {
            self.defaultAction = defaultAction
            self.defaultErrnoRet = defaultErrnoRet
            self.architectures = architectures
            self.flags = flags
            self.listenerPath = listenerPath
            self.listenerMetadata = listenerMetadata
            self.syscalls = syscalls
        }
    }

    /// One rule: the calls in `names`, when all `args` hold, are answered with `action`.
    package struct SeccompRule: Codable, Sendable, Equatable {
        /// Names unknown to the machine's libseccomp are skipped.
        package var names: [String]
        package var action: String
        package var errnoRet: UInt32?
        package var args: [SeccompArgument]

        package init(names: [String] = [], action: String, errnoRet: UInt32? = nil, args: [SeccompArgument] = []) {
            self.names = names
            self.action = action
            self.errnoRet = errnoRet
            self.args = args
        }
    }

    /// A comparison of one argument of a system call.
    package struct SeccompArgument: Codable, Sendable, Equatable {
        /// 0 to 5.
        package var index: UInt32
        /// The mask for "SCMP_CMP_MASKED_EQ".
        package var value: UInt64
        /// The value compared with after masking.
        package var valueTwo: UInt64?
        /// "SCMP_CMP_NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ" with that prefix.
        package var op: String

        package init(index: UInt32, value: UInt64, valueTwo: UInt64? = nil, op: String) {
            self.index = index
            self.value = value
            self.valueTwo = valueTwo
            self.op = op
        }
    }
}

extension RuntimeSpec.Linux.SeccompProfile: Equatable {
    /// By what they say. One that cannot be read is like no other.
    package static func == (one: Self, other: Self) -> Bool {
        guard let one = try? one.read(), let other = try? other.read() else { return false }
        return one == other
    }
}

extension RuntimeSpec.Linux.SeccompProfile: JSONReadable {
    package init(json: JSONNode) { self = .unread(json) }
}

extension RuntimeSpec.Linux.SeccompProfile: Codable {
    package init(from decoder: any Decoder) throws { self = .known(try RuntimeSpec.Linux.Seccomp(from: decoder)) }
    package func encode(to encoder: any Encoder) throws { try read().encode(to: encoder) }
}

extension RuntimeSpec.Linux.SeccompRule: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            names: try object.strings("names"), action: try object.string("action"), errnoRet: try object.optionalInteger("errnoRet"),
            args: try object.list("args"))
    }
}

extension RuntimeSpec.Linux.SeccompArgument: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            index: try object.integer("index"), value: try object.integer("value"), valueTwo: try object.optionalInteger("valueTwo"),
            op: try object.string("op"))
    }
}
