import DockerAPI
import Glibc
import LinuxSystem

/// `docker top`: the processes of a container, read from procfs.
///
/// dockerd runs the host's ps(1) and filters its table; here no program is started. The default columns and those of the common `ps` options are known,
/// anything else is refused.
struct TopService: Sendable {
    let environment: ContainerEnvironment

    func top(_ nameOrID: String, arguments: String) async throws -> ContainerTop {
        let container = try environment.store.find(nameOrID)
        try container.lifecycle.requireRunning(id: container.id)
        let columns = try Self.columns(arguments)
        let pids = try await environment.supervisor.pids(id: container.id)
        let users = UserDatabase(passwd: (try? Files.readText("/etc/passwd")) ?? "", group: "")
        let uptime = Double(((try? Files.readText("/proc/uptime")) ?? "0").split(separator: " ").first ?? "0") ?? 0
        let rows = pids.sorted().compactMap { pid in ProcessRow(pid: pid, uptime: uptime).map { row in columns.map { $0.value(row, users) } } }
        environment.publish("top", container.record)
        return ContainerTop(Titles: columns.map(\.title), Processes: rows)
    }

    struct Column: Sendable {
        let title: String
        let value: @Sendable (ProcessRow, UserDatabase) -> String
    }

    private static let full: [String] = ["user=UID", "pid=PID", "ppid=PPID", "c=C", "stime=STIME", "tty=TTY", "time=TIME", "args=CMD"]

    private static func columns(_ text: String) throws -> [Column] {
        let words = text.split(separator: " ").map(String.init)
        switch words.joined(separator: " ") {
        case "", "-ef": return try full.map(column)
        case "aux", "-aux": return try ["user=USER", "pid=PID", "pcpu=%CPU", "pmem=%MEM", "vsz=VSZ", "rss=RSS", "tty=TTY", "stat=STAT", "stime=START", "time=TIME", "args=COMMAND"].map(column)
        default: break
        }
        var names: [String] = []
        var index = 0
        while index < words.count {
            let word = words[index]
            if word == "-o" || word == "-eo" || word == "-Ao", index + 1 < words.count {
                names += words[index + 1].split(separator: ",").map(String.init)
                index += 2
            } else if word.hasPrefix("-o"), word.count > 2 {
                names += word.dropFirst(2).split(separator: ",").map(String.init)
                index += 1
            } else if word == "-e" || word == "-A" {
                index += 1
            } else {
                throw DaemonError.invalid("ps arguments \"\(text)\" are not supported: -ef, aux and -o with a list of columns are")
            }
        }
        if !names.contains(where: { $0.hasPrefix("pid") }) { throw DaemonError.invalid("Couldn't find PID field in ps output") }
        return try names.map(column)
    }

    private static func column(_ text: String) throws -> Column {
        let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
        let name = parts[0].lowercased()
        let title = parts.count > 1 ? parts[1] : ["args": "COMMAND", "cmd": "CMD", "comm": "COMMAND", "pcpu": "%CPU", "pmem": "%MEM", "stime": "STIME", "tty": "TT", "s": "S"][name] ?? parts[0].uppercased()
        switch name {
        case "user", "uname", "euser": return Column(title: title) { row, users in users.users.first { $0.uid == row.uid }?.name ?? String(row.uid) }
        case "uid", "euid": return Column(title: title) { row, _ in String(row.uid) }
        case "pid": return Column(title: title) { row, _ in String(row.pid) }
        case "ppid": return Column(title: title) { row, _ in String(row.parent) }
        case "c", "cp": return Column(title: title) { row, _ in String(Int(row.cpuPercent)) }
        case "pcpu", "%cpu": return Column(title: title) { row, _ in ProcessRow.tenths(row.cpuPercent) }
        case "pmem", "%mem": return Column(title: title) { row, _ in ProcessRow.tenths(Double(row.residentBytes) * 100 / Double(max(1, HostFacts.memoryTotalBytes))) }
        case "vsz": return Column(title: title) { row, _ in String(row.virtualBytes / 1024) }
        case "rss": return Column(title: title) { row, _ in String(row.residentBytes / 1024) }
        case "stime", "start": return Column(title: title) { row, _ in row.startText }
        case "tty", "tt": return Column(title: title) { row, _ in row.terminal }
        case "time": return Column(title: title) { row, _ in row.cpuTimeText }
        case "stat", "s", "state": return Column(title: title) { row, _ in row.state }
        case "args", "cmd", "command": return Column(title: title) { row, _ in row.command }
        case "comm": return Column(title: title) { row, _ in row.name }
        default: throw DaemonError.invalid("ps column \"\(name)\" is not supported")
        }
    }
}

/// One process of /proc. Spec: proc(5).
struct ProcessRow: Sendable {
    let pid: Int32
    let uid: UInt32
    let parent: Int32
    let name: String
    let state: String
    let terminal: String
    let virtualBytes: Int64
    let residentBytes: Int64
    let command: String
    private let cpuSeconds: Double
    private let age: Double

    /// nil when it ended meanwhile.
    init?(pid: Int32, uptime: Double) {
        guard let stat = try? Files.readText("/proc/\(pid)/stat"), let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"),
            let status = try? Files.status("/proc/\(pid)")
        else { return nil }
        let fields = stat[stat.index(after: close)...].split(separator: " ")
        guard fields.count > 21 else { return nil }
        let ticks = Double(sysconf(CInt(_SC_CLK_TCK)))
        self.pid = pid
        uid = status.st_uid
        name = String(stat[stat.index(after: open)..<close])
        state = String(fields[0])
        parent = Int32(fields[1]) ?? 0
        let device = Int(fields[4]) ?? 0
        terminal = device == 0 ? "?" : (device >> 8 & 0xfff) == 136 ? "pts/\(device & 0xff)" : "tty\(device & 0xff)"
        cpuSeconds = ((Double(fields[11]) ?? 0) + (Double(fields[12]) ?? 0)) / ticks
        age = max(0.01, uptime - (Double(fields[19]) ?? 0) / ticks)
        virtualBytes = Int64(fields[20]) ?? 0
        residentBytes = (Int64(fields[21]) ?? 0) * Int64(sysconf(CInt(_SC_PAGESIZE)))
        let arguments = ((try? Files.readAll("/proc/\(pid)/cmdline")) ?? []).split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
        command = arguments.isEmpty ? "[\(name)]" : arguments.joined(separator: " ")
    }

    var cpuPercent: Double { cpuSeconds * 100 / age }

    var cpuTimeText: String {
        let total = Int(cpuSeconds)
        return [total / 3600, total / 60 % 60, total % 60].map { $0 < 10 ? "0\($0)" : String($0) }.joined(separator: ":")
    }

    /// `HH:MM` within a day, else the date.
    var startText: String {
        var moment = time_t(WallClock.now().seconds - Int64(age))
        var parts = tm()
        localtime_r(&moment, &parts)
        if age < 86400 { return [parts.tm_hour, parts.tm_min].map { $0 < 10 ? "0\($0)" : String($0) }.joined(separator: ":") }
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        return months[Int(parts.tm_mon)] + (parts.tm_mday < 10 ? "0" : "") + String(parts.tm_mday)
    }

    static func tenths(_ value: Double) -> String {
        let scaled = Int((value * 10).rounded())
        return "\(scaled / 10).\(scaled % 10)"
    }
}
