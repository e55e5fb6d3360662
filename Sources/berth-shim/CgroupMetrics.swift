import CProtobufC
import Cgroups
import TaskAPI

/// A cgroup's statistics as containerd's clients read them: `io.containerd.cgroups.v1.Metrics` or `….v2.Metrics`.
enum CgroupMetrics {
    static func message(_ statistics: CgroupStatistics, isUnified: Bool) -> AnyMessage { isUnified ? v2(statistics) : v1(statistics) }

    // MARK: v1: nanoseconds

    private static func v1(_ statistics: CgroupStatistics) -> AnyMessage {
        let arena = MessageArena()
        let message = arena.make(io__containerd__cgroups__v1__metrics__init)
        if let pids = statistics.pids {
            let part = arena.make(io__containerd__cgroups__v1__pids_stat__init)
            // Unlimited is 0 here.
            (part.pointee.current, part.pointee.limit) = (pids.current, pids.limit == .max ? 0 : pids.limit)
            message.pointee.pids = part
        }
        if let cpu = statistics.cpu {
            let usage = arena.make(io__containerd__cgroups__v1__cpuusage__init)
            (usage.pointee.total, usage.pointee.kernel, usage.pointee.user) = (cpu.total, cpu.system, cpu.user)
            usage.pointee.n_per_cpu = cpu.perProcessor.count
            usage.pointee.per_cpu = arena.numbers(cpu.perProcessor)
            let throttle = arena.make(io__containerd__cgroups__v1__throttle__init)
            (throttle.pointee.periods, throttle.pointee.throttled_periods, throttle.pointee.throttled_time) = (cpu.periods, cpu.throttledPeriods, cpu.throttledTime)
            let part = arena.make(io__containerd__cgroups__v1__cpustat__init)
            (part.pointee.usage, part.pointee.throttling) = (usage, throttle)
            message.pointee.cpu = part
        }
        if let memory = statistics.memory {
            message.pointee.memory = memoryV1(memory, arena)
            let control = arena.make(io__containerd__cgroups__v1__memory_oom_control__init)
            control.pointee.oom_kill = memory.outOfMemoryKills
            message.pointee.memory_oom_control = control
        }
        if let io = statistics.blockIO {
            let part = arena.make(io__containerd__cgroups__v1__blk_iostat__init)
            part.pointee.n_io_service_bytes_recursive = io.bytes.count
            part.pointee.io_service_bytes_recursive = arena.list(io.bytes.map { entryV1($0, arena) })
            part.pointee.n_io_serviced_recursive = io.operations.count
            part.pointee.io_serviced_recursive = arena.list(io.operations.map { entryV1($0, arena) })
            message.pointee.blkio = part
        }
        let pages = statistics.hugepages.sorted { $0.key < $1.key }.map { size, usage in
            let part = arena.make(io__containerd__cgroups__v1__hugetlb_stat__init)
            part.pointee.pagesize = arena.string(size)
            (part.pointee.usage, part.pointee.max, part.pointee.failcnt) = (usage.usage, usage.maximum, usage.failures)
            return part
        }
        message.pointee.n_hugetlb = pages.count
        message.pointee.hugetlb = arena.list(pages)
        return AnyMessage(typeURL: "io.containerd.cgroups.v1.Metrics", value: arena.pack(message))
    }

    private static func entryV1(_ entry: CgroupStatistics.BlockIOEntry, _ arena: MessageArena) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V1__BlkIOEntry> {
        let part = arena.make(io__containerd__cgroups__v1__blk_ioentry__init)
        part.pointee.op = arena.string(entry.operation)
        (part.pointee.major, part.pointee.minor, part.pointee.value) = (entry.major, entry.minor, entry.value)
        return part
    }

