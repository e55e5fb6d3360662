import Glibc
import LinuxSystem

extension Cgroup {
    package func statistics() -> CgroupStatistics {
        var statistics = CgroupStatistics()
        statistics.cpu = cpuStatistics()
        statistics.memory = v1Directory(of: "memory").map { memoryV1($0.path) } ?? v2.flatMap { memoryV2($0.path) }
        if let path = v1Directory(of: "pids")?.path ?? v2?.path, let current = CgroupFiles.number("\(path)/pids.current") {
            statistics.pids = .init(current: current, limit: CgroupFiles.number("\(path)/pids.max") ?? .max)
        }
        statistics.blockIO = v1Directory(of: "blkio").map { blockIOV1($0.path) } ?? v2.flatMap { blockIOV2($0.path) }
        statistics.hugepages = v1Directory(of: "hugetlb").map { hugepages($0.path, isV1: true) } ?? v2.map { hugepages($0.path, isV1: false) } ?? [:]
        if let path = v1Directory(of: "rdma")?.path ?? v2?.path {
            statistics.rdmaCurrent = rdma("\(path)/rdma.current")
            statistics.rdmaLimit = rdma("\(path)/rdma.max")
        }
        return statistics
    }

    // MARK: CPU

    private func cpuStatistics() -> CgroupStatistics.CPU? {
        var cpu = CgroupStatistics.CPU(), found = false
        if let account = v1Directory(of: "cpuacct")?.path {
            found = true
            cpu.total = CgroupFiles.number("\(account)/cpuacct.usage") ?? 0
            for (key, ticks) in CgroupFiles.keyed("\(account)/cpuacct.stat") {
                let nanoseconds = ticks &* (1_000_000_000 / UInt64(max(1, sysconf(CInt(_SC_CLK_TCK)))))
                if key == "user" { cpu.user = nanoseconds } else if key == "system" { cpu.system = nanoseconds }
            }
            cpu.perProcessor = (CgroupFiles.value("\(account)/cpuacct.usage_percpu") ?? "").fields(by: " ").compactMap { UInt64($0) }
        }
        if let scheduler = v1Directory(of: "cpu")?.path {
            found = true
            take(CgroupFiles.keyed("\(scheduler)/cpu.stat"), into: &cpu, hasUsage: false)
        } else if let v2 {
            let values = CgroupFiles.keyed("\(v2.path)/cpu.stat")
            found = found || !values.isEmpty
            take(values, into: &cpu, hasUsage: v1Directory(of: "cpuacct") == nil)
            cpu.pressure = pressure("\(v2.path)/cpu.pressure")
        }
        return found ? cpu : nil
    }

    private func take(_ values: [(key: String, value: UInt64)], into cpu: inout CgroupStatistics.CPU, hasUsage: Bool) {
        for (key, value) in values {
            switch key {
            case "usage_usec" where hasUsage: cpu.total = value &* 1000
            case "user_usec" where hasUsage: cpu.user = value &* 1000
            case "system_usec" where hasUsage: cpu.system = value &* 1000
            case "nr_periods": cpu.periods = value
            case "nr_throttled": cpu.throttledPeriods = value
            case "throttled_time": cpu.throttledTime = value
            case "throttled_usec": cpu.throttledTime = value &* 1000
            default: break
            }
        }
    }

    // MARK: Memory

    private func memoryV1(_ path: String) -> CgroupStatistics.Memory {
        func usage(_ name: String) -> CgroupStatistics.Usage? {
            let prefix = "\(path)/memory.\(name)"
            guard let usage = CgroupFiles.number("\(prefix)usage_in_bytes") else { return nil }
            return .init(
                usage: usage, maximum: CgroupFiles.number("\(prefix)max_usage_in_bytes") ?? 0,
                limit: CgroupFiles.number("\(prefix)limit_in_bytes") ?? 0, failures: CgroupFiles.number("\(prefix)failcnt") ?? 0)
        }
        var memory = CgroupStatistics.Memory()
        memory.usage = usage("") ?? .init()
        memory.swap = usage("memsw.")
        memory.kernel = usage("kmem.")
        memory.kernelTCP = usage("kmem.tcp.")
        memory.details = Dictionary(CgroupFiles.keyed("\(path)/memory.stat").map { ($0.key, $0.value) }) { $1 }
        memory.cache = memory.details["total_cache"] ?? memory.details["cache"] ?? 0
        memory.outOfMemoryKills = CgroupFiles.keyed("\(path)/memory.oom_control").first { $0.key == "oom_kill" }?.value ?? 0
        return memory
    }

    private func memoryV2(_ path: String) -> CgroupStatistics.Memory? {
        guard let usage = CgroupFiles.number("\(path)/memory.current") else { return nil }
        var memory = CgroupStatistics.Memory()
        let events = CgroupFiles.keyed("\(path)/memory.events")
        memory.usage = .init(
            usage: usage, maximum: CgroupFiles.number("\(path)/memory.peak") ?? 0, limit: CgroupFiles.number("\(path)/memory.max") ?? .max,
            failures: events.first { $0.key == "max" }?.value ?? 0)
        if let swap = CgroupFiles.number("\(path)/memory.swap.current") {
            memory.swap = .init(
                usage: swap, maximum: CgroupFiles.number("\(path)/memory.swap.peak") ?? 0,
                limit: CgroupFiles.number("\(path)/memory.swap.max") ?? .max)
        }
        memory.details = Dictionary(CgroupFiles.keyed("\(path)/memory.stat").map { ($0.key, $0.value) }) { $1 }
        memory.cache = memory.details["file"] ?? 0
        memory.outOfMemoryKills = events.first { $0.key == "oom_kill" }?.value ?? 0
        memory.pressure = pressure("\(path)/memory.pressure")
        return memory
    }

