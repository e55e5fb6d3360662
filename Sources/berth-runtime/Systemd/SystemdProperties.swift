import BerthDefaults
import Cgroups
import SystemdBus

/// Limits as properties of a unit.
///
/// Spec: systemd.resource-control(5). Older versions lack some properties; what they cannot be told is in the cgroup's files all the same.
enum SystemdProperties {
    typealias Property = SystemdManager.Property

    private static let unlimited = UInt64.max

    static func make(_ limits: inout CgroupLimits, isUnified: Bool, version: Int) throws(RuntimeError) -> [Property] {
        var list: [Property] = []
        if let rules = limits.devices { list += try devices(rules, version: version) }
        list += isUnified ? memoryV2(limits.memory) : memoryV1(limits.memory)
        list += try cpu(&limits.cpu, isUnified: isUnified, version: version)
        if let pids = limits.pids { list.append(Property("TasksMax", .uint64(pids < 0 ? unlimited : max(1, UInt64(pids))))) }
        if !isUnified, let weight = limits.blockIO.weight, weight != 0 { list.append(Property("BlockIOWeight", .uint64(UInt64(weight)))) }
        if isUnified { list += try unified(&limits.unified, version: version) }
        return list
    }

    private static func bytes(_ number: Int64) -> BusValue { .uint64(number < 0 ? unlimited : UInt64(number)) }

    private static func memoryV1(_ memory: CgroupLimits.Memory) -> [Property] {
        memory.limit.flatMap { $0 == 0 ? nil : [Property("MemoryLimit", bytes($0))] } ?? []
    }

    private static func memoryV2(_ memory: CgroupLimits.Memory) -> [Property] {
        var list: [Property] = []
        let limit = memory.limit ?? 0
        if limit != 0 { list.append(Property("MemoryMax", bytes(limit))) }
        if let reservation = memory.reservation, reservation != 0 { list.append(Property("MemoryLow", bytes(reservation))) }
        // v1 counts memory and swap together, v2 swap alone.
        if let swap = memory.swap, swap != 0 {
            list.append(Property("MemorySwapMax", bytes(swap < 0 || limit < 0 ? -1 : max(0, swap - limit))))
        } else if limit == -1 {
            list.append(Property("MemorySwapMax", bytes(-1)))
        }
        return list
    }

    private static func cpu(_ cpu: inout CgroupLimits.CPU, isUnified: Bool, version: Int) throws(RuntimeError) -> [Property] {
        var list: [Property] = []
        if isUnified {
            // A weight of 0 is how systemd spells cpu.idle.
            if cpu.idle == 1, version >= 252 {
                list.append(Property("CPUWeight", .uint64(0)))
            } else if let shares = cpu.shares, shares != 0 {
                list.append(Property("CPUWeight", .uint64(CgroupLimits.weight(shares: shares))))
            }
        } else if let shares = cpu.shares, shares != 0 {
            list.append(Property("CPUShares", .uint64(shares)))
        }
        list += quota(&cpu.quota, period: cpu.period, version: version)
        list += try set("AllowedCPUs", cpu.cpus, field: "linux.resources.cpu.cpus", version: version)
        list += try set("AllowedMemoryNodes", cpu.mems, field: "linux.resources.cpu.mems", version: version)
        return list
    }

    /// systemd keeps whole percents of a second and rounds up; the file gets the same, or the two would disagree.
    private static func quota(_ quota: inout Int64?, period: UInt64?, version: Int) -> [Property] {
        var list: [Property] = []
        let given = period.flatMap { $0 == 0 ? nil : $0 }
        if let given, version >= 242 { list.append(Property("CPUQuotaPeriodUSec", .uint64(given))) }
        let old = quota ?? 0
        if old == 0 && given == nil { return list }
        guard old > 0 else { return list + [Property("CPUQuotaPerSecUSec", .uint64(unlimited))] }
        let length = given ?? 100_000
        let exact = UInt64(old).multipliedReportingOverflow(by: 1_000_000)
        let perSecond = exact.overflow ? unlimited : exact.partialValue / length
        let rounded = perSecond % 10_000 == 0 || perSecond > unlimited - 10_000 ? perSecond : (perSecond / 10_000 + 1) * 10_000
        if rounded != perSecond { quota = Int64(clamping: rounded / 10_000 * length / 100) }
        return list + [Property("CPUQuotaPerSecUSec", .uint64(rounded))]
    }