    private static func memoryV1(_ memory: CgroupStatistics.Memory, _ arena: MessageArena) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V1__MemoryStat> {
        typealias Field = WritableKeyPath<Io__Containerd__Cgroups__V1__MemoryStat, UInt64>
        let part = arena.make(io__containerd__cgroups__v1__memory_stat__init)
        let fields: [(String, Field, Field)] = [
            ("cache", \.cache, \.total_cache), ("rss", \.rss, \.total_rss), ("rss_huge", \.rss_huge, \.total_rss_huge),
            ("mapped_file", \.mapped_file, \.total_mapped_file), ("dirty", \.dirty, \.total_dirty), ("writeback", \.writeback, \.total_writeback),
            ("pgpgin", \.pg_pg_in, \.total_pg_pg_in), ("pgpgout", \.pg_pg_out, \.total_pg_pg_out), ("pgfault", \.pg_fault, \.total_pg_fault),
            ("pgmajfault", \.pg_maj_fault, \.total_pg_maj_fault), ("inactive_anon", \.inactive_anon, \.total_inactive_anon),
            ("active_anon", \.active_anon, \.total_active_anon), ("inactive_file", \.inactive_file, \.total_inactive_file),
            ("active_file", \.active_file, \.total_active_file), ("unevictable", \.unevictable, \.total_unevictable),
        ]
        for (name, own, total) in fields {
            part.pointee[keyPath: own] = memory.details[name] ?? 0
            part.pointee[keyPath: total] = memory.details["total_" + name] ?? 0
        }
        part.pointee.hierarchical_memory_limit = memory.details["hierarchical_memory_limit"] ?? 0
        part.pointee.hierarchical_swap_limit = memory.details["hierarchical_memsw_limit"] ?? 0
        func entry(_ usage: CgroupStatistics.Usage?) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V1__MemoryEntry>? {
            guard let usage else { return nil }
            let entry = arena.make(io__containerd__cgroups__v1__memory_entry__init)
            (entry.pointee.limit, entry.pointee.usage, entry.pointee.max, entry.pointee.failcnt) = (usage.limit, usage.usage, usage.maximum, usage.failures)
            return entry
        }
        (part.pointee.usage, part.pointee.swap) = (entry(memory.usage), entry(memory.swap))
        (part.pointee.kernel, part.pointee.kernel_tcp) = (entry(memory.kernel), entry(memory.kernelTCP))
        return part
    }

    // MARK: v2: microseconds

    private static func v2(_ statistics: CgroupStatistics) -> AnyMessage {
        let arena = MessageArena()
        let message = arena.make(io__containerd__cgroups__v2__metrics__init)
        if let pids = statistics.pids {
            let part = arena.make(io__containerd__cgroups__v2__pids_stat__init)
            (part.pointee.current, part.pointee.limit) = (pids.current, pids.limit)
            message.pointee.pids = part
        }
        if let cpu = statistics.cpu {
            let part = arena.make(io__containerd__cgroups__v2__cpustat__init)
            (part.pointee.usage_usec, part.pointee.user_usec, part.pointee.system_usec) = (cpu.total / 1000, cpu.user / 1000, cpu.system / 1000)
            (part.pointee.nr_periods, part.pointee.nr_throttled, part.pointee.throttled_usec) = (cpu.periods, cpu.throttledPeriods, cpu.throttledTime / 1000)
            part.pointee.psi = pressure(cpu.pressure, arena)
            message.pointee.cpu = part
        }
        if let memory = statistics.memory {
            message.pointee.memory = memoryV2(memory, arena)
            let events = arena.make(io__containerd__cgroups__v2__memory_events__init)
            (events.pointee.oom_kill, events.pointee.max) = (memory.outOfMemoryKills, memory.usage.failures)
            message.pointee.memory_events = events
        }
        if let io = statistics.blockIO {
            let part = arena.make(io__containerd__cgroups__v2__iostat__init)
            let entries = ioV2(io, arena)
            part.pointee.n_usage = entries.count
            part.pointee.usage = arena.list(entries)
            part.pointee.psi = pressure(io.pressure, arena)
            message.pointee.io = part
        }
        let pages = statistics.hugepages.sorted { $0.key < $1.key }.map { size, usage in
            let part = arena.make(io__containerd__cgroups__v2__huge_tlb_stat__init)
            part.pointee.pagesize = arena.string(size)
            (part.pointee.current, part.pointee.max, part.pointee.failcnt) = (usage.usage, usage.limit, usage.failures)
            return part
        }
        message.pointee.n_hugetlb = pages.count
        message.pointee.hugetlb = arena.list(pages)
        return AnyMessage(typeURL: "io.containerd.cgroups.v2.Metrics", value: arena.pack(message))
    }

