import DockerAPI

/// `inspect`, alone and under each management command.
enum InspectCommand {
    private static let size = Flag.bool("size", "s", "Display total file sizes")

    static let any = Command(
        name: "inspect", synopsis: "[OPTIONS] NAME|ID [NAME|ID...]", summary: "Return low-level information on Docker objects", arguments: .atLeast(1),
        flags: [
            .inspectFormat, .bool("size", "s", "Display total file sizes if the type is container"),
            .string("type", "Only inspect objects of the given type"),
        ], run: inspectAny)

    static let container = Command(
        name: "inspect", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Display detailed information on one or more containers",
        arguments: .atLeast(1), flags: [.inspectFormat, size]
    ) { call in try show(call) { engine, name in try engine.call("GET", call.containerPath(name, "/json"), query: call.bool("size") ? [("size", "1")] : []) } }

    static let image = Command(
        name: "inspect", synopsis: "[OPTIONS] IMAGE [IMAGE...]", summary: "Display detailed information on one or more images", arguments: .atLeast(1),
        flags: [.inspectFormat, .string("platform", "Inspect a specific platform of the multi-platform image.")]
    ) { call in
        let query = call.string("platform").isEmpty ? [] : [("platform", try Platform(call.string("platform")).json.text)]
        try show(call) { engine, name in try engine.call("GET", imagePath(name), query: query) }
    }

    static let network = Command(
        name: "inspect", synopsis: "[OPTIONS] NETWORK [NETWORK...]", summary: "Display detailed information on one or more networks", arguments: .atLeast(1),
        flags: [.inspectFormat, .bool("verbose", "v", "Verbose output for diagnostics")]
    ) { call in
        try show(call) { engine, name in
            try engine.call("GET", "/networks/\(percentEncoded(name))", query: call.bool("verbose") ? [("verbose", "true")] : [])
        }
    }

    static let volume = Command(
        name: "inspect", synopsis: "[OPTIONS] VOLUME [VOLUME...]", summary: "Display detailed information on one or more volumes", arguments: .atLeast(1),
        flags: [.inspectFormat]
    ) { call in try show(call) { engine, name in try engine.call("GET", "/volumes/\(percentEncoded(name))") } }

    static func imagePath(_ name: String) -> String { "/images/\(percentEncoded(name, keeping: "/:@"))/json" }

    private static func inspectAny(_ call: Invocation) throws {
        let type = call.string("type")
        let known = ["container", "image", "network", "volume"]
        let others = ["config", "node", "plugin", "secret", "service", "task"]
        if call.changed("type") {
            if type.isEmpty { throw CommandFailure("type is empty: must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"") }
            guard (known + others).contains(type) else {
                throw CommandFailure("unknown type: \(GoText.quoted(type)): must be one of \"config\", \"container\", \"image\", \"network\", \"node\", \"plugin\", \"secret\", \"service\", \"task\", \"volume\"")
            }
            if others.contains(type) { throw CommandFailure("inspect --type \(type): \(type)s are not supported: Berth has no Swarm and no plugins") }
        }
        let candidates = type.isEmpty ? known : [type]
        try show(call) { engine, name in
            for candidate in candidates {
                let path: String
                switch candidate {
                case "container": path = call.containerPath(name, "/json")
                case "image": path = imagePath(name)
                case "network": path = "/networks/\(percentEncoded(name))"
                default: path = "/volumes/\(percentEncoded(name))"
                }
                do {
                    return try engine.call("GET", path, query: candidate == "container" && call.bool("size") ? [("size", "1")] : [])
                } catch let failure as EngineFailure where failure.status == 404 && candidates.count > 1 { continue } catch let failure as EngineFailure
                    where failure.status == 400 && candidates.count > 1
                { continue }
            }
            throw CommandFailure(type.isEmpty ? "Error: No such object: \(name)" : "Error response from daemon: No such \(type): \(name)")
        }
    }

    /// Shows what could be found, then the errors.
    private static func show(_ call: Invocation, _ fetch: (EngineClient, String) throws -> [UInt8]) throws {
        let engine = try call.engine
        let format = call.string("format")
        var template: Template?
        if !format.isEmpty, format != "json" {
            do { template = try Template(format) } catch let error as TemplateError {
                throw CommandFailure("template parsing error: \(error.message)", status: 64)
            }
            template?.missingIsError = true
        }
        var found: [[UInt8]] = []
        var text = ""
        var failures: [String] = []
        for name in call.arguments {
            do {
                let reply = try fetch(engine, name)
                if let template {
                    text += try TypedDefaults.render(template, try JSONParser.parse(reply)) + "\n"
                } else {
                    found.append(trimmed(reply))
                }
            } catch let error as ConnectionFailed {
                failures.append(error.message)
                break
            } catch { failures.append(Main.describe(error).message) }
        }
        if template == nil { write(found, format, call.client.out) } else { call.client.out.write(text.isEmpty ? "\n" : text) }
        if !failures.isEmpty { throw CommandFailure(failures.joined(separator: "\n")) }
    }

    private static func write(_ found: [[UInt8]], _ format: String, _ out: OutputStream) {
        let list = Array("[".utf8) + found.joined(separator: [UInt8(ascii: ",")]) + Array("]".utf8)
        out.write(bytes: (format == "json" ? list : JSONIndenter.indent(list))[...])
        out.write("\n")
    }

    private static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
        var result = bytes
        while let last = result.last, last == 10 || last == 32 || last == 13 { result.removeLast() }
        return result
    }
}

/// Members that the engine leaves out when they have nothing to say, and that templates ask for all the same (`{{if .State.Health}}`).
enum TypedDefaults {
    private static let absent: [(path: [String], value: JSONValue)] = [
        (["State", "Health"], .null), (["Config", "Healthcheck"], .null), (["Config", "ExposedPorts"], [:]), (["Config", "StopSignal"], ""),
        (["Config", "StopTimeout"], .null), (["Config", "Shell"], []), (["Config", "MacAddress"], ""), (["Config", "NetworkDisabled"], false),
        (["HostConfig", "Mounts"], []), (["HostConfig", "Tmpfs"], [:]), (["HostConfig", "Init"], .null), (["HostConfig", "Sysctls"], [:]),
        (["HostConfig", "StorageOpt"], [:]), (["HostConfig", "Annotations"], [:]), (["SizeRw"], .null), (["SizeRootFs"], .null),
        (["ImageManifestDescriptor"], .null), (["Labels"], [:]), (["RepoTags"], []),
    ]

