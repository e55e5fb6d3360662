import Glibc
import LinuxSystem

/// `build`: sends a directory with a Dockerfile to the engine's classic builder and shows what it does.
enum BuildCommand {
    static let build = Command(
        name: "build", synopsis: "[OPTIONS] PATH | -", summary: "Build an image from a Dockerfile", arguments: .exactly(1),
        flags: [
            .list("add-host", "Add a custom host-to-IP mapping (\"host:ip\")", check: ValueChecks.extraHost),
            .list("build-arg", "Set build-time variables", check: ValueChecks.environment),
            .commaList("cache-from", "Images to consider as cache sources"),
            .string("cgroup-parent", "Set the parent cgroup for the \"RUN\" instructions during build"),
            .int("cpu-period", "Limit the CPU CFS (Completely Fair Scheduler) period"), .int("cpu-quota", "Limit the CPU CFS (Completely Fair Scheduler) quota"),
            .int("cpu-shares", "c", "CPU shares (relative weight)"), .string("cpuset-cpus", "CPUs in which to allow execution (0-3, 0,1)"),
            .string("cpuset-mems", "MEMs in which to allow execution (0-3, 0,1)"), .bool("disable-content-trust", default: true, "Skip image verification"),
            .string("file", "f", "Name of the Dockerfile (Default is \"PATH/Dockerfile\")"), .bool("force-rm", "Always remove intermediate containers"),
            .string("iidfile", "Write the image ID to the file"), .string("isolation", "Container isolation technology"),
            .list("label", "Set metadata for an image", check: ValueChecks.label), .string("memory", "m", type: "bytes", "Memory limit", check: ValueChecks.bytes),
            .string("memory-swap", type: "bytes", "Swap limit equal to memory plus swap: -1 to enable unlimited swap", check: ValueChecks.bytesOrMinusOne),
            .string("network", default: "default", "Set the networking mode for the RUN instructions during build"), .bool("no-cache", "Do not use cache when building the image"),
            .string("platform", "Set platform if server is multi-platform capable"), .bool("pull", "Always attempt to pull a newer version of the image"),
            .bool("quiet", "q", "Suppress the build output and print image ID on success"), .bool("rm", default: true, "Remove intermediate containers after a successful build"),
            .commaList("security-opt", "Security options"), .string("shm-size", type: "bytes", "Size of \"/dev/shm\"", check: ValueChecks.bytes),
            .bool("squash", "Squash newly built layers into a single new layer").hidden(),
            .list("tag", "t", "Name and optionally a tag in the \"name:tag\" format", check: tag), .string("target", "Set the target build stage to build."),
            .list("ulimit", type: "ulimit", "Ulimit options", check: ValueChecks.ulimit),
        ], aliases: ["image build", "build"], run: run)

    private static func tag(_ text: String) throws -> String {
        do { _ = try ImageReference(text) } catch let failure as CommandFailure { throw InvalidValue(failure.message) }
        return text
    }

    private static func run(_ call: Invocation) throws {
        if !call.bool("disable-content-trust") { throw CommandFailure("content trust is not supported: images cannot be verified") }
        let idFile = call.string("iidfile")
        // One of an earlier build must not be taken for this one's.
        if !idFile.isEmpty, unlink(idFile) != 0, errno != ENOENT { throw CommandFailure("Removing image ID file: remove \(idFile): \(Errno(rawValue: errno).goDescription)") }
        let context = try BuildContext(call.arguments[0], dockerfile: call.string("file"))
        let isQuiet = call.bool("quiet")
        let query = try query(call, dockerfile: context.dockerfile), headers = RegistryCredentials.headerForAll(config: call.client.config)
        let held = HeldText()
        let show: (String) -> Void = { text in
            if isQuiet { held.text += text } else {
                call.client.out.write(text)
                call.client.out.flush()
            }
        }
        let body = HTTPRequest.Body.produced(contentType: "application/x-tar") { sink in
            let bytes = try context.write(to: sink)
            let size = Sizes.human(Double(bytes))
            show("Sending build context to Docker daemon \(String(repeating: " ", count: max(0, 8 - size.count)))\(size)\r\r\n")
        }
        let engine = try call.engine
        let id: String
        do {
            let response = try engine.open("POST", "/build", query: query, headers: headers, body: body)
            id = try follow(response, show)
            engine.release(response)
        } catch {
            if isQuiet { call.client.err(held.text) }
            throw error
        }
        // Of a quiet build nothing else was said.
        let said = isQuiet ? held.lastLine : id
        if isQuiet { call.client.out.write(said) }
        guard !idFile.isEmpty else { return }
        if said.isEmpty { throw CommandFailure("Server did not provide an image ID. Cannot write \(idFile)") }
        do { try LocalFile.write(Array(said.utf8), to: idFile, mode: 0o666) } catch { throw CommandFailure("open \(idFile): \(error.errno.goDescription)") }
    }