    private static func memoryV2(_ memory: CgroupStatistics.Memory, _ arena: MessageArena) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V2__MemoryStat> {
        let part = arena.make(io__containerd__cgroups__v2__memory_stat__init)
        let fields: [(String, WritableKeyPath<Io__Containerd__Cgroups__V2__MemoryStat, UInt64>)] = [
            ("anon", \.anon), ("file", \.file), ("kernel_stack", \.kernel_stack), ("slab", \.slab), ("sock", \.sock), ("shmem", \.shmem),
            ("file_mapped", \.file_mapped), ("file_dirty", \.file_dirty), ("file_writeback", \.file_writeback), ("anon_thp", \.anon_thp),
            ("inactive_anon", \.inactive_anon), ("active_anon", \.active_anon), ("inactive_file", \.inactive_file), ("active_file", \.active_file),
            ("unevictable", \.unevictable), ("slab_reclaimable", \.slab_reclaimable), ("slab_unreclaimable", \.slab_unreclaimable),
            ("pgfault", \.pgfault), ("pgmajfault", \.pgmajfault), ("workingset_refault", \.workingset_refault),
            ("workingset_activate", \.workingset_activate), ("workingset_nodereclaim", \.workingset_nodereclaim), ("pgrefill", \.pgrefill),
            ("pgscan", \.pgscan), ("pgsteal", \.pgsteal), ("pgactivate", \.pgactivate), ("pgdeactivate", \.pgdeactivate),
            ("pglazyfree", \.pglazyfree), ("pglazyfreed", \.pglazyfreed), ("thp_fault_alloc", \.thp_fault_alloc),
            ("thp_collapse_alloc", \.thp_collapse_alloc),
        ]
        for (name, field) in fields { part.pointee[keyPath: field] = memory.details[name] ?? 0 }
        (part.pointee.usage, part.pointee.usage_limit, part.pointee.max_usage) = (memory.usage.usage, memory.usage.limit, memory.usage.maximum)
        if let swap = memory.swap {
            (part.pointee.swap_usage, part.pointee.swap_limit, part.pointee.swap_max_usage) = (swap.usage, swap.limit, swap.maximum)
        }
        part.pointee.psi = pressure(memory.pressure, arena)
        return part
    }

    /// One entry per device, where the statistics have one per device and operation.
    private static func ioV2(_ io: CgroupStatistics.BlockIO, _ arena: MessageArena) -> [UnsafeMutablePointer<Io__Containerd__Cgroups__V2__IOEntry>] {
        var entries: [UnsafeMutablePointer<Io__Containerd__Cgroups__V2__IOEntry>] = []
        func find(_ entry: CgroupStatistics.BlockIOEntry) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V2__IOEntry> {
            if let known = entries.first(where: { $0.pointee.major == entry.major && $0.pointee.minor == entry.minor }) { return known }
            let new = arena.make(io__containerd__cgroups__v2__ioentry__init)
            (new.pointee.major, new.pointee.minor) = (entry.major, entry.minor)
            entries.append(new)
            return new
        }
        for entry in io.bytes {
            if entry.operation == "Read" { find(entry).pointee.rbytes = entry.value } else if entry.operation == "Write" { find(entry).pointee.wbytes = entry.value }
        }
        for entry in io.operations {
            if entry.operation == "Read" { find(entry).pointee.rios = entry.value } else if entry.operation == "Write" { find(entry).pointee.wios = entry.value }
        }
        return entries
    }

    private static func pressure(_ pressure: CgroupStatistics.Pressure?, _ arena: MessageArena) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V2__PSIStats>? {
        guard let pressure else { return nil }
        func line(_ line: CgroupStatistics.Pressure.Line) -> UnsafeMutablePointer<Io__Containerd__Cgroups__V2__PSIData> {
            let data = arena.make(io__containerd__cgroups__v2__psidata__init)
            (data.pointee.avg10, data.pointee.avg60, data.pointee.avg300, data.pointee.total) = (line.average10, line.average60, line.average300, line.total)
            return data
        }
        let part = arena.make(io__containerd__cgroups__v2__psistats__init)
        (part.pointee.some, part.pointee.full) = (line(pressure.some), line(pressure.full))
        return part
    }
}