    /// Go's names of fields that JSON writes differently.
    private static let spellings = ["Id": "ID", "NanoCpus": "NanoCPUs", "CpuShares": "CPUShares", "CpuPeriod": "CPUPeriod", "CpuQuota": "CPUQuota", "Dns": "DNS", "DnsOptions": "DNSOptions", "DnsSearch": "DNSSearch", "Ip": "IP", "HostIp": "HostIP"]

    /// With the engine's names first; what they do not have is tried with the additions.
    static func render(_ template: Template, _ value: JSONValue) throws -> String {
        do { return try template.render(.json(value)) } catch let error as TemplateError {
            if let text = try? template.render(.json(completed(value))) { return text }
            throw error
        }
    }

    private static func completed(_ value: JSONValue) -> JSONValue {
        var result = respelled(value)
        for (path, fallback) in absent { result = add(fallback, at: path[...], to: result) }
        return result
    }

    private static func add(_ fallback: JSONValue, at path: ArraySlice<String>, to value: JSONValue) -> JSONValue {
        guard var object = value.objectValue, let key = path.first else { return value }
        if path.count == 1 {
            if object[key] == nil { object[key] = fallback }
        } else if let inner = object[key] {
            object[key] = add(fallback, at: path.dropFirst(), to: inner)
        }
        return .object(object)
    }

    private static func respelled(_ value: JSONValue) -> JSONValue {
        switch value {
        case .array(let values): return .array(values.map(respelled))
        case .object(let object):
            var result = JSONObject()
            for member in object.members {
                result.append(member.key, respelled(member.value))
                if let other = spellings[member.key], object[other] == nil { result.append(other, respelled(member.value)) }
            }
            return .object(result)
        default: return value
        }
    }
}

/// `os[/arch[/variant]]`.
struct Platform {
    let os: String
    let architecture: String
    let variant: String

    init(_ text: String) throws {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { $0.lowercased() }
        let isWord = parts.allSatisfy { part in !part.isEmpty && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0)) } }
        guard isWord, parts.count <= 3 else {
            throw CommandFailure("\(GoText.quoted(text)): cannot parse platform specifier: invalid argument")
        }
        let systems: Set<String> = ["linux", "windows", "darwin", "freebsd"]
        let names = ["x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm", "i386": "386"]
        if parts.count == 1, !systems.contains(parts[0]) {
            (os, architecture, variant) = ("linux", names[parts[0]] ?? parts[0], "")
        } else {
            os = parts[0]
            architecture = parts.count > 1 ? names[parts[1]] ?? parts[1] : Platform.ownArchitecture
            variant = parts.count > 2 ? parts[2] : ""
        }
    }

    private static var ownArchitecture: String {
        #if arch(arm64)
            "arm64"
        #else
            "amd64"
        #endif
    }

    /// OCI's object, as the API takes it in queries.
    var json: JSONValue {
        var object = JSONObject([("architecture", .string(architecture)), ("os", .string(os))])
        if !variant.isEmpty { object["variant"] = .string(variant) }
        return .object(object)
    }
}
