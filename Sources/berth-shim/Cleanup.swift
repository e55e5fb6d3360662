import Glibc
import LinuxSystem
import TaskAPI

/// `berth-shim delete`: after a shim that has died, or that the supervisor gave up, ends its container and removes what is left.
///
/// Runs in the bundle's directory, or with `-bundle`. Says what could not be done on standard error; its answer says that the container was killed.
struct Cleanup {
    let arguments: ShimArguments

    func run() throws {
        let bundle = try arguments.bundle.isEmpty ? Files.currentDirectory() : arguments.bundle
        endShim(bundle)
        let settings = RuntimeSettings.load(from: bundle) ?? RuntimeSettings(options: RuntimeOptions(), namespace: arguments.namespace)
        // Without an init on record the creation did not come to its end, or has not yet.
        if !Files.exists("\(bundle)/\(InitRecord.fileName)") { InterruptedStart(bundle: bundle, programs: ["/proc/self/exe", settings.binary]).end() }
        do throws(RuntimeInvocation.Failure) {
            try RuntimeInvocation.runAndWait(settings, ["delete", "--force", arguments.id], bundle: bundle)
        } catch {
            if !error.message.contains(text: "does not exist") {
                complain("remove container \(arguments.id): \(error.message)")
                killInit(bundle)
            }
        }
        // The shim's mounts went with its namespace. This is for one whose runtime or supervisor mounted in ours.
        while (try? Mounts.detach("\(bundle)/rootfs")) != nil {}
        (try? SocketPaths(bundle: bundle))?.removeAll()
        let pid = (try? Files.readText("\(bundle)/init.pid")).flatMap { UInt32($0.fields(by: "\n").first ?? "") } ?? 0
        let answer = DeleteResponse(pid: pid, exitStatus: 128 + UInt32(SIGKILL), exitedAt: ContainerTask.timestamp())
        try Files.writeAll(answer.encoded(), to: OwnedFD(adopting: dup(1)), name: "standard output")
    }

    /// A shim that still lives would go on holding what is removed here. Only a process that runs a shim's program in this bundle is one.
    private func endShim(_ bundle: String) {
        guard let text = try? Files.readText("\(bundle)/shim.pid"), let pid = pid_t(text.fields(by: "\n").first ?? ""), pid > 1, pid != getpid() else { return }
        guard let own = try? Files.readLink("/proc/self/exe"), let other = try? Files.readLink("/proc/\(pid)/exe"),
            let directory = try? Files.readLink("/proc/\(pid)/cwd"), own == other || "\(own) (deleted)" == other, directory == bundle
        else { return }
        InterruptedStart.end(pid)
    }

    /// The runtime could not; the container must end all the same. The start time makes sure that the pid is not another process's by now.
    private func killInit(_ bundle: String) {
        guard let text = try? Files.readText("\(bundle)/\(InitRecord.fileName)"), let record = InitRecord(text),
            let now = try? ProcessStat.of(record.pid), now.startTime == record.startTime
        else { return }
        kill(record.pid, SIGKILL)
    }

    private func complain(_ text: String) {
        var line = "berth-shim: delete: \(text)\n"
        line.withUTF8 { _ = write(2, $0.baseAddress, $0.count) }
    }
}

/// The init process as it was at its creation, kept in the bundle for `delete`: "PID START-TIME".
struct InitRecord {
    static let fileName = "init.start"

    let pid: pid_t
    /// In clock ticks since boot, as proc_pid_stat(5) has it.
    let startTime: UInt64

    init?(_ text: String) {
        let fields = text.fields(by: " ")
        guard fields.count == 2, let pid = pid_t(fields[0]), pid > 1, let time = UInt64(fields[1]) else { return nil }
        (self.pid, startTime) = (pid, time)
    }

    static func save(_ pid: pid_t, in bundle: String) {
        guard let stat = try? ProcessStat.of(pid) else { return }
        try? Files.replace("\(bundle)/\(fileName)", with: Array("\(pid) \(stat.startTime)".utf8))
    }
}