    /// A list such as "0-3,7" as a bit for each, the lowest in the first byte.
    private static func set(_ name: String, _ text: String?, field: String, version: Int) throws(RuntimeError) -> [Property] {
        guard let text, !text.isEmpty, version >= 244 else { return [] }
        let numbers = try NumberList.parse(String(text.filter { $0 != " " && $0 != "\n" }), field: field, limit: 8192)
        guard let highest = numbers.max() else { throw RuntimeError(.invalidArgument, "\(field): \"\(text)\" is no list of numbers") }
        var bits = [UInt8](repeating: 0, count: highest / 8 + 1)
        for number in numbers { bits[number / 8] |= 1 << UInt8(number % 8) }
        return [Property(name, .array(of: "y", bits.map { .byte($0) }))]
    }

    // MARK: Devices

    private static func devices(_ rules: [DeviceRule], version: Int) throws(RuntimeError) -> [Property] {
        let allowed = try withCgroup { () throws(CgroupError) in try DeviceRule.allowList(rules) }
        // What is not a list of the allowed ones stays with the cgroup's own filter.
        guard let allowed else { return [Property("DevicePolicy", .string("auto")), Property("DeviceAllow", .array(of: "(ss)", []))] }
        let entries = allowed.compactMap { rule -> BusValue? in
            let kind = rule.kind == .block ? "block" : "char"
            let path: String
            switch (rule.major, rule.minor) {
            case (let major?, let minor?): path = "/dev/\(kind)/\(major):\(minor)"
            // By number since 240; before, by a name that need not exist.
            case (let major?, nil) where version >= 240: path = "\(kind)-\(major)"
            case (nil, nil): path = "\(kind)-*"
            default: return nil
            }
            return .structure([.string(path), .string(rule.access.letters)])
        }
        return [Property("DevicePolicy", .string("strict")), Property("DeviceAllow", .array(of: "(ss)", entries))]
    }

    // MARK: Files of v2

    private static func unified(_ files: inout [String: String], version: Int) throws(RuntimeError) -> [Property] {
        var list: [Property] = []
        let sizes = [
            "memory.high": "MemoryHigh", "memory.low": "MemoryLow", "memory.min": "MemoryMin", "memory.max": "MemoryMax", "memory.swap.max": "MemorySwapMax",
            "pids.max": "TasksMax",
        ]
        func number(_ file: String, _ text: Substring) throws(RuntimeError) -> UInt64 {
            if text == "max" { return unlimited }
            guard let value = UInt64(text) else { throw RuntimeError(.invalidArgument, "linux.resources.unified: \(file): \"\(text)\" is not a number") }
            return value
        }
        for (file, text) in files {
            let words = text.split { $0 == " " || $0 == "\n" || $0 == "\t" }
            guard let first = words.first else { continue }
            if let name = sizes[file] {
                list.append(Property(name, .uint64(try number(file, first))))
                continue
            }
            switch file {
            case "cpu.idle": if first == "1", version >= 252 { list.append(Property("CPUWeight", .uint64(0))) }
            case "cpu.weight": if files["cpu.idle"]?.hasPrefix("1") != true { list.append(Property("CPUWeight", .uint64(try number(file, first)))) }
            case "cpu.max":
                var value: Int64? = first == "max" ? -1 : Int64(clamping: try number(file, first))
                let period = words.count > 1 ? try number(file, words[1]) : 100_000
                list += quota(&value, period: period, version: version)
                if let value, value > 0 { files[file] = "\(value) \(period)" }
            case "cpuset.cpus": list += try set("AllowedCPUs", text, field: "linux.resources.unified: cpuset.cpus", version: version)
            case "cpuset.mems": list += try set("AllowedMemoryNodes", text, field: "linux.resources.unified: cpuset.mems", version: version)
            default: continue
            }
        }
        return list
    }
}
