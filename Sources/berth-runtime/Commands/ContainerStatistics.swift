import Cgroups

/// The data of a "stats" event, with runc's names.
///
/// Facts: runc's types/events.go, which containerd-shim's and others' readers know.
struct ContainerStatistics: Encodable {
    struct Pressure: Encodable {
        struct Line: Encodable {
            let avg10: Double
            let avg60: Double
            let avg300: Double
            let total: UInt64

            init(_ line: CgroupStatistics.Pressure.Line) {
                (avg10, avg60, avg300, total) = (line.average10, line.average60, line.average300, line.total)
            }
        }

        let some: Line
        let full: Line

        init(_ pressure: CgroupStatistics.Pressure) { (some, full) = (Line(pressure.some), Line(pressure.full)) }
    }

    struct CPU: Encodable {
        struct Usage: Encodable {
            let total: UInt64
            let percpu: [UInt64]?
            let kernel: UInt64
            let user: UInt64
        }

        struct Throttling: Encodable {
            let periods: UInt64
            let throttledPeriods: UInt64
            let throttledTime: UInt64
        }

        let usage: Usage
        let throttling: Throttling
        let psi: Pressure?

        init(_ cpu: CgroupStatistics.CPU) {
            usage = Usage(total: cpu.total, percpu: cpu.perProcessor.isEmpty ? nil : cpu.perProcessor, kernel: cpu.system, user: cpu.user)
            throttling = Throttling(periods: cpu.periods, throttledPeriods: cpu.throttledPeriods, throttledTime: cpu.throttledTime)
            psi = cpu.pressure.map(Pressure.init)
        }
    }

    struct Memory: Encodable {
        struct Entry: Encodable {
            let limit: UInt64
            let usage: UInt64
            let max: UInt64
            let failcnt: UInt64

            init(_ usage: CgroupStatistics.Usage?) {
                limit = usage?.limit ?? 0
                self.usage = usage?.usage ?? 0
                max = usage?.maximum ?? 0
                failcnt = usage?.failures ?? 0
            }
        }

        let cache: UInt64
        let usage: Entry
        let swap: Entry
        let kernel: Entry
        let kernelTCP: Entry
        let raw: [String: UInt64]
        let psi: Pressure?

        init(_ memory: CgroupStatistics.Memory) {
            cache = memory.cache
            (usage, kernel, kernelTCP) = (Entry(memory.usage), Entry(memory.kernel), Entry(memory.kernelTCP))
            swap = Entry(memory.swap)
            raw = memory.details
            psi = memory.pressure.map(Pressure.init)
        }
    }

    struct Pids: Encodable {
        let current: UInt64
        /// Absent without a limit.
        let limit: UInt64?
    }

    struct BlockIO: Encodable {
        struct Entry: Encodable {
            let major: UInt64
            let minor: UInt64
            let op: String
            let value: UInt64

            init(_ entry: CgroupStatistics.BlockIOEntry) {
                (major, minor, op, value) = (entry.major, entry.minor, entry.operation, entry.value)
            }
        }

        let ioServiceBytesRecursive: [Entry]
        let ioServicedRecursive: [Entry]
        let psi: Pressure?
    }

    struct Hugepages: Encodable {
        let usage: UInt64
        let max: UInt64
        let failcnt: UInt64
    }

    struct Empty: Encodable {}

    let cpu: CPU
    let memory: Memory
    let pids: Pids
    let blkio: BlockIO
    let hugetlb: [String: Hugepages]
    let intelRdt = Empty()
    let networkInterfaces: [String] = []

    private enum CodingKeys: String, CodingKey {
        case cpu, memory, pids, blkio, hugetlb
        case intelRdt = "intel_rdt"
        case networkInterfaces = "network_interfaces"
    }

    init(_ statistics: CgroupStatistics) {
        cpu = CPU(statistics.cpu ?? .init())
        memory = Memory(statistics.memory ?? .init())
        let limit = statistics.pids?.limit ?? .max
        pids = Pids(current: statistics.pids?.current ?? 0, limit: limit == .max ? nil : limit)
        let io = statistics.blockIO
        blkio = BlockIO(
            ioServiceBytesRecursive: (io?.bytes ?? []).map(BlockIO.Entry.init), ioServicedRecursive: (io?.operations ?? []).map(BlockIO.Entry.init),
            psi: io?.pressure.map(Pressure.init))
        hugetlb = statistics.hugepages.mapValues { Hugepages(usage: $0.usage, max: $0.maximum, failcnt: $0.failures) }
    }
}