    // MARK: Block devices, huge pages, RDMA

    /// Lines of "8:0 Read 4096" and a total.
    private func blockIOV1(_ path: String) -> CgroupStatistics.BlockIO {
        func entries(_ files: [String]) -> [CgroupStatistics.BlockIOEntry] {
            for file in files {
                let found = (CgroupFiles.value("\(path)/\(file)") ?? "").fields(by: "\n").compactMap { line -> CgroupStatistics.BlockIOEntry? in
                    let fields = line.split(whereSeparator: { $0 == " " || $0 == ":" })
                    guard fields.count == 4, let major = UInt64(fields[0]), let minor = UInt64(fields[1]), let value = UInt64(fields[3]) else {
                        return nil
                    }
                    return .init(major: major, minor: minor, operation: String(fields[2]), value: value)
                }
                if !found.isEmpty { return found }
            }
            return []
        }
        return .init(
            bytes: entries(["blkio.bfq.io_service_bytes_recursive", "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"]),
            operations: entries(["blkio.bfq.io_serviced_recursive", "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"]))
    }

    /// Lines of "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
    private func blockIOV2(_ path: String) -> CgroupStatistics.BlockIO? {
        guard let text = CgroupFiles.value("\(path)/io.stat") else { return nil }
        var io = CgroupStatistics.BlockIO()
        for line in text.fields(by: "\n") {
            let fields = line.fields(by: " ")
            let device = (fields.first ?? "").fields(by: ":").compactMap { UInt64($0) }
            guard device.count == 2 else { continue }
            for field in fields.dropFirst() {
                let pair = field.fields(by: "=")
                guard pair.count == 2, let value = UInt64(pair[1]) else { continue }
                func entry(_ operation: String) -> CgroupStatistics.BlockIOEntry {
                    .init(major: device[0], minor: device[1], operation: operation, value: value)
                }
                switch pair[0] {
                case "rbytes": io.bytes.append(entry("Read"))
                case "wbytes": io.bytes.append(entry("Write"))
                case "dbytes": io.bytes.append(entry("Discard"))
                case "rios": io.operations.append(entry("Read"))
                case "wios": io.operations.append(entry("Write"))
                case "dios": io.operations.append(entry("Discard"))
                default: break
                }
            }
        }
        io.pressure = pressure("\(path)/io.pressure")
        return io
    }

    private func hugepages(_ path: String, isV1: Bool) -> [String: CgroupStatistics.Usage] {
        var found: [String: CgroupStatistics.Usage] = [:]
        let last = isV1 ? ".usage_in_bytes" : ".current"
        for name in (try? Files.entries(of: path)) ?? [] where name.hasPrefix("hugetlb.") && name.hasSuffix(last) && !name.contains(text: ".rsvd.") {
            let prefix = "\(path)/\(name.dropLast(last.count))"
            found[String(name.dropFirst("hugetlb.".count).dropLast(last.count))] =
                isV1
                ? .init(
                    usage: CgroupFiles.number("\(path)/\(name)") ?? 0, maximum: CgroupFiles.number("\(prefix).max_usage_in_bytes") ?? 0,
                    limit: CgroupFiles.number("\(prefix).limit_in_bytes") ?? 0, failures: CgroupFiles.number("\(prefix).failcnt") ?? 0)
                : .init(
                    usage: CgroupFiles.number("\(path)/\(name)") ?? 0, limit: CgroupFiles.number("\(prefix).max") ?? .max,
                    failures: CgroupFiles.keyed("\(prefix).events").first { $0.key == "max" }?.value ?? 0)
        }
        return found
    }

    private func rdma(_ path: String) -> [CgroupStatistics.Rdma] {
        (CgroupFiles.value(path) ?? "").fields(by: "\n").map { line in
            let fields = line.fields(by: " ")
            var entry = CgroupStatistics.Rdma(device: String(fields.first ?? ""), handles: 0, objects: 0)
            for field in fields.dropFirst() {
                let pair = field.fields(by: "=")
                guard pair.count == 2 else { continue }
                let value = pair[1] == "max" ? UInt64.max : UInt64(pair[1]) ?? 0
                if pair[0] == "hca_handle" { entry.handles = value } else if pair[0] == "hca_object" { entry.objects = value }
            }
            return entry
        }
    }

    /// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
    private func pressure(_ path: String) -> CgroupStatistics.Pressure? {
        guard let text = CgroupFiles.value(path) else { return nil }
        var pressure = CgroupStatistics.Pressure()
        for line in text.fields(by: "\n") {
            var values = CgroupStatistics.Pressure.Line()
            for field in line.fields(by: " ").dropFirst() {
                let pair = field.fields(by: "=")
                guard pair.count == 2 else { continue }
                switch pair[0] {
                case "avg10": values.average10 = Double(pair[1]) ?? 0
                case "avg60": values.average60 = Double(pair[1]) ?? 0
                case "avg300": values.average300 = Double(pair[1]) ?? 0
                default: values.total = UInt64(pair[1]) ?? 0
                }
            }
            if line.hasPrefix("some") { pressure.some = values } else { pressure.full = values }
        }
        return pressure
    }
}
