import BerthDefaults
import Cgroups
import Glibc
import LinuxSystem

/// `events`: statistics of a container, again and again or once, and its OOM kills, one line of JSON each.
enum EventsCommand {
    static var specs: [OptionSpec] {
        [OptionSpec("stats", nil, .flag, "print the statistics once"), OptionSpec("interval", nil, .value, "time between statistics, default 5s")]
    }

    static func run(_ options: ParsedOptions, _ global: GlobalOptions) throws(RuntimeError) -> CInt {
        let id = try soleArgument(options, "events")
        let text = options["interval"] ?? "5s"
        guard let interval = Interval.milliseconds(text) else {
            throw RuntimeError(.invalidArgument, "invalid value \"\(text)\" for flag -interval: not a duration")
        }
        if interval <= 0 { throw RuntimeError(.invalidArgument, "duration interval must be greater than 0") }
        let directory = try ContainerDirectory.open(root: global.root, id: id)
        let record = try directory.record()
        guard directory.status(record).hasInit, let identity = record.initProcess else {
            throw RuntimeError(.failedPrecondition, "container with id \(id) is not running")
        }
        if record.cgroup.isNone { throw RuntimeError(.failedPrecondition, "the container has no cgroup of its own, which would count what it uses") }
        if options.has("stats") {
            try write("stats", id, ContainerStatistics(record.cgroup.statistics()))
            return 0
        }
        try follow(id, record.cgroup, identity, interval)
        return 0
    }

    /// Until the container's process ends.
    private static func follow(_ id: String, _ cgroup: Cgroup, _ identity: ProcessIdentity, _ interval: CInt) throws(RuntimeError) {
        let epoll = try attempt { () throws(SystemError) in try Epoll() }
        let process = try attempt { () throws(SystemError) in try Processes.open(identity.pid) }
        // Looked at after the descriptor was opened: it is that process or none.
        guard identity.isAlive else { return }
        try attempt { () throws(SystemError) in try epoll.add(process.rawValue, .read, token: 0) }
        // The watch itself cannot be kept in an optional that is changed, so a machine without a memory controller has its own loop.
        guard var watch = try withCgroup({ () throws(CgroupError) in try OutOfMemoryWatch(cgroup) }) else {
            var hasEnded = false
            while !hasEnded { try tick(epoll, interval, id, cgroup, &hasEnded) { _ in } }
            return
        }
        try attempt { () throws(SystemError) in try epoll.add(watch.descriptor.rawValue, .read, token: 1) }
        var hasEnded = false, kills = 0
        while !hasEnded {
            try tick(epoll, interval, id, cgroup, &hasEnded) { token in if token == 1 { kills += 1 } }
            if kills > 0, watch.take() { try write("oom", id, nil) }
            kills = 0
        }
    }

    /// Waits for an event, or until the next statistics are due.
    private static func tick(
        _ epoll: borrowing Epoll, _ interval: CInt, _ id: String, _ cgroup: Cgroup, _ hasEnded: inout Bool, _ other: (UInt64) -> Void
    ) throws(RuntimeError) {
        var isDue = true, ended = false
        epoll.wait(milliseconds: interval) { token, _ in
            isDue = false
            if token == 0 { ended = true } else { other(token) }
        }
        hasEnded = ended
        if isDue { try write("stats", id, ContainerStatistics(cgroup.statistics())) }
    }

    private struct Event: Encodable {
        let type: String
        let id: String
        let data: ContainerStatistics?
    }

    private static func write(_ type: String, _ id: String, _ data: ContainerStatistics?) throws(RuntimeError) {
        try Output.write(try ConfigLoader.encode(Event(type: type, id: id, data: data)) + [UInt8(ascii: "\n")])
    }
}

/// Durations in Go's form: "5s", "1m30s", "100ms".
enum Interval {
    static func milliseconds(_ text: String) -> CInt? {
        let units: [(String, Double)] = [("ms", 1), ("us", 0.001), ("µs", 0.001), ("ns", 0.000_001), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]
        var rest = text[...], total = 0.0, found = false
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isDigit || $0 == "." }
            guard let number = Double(digits), let unit = units.first(where: { rest.dropFirst(digits.count).hasPrefix($0.0) }) else { return nil }
            total += number * unit.1
            rest = rest.dropFirst(digits.count + unit.0.count)
            found = true
        }
        guard found, total < 2_000_000_000 else { return nil }
        // Less than a millisecond is one, nothing is nothing.
        return total == 0 ? 0 : max(1, CInt(total))
    }
}
