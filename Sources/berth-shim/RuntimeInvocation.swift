import BerthDefaults
import Glibc
import JSONCodec
import LinuxSystem
import TaskAPI

/// Which runtime a container has, and where its state is. Written into the bundle, since `berth-shim delete` must find the same one after the
/// shim has died.
struct RuntimeSettings: Codable, Equatable {
    /// A path, or a name to be looked up in PATH.
    var binary: String
    /// Directory of the runtime's state, the namespace included.
    var root: String
    var systemdCgroup = false

    static let fileName = "runtime-settings.json"

    /// What the client's options say, and ours where they say nothing: the runtime beside the shim's own binary.
    init(options: RuntimeOptions, namespace: String) {
        if options.binaryName.isEmpty {
            binary = Self.bundledRuntime
            root = "\(options.root.isEmpty ? Defaults.runRoot + "/runtime" : options.root)/\(namespace)"
        } else {
            binary = options.binaryName
            // containerd's own default, so that `runc --root` of an administrator's notes finds the container.
            root = "\(options.root.isEmpty ? "/run/containerd/runc" : options.root)/\(namespace)"
        }
        systemdCgroup = options.systemdCgroup
    }

    /// Beside the shim's own binary; for a shim that stands alone the one on PATH.
    static let bundledRuntime: String = {
        let own = (try? Files.readLink("/proc/self/exe")) ?? ""
        guard let slash = own.lastSlash else { return "berth-runtime" }
        let beside = String(own[..<slash]) + "/berth-runtime"
        return Files.exists(beside) ? beside : "berth-runtime"
    }()

    /// The runtime is ours, whose behaviour we know: a signal may go straight to the process.
    var isBundled: Bool { binary == Self.bundledRuntime }

    func save(in bundle: String) throws(SystemError) {
        guard let bytes = try? JSON.encode(self) else { return }
        try Files.replace("\(bundle)/\(Self.fileName)", with: bytes)
    }

    static func load(from bundle: String) -> RuntimeSettings? {
        guard let bytes = try? Files.readAll("\(bundle)/\(fileName)") else { return nil }
        return try? JSON.decode(RuntimeSettings.self, from: bytes)
    }
}

/// Runs the OCI runtime's commands, any number at a time, and turns what it logs into the error of the call.
final class RuntimeInvocation {
    /// Why a command failed.
    struct Failure: Error {
        /// The last error in the runtime's log, or what it wrote to standard error, or how it ended.
        let message: String
    }

    let settings: RuntimeSettings
    /// The runtime's binary on a mount of the shim's own; see `SealedRuntime`.
    var sealedProgram: String?
    private let bundle: String
    private let reaper: ChildReaper
    private var counter = 0

    init(settings: RuntimeSettings, bundle: String, reaper: ChildReaper) {
        self.settings = settings
        self.bundle = bundle
        self.reaper = reaper
    }

    /// Starts `runtime GLOBAL-OPTIONS ARGUMENTS...` and calls `completion` when it has ended, on a later turn of the loop; at once only when it
    /// cannot be started at all.
    /// - Parameter descriptors: the runtime's standard streams, which `create` and `exec` hand to the container.
    func run(_ arguments: [String], descriptors: [(CInt, CInt)] = [], completion: @escaping (Result<Void, Failure>) -> Void) {
        counter += 1
        // One log per command: two at a time would take each other's errors.
        let log = "\(bundle)/runtime-log-\(counter).json"
        var global = ["--root", settings.root, "--log", log, "--log-format", "json"]
        if settings.systemdCgroup { global.append("--systemd-cgroup") }
        var request = SpawnRequest(sealedProgram ?? settings.binary, global + arguments)
        request.workingDirectory = bundle
        request.descriptors = descriptors
        do {
            let pid = try request.start()
            reaper.expect(pid) { exit in
                defer { unlink(log) }
                if exit.status == 0 { return completion(.success(())) }
                let message = RuntimeInvocation.lastError(in: log)
                completion(.failure(Failure(message: message ?? "\(arguments.first ?? "") ended with status \(exit.status) and left no message")))
            }
        } catch {
            completion(.failure(Failure(message: error.description)))
        }
    }

    /// Runs a command to its end, which comes after ten seconds at the latest. Only for `berth-shim delete`, which has nothing else to do.
    static func runAndWait(_ settings: RuntimeSettings, _ arguments: [String], bundle: String) throws(Failure) {
        let log = "\(bundle)/runtime-log-0.json"
        defer { unlink(log) }
        var global = ["--root", settings.root, "--log", log, "--log-format", "json"]
        if settings.systemdCgroup { global.append("--systemd-cgroup") }
        do throws(SystemError) {
            let pid = try SpawnRequest(settings.binary, global + arguments).start()
            let deadline = Clock.monotonic() + 10_000_000_000
            while true {
                if let exit = Children.reap() {
                    if exit.pid == pid && exit.status == 0 { return }
                    if exit.pid == pid { break }
                } else {
                    if Clock.monotonic() > deadline { try Children.send(SIGKILL, to: pid) }
                    usleep(1000)
                }
            }
        } catch { throw Failure(message: error.description) }
        throw Failure(message: lastError(in: log) ?? "\(arguments.first ?? "") failed")
    }

    private struct LogLine: Decodable {
        var level: String?
        var msg: String?
    }

    /// The newest message of level "error" in a log of JSON lines.
    static func lastError(in path: String) -> String? {
        guard let bytes = try? Files.readAll(path, limit: 1 << 20) else { return nil }
        var found: String?
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            guard let entry = try? JSON.decode(LogLine.self, from: Array(line)), entry.level == "error", let message = entry.msg else { continue }
            found = message
        }
        guard var text = found?[...] else { return nil }
        while let last = text.last, last == "\n" || last == " " { text.removeLast() }
        return String(text)
    }
}