    /// What a quiet build keeps back.
    private final class HeldText {
        var text = ""
        var lastLine: String { (text.split(whereSeparator: \.isNewline).last.map(String.init) ?? "") + "\n" }
    }

    /// Shows the engine's messages.
    ///
    /// - Returns: the ID of the last stage's image.
    /// - Throws: `CommandFailure` with the exit code of the command that failed.
    private static func follow(_ response: HTTPResponse, _ show: @escaping (String) -> Void) throws -> String {
        let terminal = LocalTerminal(descriptor: 1)
        var display = ProgressDisplay(isTerminal: terminal.exists, width: terminal.size.width, write: show)
        var stream = JSONStream()
        var id = ""
        while case let bytes = try response.read(), !bytes.isEmpty {
            for message in try stream.append(bytes) {
                if let detail = message["errorDetail"] {
                    let code = detail.int("code")
                    throw CommandFailure(detail.string("message"), status: (1...255).contains(code) ? Int32(code) : 1)
                }
                try display.show(message) { id = $0.string("ID") }
            }
        }
        return id
    }

    // MARK: Request

    private static func query(_ call: Invocation, dockerfile: String) throws -> [(String, String)] {
        var query = call.list("tag").map { ("t", $0) }
        func add(_ name: String, _ value: String) { if !value.isEmpty, value != "0" { query.append((name, value)) } }
        func flag(_ name: String, _ isSet: Bool) { if isSet { query.append((name, "1")) } }
        func object(_ name: String, _ value: JSONObject) { if !value.isEmpty { query.append((name, JSONValue.object(value).text)) } }
        add("dockerfile", dockerfile)
        flag("q", call.bool("quiet"))
        flag("nocache", call.bool("no-cache"))
        query.append(("rm", call.bool("rm") ? "1" : "0"))
        flag("forcerm", call.bool("force-rm"))
        flag("pull", call.bool("pull"))
        flag("squash", call.bool("squash"))
        for name in ["target", "isolation", "memory"] { add(name, call.string(name)) }
        add("platform", (call.changed("platform") ? call.string("platform") : call.client.environment["DOCKER_DEFAULT_PLATFORM"] ?? "").lowercased())
        add("networkmode", call.string("network"))
        add("cgroupparent", call.string("cgroup-parent"))
        add("cpusetcpus", call.string("cpuset-cpus"))
        add("cpusetmems", call.string("cpuset-mems"))
        add("memswap", call.string("memory-swap"))
        add("shmsize", call.string("shm-size"))
        for (name, flag) in [("cpushares", "cpu-shares"), ("cpuperiod", "cpu-period"), ("cpuquota", "cpu-quota")] { add(name, String(call.int(flag))) }
        query += call.list("add-host").map { ("extrahosts", $0) } + call.list("security-opt").map { ("securityopt", $0) }
        object("buildargs", arguments(call))
        object("labels", KeyValueFile.map(call.list("label")))
        if !call.list("cache-from").isEmpty { query.append(("cachefrom", JSONValue.strings(call.list("cache-from")).text)) }
        let limits = ValueChecks.ulimits(call.list("ulimit"))
        if !limits.isEmpty { query.append(("ulimits", JSONValue.array(limits).text)) }
        return query
    }

    /// `null` for a name that has no value anywhere: the engine tells of it when nobody declares it. The configuration's proxies come last.
    private static func arguments(_ call: Invocation) -> JSONObject {
        var result = JSONObject()
        for text in call.list("build-arg") {
            let name = String(text.prefix { $0 != "=" })
            result[name] = name.count < text.count ? .string(String(text.dropFirst(name.count + 1))) : call.client.environment[name].map { .string($0) } ?? .null
        }
        for (name, value) in call.client.config.proxies(host: (try? call.engine.host.description) ?? "") where result[name] == nil { result[name] = .string(value) }
        return result
    }
}
