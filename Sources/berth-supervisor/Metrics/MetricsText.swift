import BerthDefaults
import GRDB
import Glibc
import LinuxSystem

/// What the supervisor counts, in Prometheus' text format. Made when it is asked for: nothing is counted along the way.
struct MetricsText: Sendable {
    let root: String
    let database: MetadataDatabase
    let tasks: TaskManager

    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    func make() async throws -> String {
        var text = Writer()
        text.family("berth_supervisor_info", "gauge", "What runs here.")
        text.sample("berth_supervisor_info", [("version", Defaults.version), ("api", VersionService.containerdVersion)], "1")
        let counts = try database.read { db in
            (
                try Self.byNamespace("SELECT namespace, COUNT(*) FROM images GROUP BY namespace", db),
                try Self.byNamespace("SELECT namespace, COUNT(*) FROM containers GROUP BY namespace", db),
                try Self.byNamespace("SELECT namespace, COUNT(*) FROM snapshots GROUP BY namespace", db),
                try Self.byNamespace("SELECT namespace, COUNT(*) FROM content GROUP BY namespace", db),
                try Self.byNamespace("SELECT namespace, SUM(size) FROM content GROUP BY namespace", db),
                try Self.byNamespace("SELECT namespace, SUM(usage_size) FROM snapshots GROUP BY namespace", db),
                try Self.byNamespace("SELECT namespace, COUNT(*) FROM leases GROUP BY namespace", db),
                try String.fetchAll(db, sql: "SELECT name FROM namespaces ORDER BY name")
            )
        }
        text.gauges("berth_supervisor_images", "Names of images.", counts.0)
        text.gauges("berth_supervisor_containers", "Records of containers.", counts.1)
        text.gauges("berth_supervisor_snapshots", "Snapshots, layers included.", counts.2)
        text.gauges("berth_supervisor_content_blobs", "Blobs that a namespace sees.", counts.3)
        text.gauges("berth_supervisor_content_bytes", "Bytes of the blobs that a namespace sees.", counts.4)
        text.gauges("berth_supervisor_snapshot_bytes", "Bytes of committed snapshots when they were committed.", counts.5)
        text.gauges("berth_supervisor_leases", "Leases.", counts.6)
        var running: [(String, Int64)] = []
        for namespace in counts.7 { running.append((namespace, Int64(await tasks.shims(in: namespace).count))) }
        text.gauges("berth_supervisor_tasks", "Tasks with a shim.", running.filter { $0.1 > 0 })
        if let free = try? DiskSpace.free(at: root) {
            text.family("berth_supervisor_disk_free_bytes", "gauge", "Room on the file system of the data root.")
            text.sample("berth_supervisor_disk_free_bytes", [], "\(free)")
        }
        process(&text)
        return text.text
    }

    private static func byNamespace(_ sql: String, _ db: Database) throws -> [(String, Int64)] {
        try Row.fetchAll(db, sql: "\(sql) ORDER BY namespace").map { ($0[0], $0[1] ?? 0) }
    }

    /// The process's own figures, under the names that every exporter uses.
    private func process(_ text: inout Writer) {
        var usage = rusage()
        if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            let seconds = Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1_000_000
            text.family("process_cpu_seconds_total", "counter", "Processor time of this process.")
            text.sample("process_cpu_seconds_total", [], "\(seconds)")
        }
        if let pages = (try? Files.readText("/proc/self/statm"))?.split(separator: " ").dropFirst().first.flatMap({ Int64($0) }) {
            text.family("process_resident_memory_bytes", "gauge", "Resident memory of this process.")
            text.sample("process_resident_memory_bytes", [], "\(pages * Int64(sysconf(CInt(_SC_PAGESIZE))))")
        }
        if let count = try? Files.entries(of: "/proc/self/fd").count {
            text.family("process_open_fds", "gauge", "Open descriptors of this process.")
            text.sample("process_open_fds", [], "\(count)")
        }
    }

    /// Spec: prometheus.io/docs/instrumenting/exposition_formats.
    struct Writer {
        private(set) var text = ""

        mutating func family(_ name: String, _ type: String, _ help: String) { text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n" }

        mutating func sample(_ name: String, _ labels: [(String, String)], _ value: String) {
            let pairs = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
            text += pairs.isEmpty ? "\(name) \(value)\n" : "\(name){\(pairs)} \(value)\n"
        }

        mutating func gauges(_ name: String, _ help: String, _ values: [(String, Int64)]) {
            family(name, "gauge", help)
            for (namespace, value) in values { sample(name, [("namespace", namespace)], "\(value)") }
        }

        static func escaped(_ text: String) -> String {
            var out = ""
            for character in text {
                switch character {
                case "\\": out += "\\\\"
                case "\"": out += "\\\""
                case "\n": out += "\\n"
                default: out.append(character)
                }
            }
            return out
        }
    }
}
