import LinuxSystem

/// One line of a container's device list.
package struct DeviceRule: Sendable, Equatable {
    package enum Kind: Character, Sendable { case all = "a", character = "c", block = "b" }

    package struct Access: OptionSet, Sendable, Hashable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }
        // Why not the library's: see `MountAttributes`.
        package init(arrayLiteral elements: Access...) { self.init(rawValue: elements.reduce(0) { $0 | $1.rawValue }) }
        package func contains(_ other: Access) -> Bool { rawValue & other.rawValue == other.rawValue }
        package mutating func insert(_ other: Access) { self = Access(rawValue: rawValue | other.rawValue) }
        package static func == (one: Access, other: Access) -> Bool { one.rawValue == other.rawValue }
        // The kernel's numbers (BPF_DEVCG_ACC_…).
        package static let mknod = Access(rawValue: 1)
        package static let read = Access(rawValue: 2)
        package static let write = Access(rawValue: 4)
        package static let all: Access = [.read, .write, .mknod]

        package var letters: String { (contains(.read) ? "r" : "") + (contains(.write) ? "w" : "") + (contains(.mknod) ? "m" : "") }
    }

    package var allow: Bool
    package var kind: Kind
    /// nil: every one.
    package var major: UInt32?, minor: UInt32?
    package var access: Access

    package init(allow: Bool, kind: Kind = .all, major: UInt32? = nil, minor: UInt32? = nil, access: Access = .all) {
        self.allow = allow
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access
    }

    /// What every container may use: mknod of anything (a node alone gives nothing), and the devices that the specification puts into /dev, the
    /// terminals, and tun, which the field has come to rely on.
    package static let defaults: [DeviceRule] =
        [
            DeviceRule(allow: true, kind: .character, access: .mknod), DeviceRule(allow: true, kind: .block, access: .mknod),
            DeviceRule(allow: true, kind: .character, major: 136),
        ]
        + [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (10, 200)].map {
            DeviceRule(allow: true, kind: .character, major: $0.0, minor: $0.1)
        }
}

extension DeviceRule {
    /// The rules as a list of what is allowed, everything else not; nil where by default everything is.
    package static func allowList(_ rules: [DeviceRule]) throws(CgroupError) -> [DeviceRule]? {
        let policy = try DevicePolicy(rules)
        if policy.allowsByDefault { return nil }
        return policy.exceptions.map { DeviceRule(allow: true, kind: $0.key.kind, major: $0.key.major, minor: $0.key.minor, access: $0.access) }
    }
}

/// A list of rules as a default and the exceptions from it: what v1 keeps, and a short program for v2.
struct DevicePolicy: Equatable {
    /// One device, or all with wildcards, and the accesses that are the exception.
    struct Key: Hashable {
        var kind: DeviceRule.Kind
        var major: UInt32?, minor: UInt32?

        func covers(_ other: Key) -> Bool {
            kind == other.kind && (major == nil || major == other.major) && (minor == nil || minor == other.minor)
        }
    }

    struct Exception: Equatable {
        var key: Key
        var access: DeviceRule.Access
    }

    private(set) var allowsByDefault = false
    private(set) var exceptions: [Exception] = []

    /// - Throws: `invalid` for a rule that would cut a hole into a wildcard, which neither version can express.
    init(_ rules: [DeviceRule]) throws(CgroupError) {
        for rule in rules {
            if rule.kind == .all && rule.major == nil && rule.minor == nil {
                // "a" alone is a new beginning, whatever accesses it names: so it is in the kernel.
                allowsByDefault = rule.allow
                exceptions = []
            } else {
                for kind in rule.kind == .all ? [.character, .block] : [rule.kind] {
                    try add(Exception(key: Key(kind: kind, major: rule.major, minor: rule.minor), access: rule.access), allow: rule.allow)
                }
            }
        }
    }

    private mutating func add(_ exception: Exception, allow: Bool) throws(CgroupError) {
        let position = exceptions.firstIndex { $0.key == exception.key }
        guard allow == allowsByDefault else {
            if let position { exceptions[position].access.formUnion(exception.access) } else { exceptions.append(exception) }
            return
        }
        // The rule says what holds by default, so it takes earlier exceptions back.
        func isCutBy(_ wider: Exception) -> Bool {
            wider.key != exception.key && wider.key.covers(exception.key) && !wider.access.isDisjoint(with: exception.access)
        }
        if let wider = exceptions.first(where: isCutBy) {
            throw .invalid("linux.resources.devices: a rule for \(exception.key) after one for \(wider.key) cannot be expressed")
        }
        exceptions = exceptions.compactMap { existing in
            guard exception.key.covers(existing.key) else { return existing }
            let left = existing.access.subtracting(exception.access)
            return left.isEmpty ? nil : Exception(key: existing.key, access: left)
        }
    }

    /// For v1: what is written to devices.deny and devices.allow, in this order.
    var writesV1: (reset: (file: String, value: String), file: String, values: [String]) {
        let reset = allowsByDefault ? ("devices.allow", "a") : ("devices.deny", "a")
        return (reset, allowsByDefault ? "devices.deny" : "devices.allow", exceptions.map { "\($0.key) \($0.access.letters)" })
    }
}

extension DevicePolicy.Key: CustomStringConvertible {
    /// As v1 writes it: "c 1:3".
    var description: String { "\(kind.rawValue) \(Self.shown(major)):\(Self.shown(minor))" }

    private static func shown(_ number: UInt32?) -> String { number.map { String(decimal: Int($0)) } ?? "*" }
}
