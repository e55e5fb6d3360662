/// The flags that `create` and `run` share.
enum CreateFlags {
    static let all: [Flag] = identity + process + resources + blockIO + network + storage + security + lifecycle + health + windowsOnly

    private static let identity: [Flag] = [
        .string("name", "Assign a name to the container"),
        .string("hostname", "h", "Container host name"),
        .string("domainname", "Container NIS domain name"),
        .list("label", "l", "Set meta data on a container", check: ValueChecks.label),
        .list("label-file", "Read in a line delimited file of labels"),
        .list("annotation", type: "map", "Add an annotation to the container (passed through to the OCI runtime)"),
        .string("cidfile", "Write the container ID to the file"),
        .string("platform", "Set platform if server is multi-platform capable"),
        .string("pull", default: "missing", "Pull image before running (\"always\", \"missing\", \"never\")"),
        .bool("quiet", "q", "Suppress the pull output"),
        .bool("disable-content-trust", default: true, "Skip image verification"),
        .bool("use-api-socket", "Bind mount Docker API socket and required auth"),
        .bool("help", "Print usage"),
    ]

    private static let process: [Flag] = [
        .list("attach", "a", "Attach to STDIN, STDOUT or STDERR", check: ValueChecks.attach),
        .bool("interactive", "i", "Keep STDIN open even if not attached"),
        .bool("tty", "t", "Allocate a pseudo-TTY"),
        .list("env", "e", "Set environment variables", check: ValueChecks.environment),
        .list("env-file", "Read in a file of environment variables"),
        .string("entrypoint", "Overwrite the default ENTRYPOINT of the image"),
        .string("user", "u", "Username or UID (format: <name|uid>[:<group|gid>])"),
        .string("workdir", "w", "Working directory inside the container"),
        .list("group-add", "Add additional groups to join"),
        .bool("init", "Run an init inside the container that forwards signals and reaps processes"),
        .list("ulimit", type: "ulimit", "Ulimit options", check: ValueChecks.ulimit),
        .list("sysctl", type: "map", "Sysctl options", check: ValueChecks.sysctl),
        .string("log-driver", "Logging driver for the container"),
        .list("log-opt", "Log driver options"),
        .string("runtime", "Runtime to use for this container"),
    ]

    static let resources: [Flag] = [
        .string("memory", "m", type: "bytes", "Memory limit", check: ValueChecks.bytes),
        .string("memory-reservation", type: "bytes", "Memory soft limit", check: ValueChecks.bytes),
        .string("memory-swap", type: "bytes", "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", check: ValueChecks.bytesOrMinusOne),
        .int("memory-swappiness", default: -1, "Tune container memory swappiness (0 to 100)"),
        .string("kernel-memory", type: "bytes", "Kernel memory limit", check: ValueChecks.bytes),
        .string("cpus", type: "decimal", "Number of CPUs", check: ValueChecks.cpus),
        .int("cpu-shares", "c", "CPU shares (relative weight)"),
        .int("cpu-period", "Limit CPU CFS (Completely Fair Scheduler) period"),
        .int("cpu-quota", "Limit CPU CFS (Completely Fair Scheduler) quota"),
        .int("cpu-rt-period", "Limit CPU real-time period in microseconds"),
        .int("cpu-rt-runtime", "Limit CPU real-time runtime in microseconds"),
        .string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
        .string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"),
        .int("pids-limit", "Tune container pids limit (set -1 for unlimited)"),
        .bool("oom-kill-disable", "Disable OOM Killer"),
        .int("oom-score-adj", "Tune host's OOM preferences (-1000 to 1000)"),
        .string("cgroup-parent", "Optional parent cgroup for the container"),
        .string("shm-size", type: "bytes", "Size of /dev/shm", check: ValueChecks.bytes),
        .list("gpus", type: "gpu-request", "GPU devices to add to the container ('all' to pass all GPUs)"),
    ]

