import BerthDefaults
import Glibc
import LinuxSystem

/// What `checkpoint` and `restore` pass on to CRIU, with runc's flags.
struct CheckpointOptions {
    private static let shared: [OptionSpec] = [
        OptionSpec("image-path", nil, .value, "directory of CRIU's images; default: ./checkpoint"),
        OptionSpec("work-path", nil, .value, "directory for CRIU's work files and log"),
        OptionSpec("tcp-established", nil, .flag, "allow open TCP connections"),
        OptionSpec("ext-unix-sk", nil, .flag, "allow unix sockets that lead out of the container"),
        OptionSpec("shell-job", nil, .flag, "allow a terminal of the caller"),
        OptionSpec("lazy-pages", nil, .flag, "move memory when it is asked for, with userfaultfd"),
        OptionSpec("file-locks", nil, .flag, "keep file locks"),
        OptionSpec("manage-cgroups-mode", nil, .value, "soft, full, strict or ignore"),
        OptionSpec("empty-ns", nil, .list, "namespace whose content is left out: network"),
        OptionSpec("auto-dedup", nil, .flag, "free memory images as they are read"),
    ]

    static let checkpoint: [OptionSpec] =
        shared + [
            OptionSpec("parent-path", nil, .value, "earlier images, relative to image-path; for pre-dump"),
            OptionSpec("leave-running", nil, .flag, "let the container go on afterwards"),
            OptionSpec("tcp-skip-in-flight", nil, .flag, "leave out connections that are being made"),
            OptionSpec("link-remap", nil, .flag, "give files without a name one again"),
            OptionSpec("status-fd", nil, .value, "descriptor that gets a NUL when lazy pages are served"),
            OptionSpec("page-server", nil, .value, "ADDRESS:PORT of the page server"),
            OptionSpec("pre-dump", nil, .flag, "save the memory only, and let the container go on"),
        ]

    static let restore: [OptionSpec] =
        shared + [
            OptionSpec("bundle", "b", .value, "directory with config.json; default: the working directory"),
            OptionSpec("console-socket", nil, .value, "unix socket that gets the master of the container's terminal"),
            OptionSpec("pid-file", nil, .value, "file that gets the process id"),
            OptionSpec("detach", "d", .flag, "return when the program runs"),
            OptionSpec("no-subreaper", nil, .flag, "do not become the parent of orphans"),
            OptionSpec("no-pivot", nil, .flag, "move the root instead of pivot_root, for an initial ramdisk"),
            OptionSpec("lsm-profile", nil, .value, "other security profile: apparmor:NAME or selinux:LABEL"),
            OptionSpec("lsm-mount-context", nil, .value, "other SELinux context of the mounts"),
        ]

    private let options: ParsedOptions
    let imagePath: String
    let workPath: String?
    private let cgroupMode: Int
    private let pageServer: (address: String, port: Int)?
    let statusDescriptor: CInt?

    init(_ options: ParsedOptions) throws(RuntimeError) {
        self.options = options
        imagePath = try ConfigLoader.absolute(Self.nonEmpty(options["image-path"]) ?? "checkpoint")
        workPath = if let path = Self.nonEmpty(options["work-path"]) { try ConfigLoader.absolute(path) } else { nil }
        cgroupMode = try Self.cgroupMode(options["manage-cgroups-mode"] ?? "")
        pageServer = try Self.pageServer(options["page-server"] ?? "")
        for name in options.list("empty-ns") where name != "network" { throw RuntimeError(.invalidArgument, "namespace \"\(name)\" is not supported") }
        if let number = try options.integer("status-fd"), number >= 0 {
            guard number < 4096, Files.exists("/proc/self/fd/\(number)") else { throw RuntimeError(.invalidArgument, "invalid --status-fd argument \(number)") }
            statusDescriptor = CInt(number)
        } else {
            statusDescriptor = nil
        }
        if let parent = Self.nonEmpty(options["parent-path"]) {
            if parent.isAbsolutePath { throw RuntimeError(.invalidArgument, "--parent-path must be relative") }
            if !Files.exists("\(imagePath)/\(parent)") { throw RuntimeError(.invalidArgument, "invalid --parent-path: \(imagePath)/\(parent) does not exist") }
        }
    }

    var leavesRunning: Bool { options.has("leave-running") }
    var isPreDump: Bool { options.has("pre-dump") }
    /// Where CRIU writes its log.
    var logDirectory: String { workPath ?? imagePath }

    /// The part of `criu_opts` that both commands have.
    func write(to message: inout ProtocolBufferWriter) {
        message.addIfSet(3, leavesRunning)
        message.addIfSet(4, options.has("ext-unix-sk"))
        message.addIfSet(5, options.has("tcp-established"))
        message.addIfSet(7, options.has("shell-job"))
        message.addIfSet(8, options.has("file-locks"))
        message.addIfSet(16, options.has("auto-dedup"))
        message.addIfSet(18, options.has("link-remap"))
        message.addIfSet(46, options.has("tcp-skip-in-flight"))
        message.addIfSet(48, options.has("lazy-pages"))
        message.addIfSet(53, options["lsm-profile"])
        message.addIfSet(63, options["lsm-mount-context"])
        if let parent = Self.nonEmpty(options["parent-path"]) {
            message.add(14, parent)
            message.add(15, true)  // track_mem
        }
        if let pageServer {
            message.nest(11) {
                $0.add(1, pageServer.address)
                $0.add(2, pageServer.port)
            }
        }
        message.add(24, true)  // manage_cgroups
        message.add(34, cgroupMode)
        // The inside of a network namespace is its engine's to make again.
        message.add(38, NamespaceKind.network.cloneFlag)
    }

    private static func nonEmpty(_ text: String?) -> String? { text.flatMap { $0.isEmpty ? nil : $0 } }

    /// `criu_cg_mode`.
    private static func cgroupMode(_ text: String) throws(RuntimeError) -> Int {
        switch text {
        case "": 6
        case "ignore": 0
        case "soft": 3
        case "full": 4
        case "strict": 5
        default: throw RuntimeError(.invalidArgument, "invalid manage-cgroups-mode value")
        }
    }

    private static func pageServer(_ text: String) throws(RuntimeError) -> (address: String, port: Int)? {
        if text.isEmpty { return nil }
        guard let colon = text.lastIndex(of: ":"), colon > text.startIndex, let port = Int(text[text.index(after: colon)...]), (1...65535).contains(port) else {
            throw RuntimeError(.invalidArgument, "Use --page-server ADDRESS:PORT to specify page server")
        }
        return (text[..<colon].filter { $0 != "[" && $0 != "]" }, port)
    }
}