    private static let blockIO: [Flag] = [
        .uint16("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
        .list("blkio-weight-device", "Block IO weight (relative device weight)", check: ValueChecks.deviceWeight),
        .list("device-read-bps", "Limit read rate (bytes per second) from a device", check: ValueChecks.deviceBytes),
        .list("device-read-iops", "Limit read rate (IO per second) from a device", check: ValueChecks.deviceOperations),
        .list("device-write-bps", "Limit write rate (bytes per second) to a device", check: ValueChecks.deviceBytes),
        .list("device-write-iops", "Limit write rate (IO per second) to a device", check: ValueChecks.deviceOperations),
    ]

    private static let network: [Flag] = [
        .list("network", type: "network", "Connect a container to a network", check: NetworkAttachment.check),
        .list("net", type: "network", "Connect a container to a network", check: NetworkAttachment.check).hidden(),
        .list("network-alias", "Add network-scoped alias for the container"),
        .list("net-alias", "Add network-scoped alias for the container").hidden(),
        .string("ip", "IPv4 address (e.g., 172.30.100.104)"),
        .string("ip6", "IPv6 address (e.g., 2001:db8::33)"),
        .list("link-local-ip", "Container IPv4/IPv6 link-local addresses"),
        .list("link", "Add link to another container", check: ValueChecks.link),
        .string("mac-address", "Container MAC address (e.g., 92:d0:c6:0a:29:33)"),
        .list("publish", "p", "Publish a container's port(s) to the host"),
        .bool("publish-all", "P", "Publish all exposed ports to random ports"),
        .list("expose", "Expose a port or a range of ports"),
        .list("dns", "Set custom DNS servers", check: ValueChecks.address),
        .list("dns-option", "Set DNS options"),
        .list("dns-opt", "Set DNS options").hidden(),
        .list("dns-search", "Set custom DNS search domains", check: ValueChecks.searchDomain),
        .list("add-host", "Add a custom host-to-IP mapping (host:ip)", check: ValueChecks.extraHost),
    ]

    private static let storage: [Flag] = [
        .list("volume", "v", "Bind mount a volume"),
        .list("mount", type: "mount", "Attach a filesystem mount to the container", check: MountSpec.check),
        .list("tmpfs", "Mount a tmpfs directory"),
        .list("volumes-from", "Mount volumes from the specified container(s)"),
        .string("volume-driver", "Optional volume driver for the container"),
        .list("storage-opt", "Storage driver options for the container"),
        .bool("read-only", "Mount the container's root filesystem as read only"),
        .list("device", "Add a host device to the container"),
        .list("device-cgroup-rule", "Add a rule to the cgroup allowed devices list", check: ValueChecks.deviceRule),
    ]

    private static let security: [Flag] = [
        .bool("privileged", "Give extended privileges to this container"),
        .list("cap-add", "Add Linux capabilities"),
        .list("cap-drop", "Drop Linux capabilities"),
        .list("security-opt", "Security Options"),
        .string("pid", "PID namespace to use"),
        .string("ipc", "IPC mode to use"),
        .string("uts", "UTS namespace to use"),
        .string("userns", "User namespace to use"),
        .string(
            "cgroupns",
            "Cgroup namespace to use (host|private)\n'host':    Run the container in the Docker host's cgroup namespace\n'private': Run the container in its own private cgroup namespace\n'':        Use the cgroup namespace as configured by the default-cgroupns-mode option on the daemon (default)"
        ),
    ]

    private static let lifecycle: [Flag] = [
        .bool("rm", "Automatically remove the container and its associated anonymous volumes when it exits"),
        .string("restart", default: "no", "Restart policy to apply when a container exits"),
        .string("stop-signal", "Signal to stop the container"),
        .int("stop-timeout", "Timeout (in seconds) to stop a container"),
    ]

    private static let health: [Flag] = [
        .string("health-cmd", "Command to run to check health"),
        .string("health-interval", default: "0s", type: "duration", "Time between running the check (ms|s|m|h)", check: ValueChecks.duration),
        .int("health-retries", "Consecutive failures needed to report unhealthy"),
        .string("health-timeout", default: "0s", type: "duration", "Maximum time to allow one check to run (ms|s|m|h)", check: ValueChecks.duration),
        .string(
            "health-start-period", default: "0s", type: "duration",
            "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)", check: ValueChecks.duration),
        .string(
            "health-start-interval", default: "0s", type: "duration", "Time between running the check during the start period (ms|s|m|h)",
            check: ValueChecks.duration),
        .bool("no-healthcheck", "Disable any container-specified HEALTHCHECK"),
    ]

    /// Shown because Docker shows them; the engine refuses what does not fit its system.
    private static let windowsOnly: [Flag] = [
        .int("cpu-count", "CPU count (Windows only)"),
        .int("cpu-percent", "CPU percent (Windows only)"),
        .string("io-maxbandwidth", type: "bytes", "Maximum IO bandwidth limit for the system drive (Windows only)", check: ValueChecks.bytes),
        .string("io-maxiops", type: "uint", "Maximum IOps limit for the system drive (Windows only)"),
        .string("isolation", "Container isolation technology"),
    ]
}
