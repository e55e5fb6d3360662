import BerthDefaults

/// `info`.
enum InfoCommand {
    static let command = Command(
        name: "info", synopsis: "[OPTIONS]", summary: "Display system-wide information", arguments: .none, flags: [.inspectFormat],
        aliases: ["system info", "info"], run: run)

    private static func run(_ call: Invocation) throws {
        let format = call.string("format")
        var clientInfo = VersionCommand.clientInfo(apiVersion: "").pruned
        clientInfo = JSONObject([("Debug", .bool(call.client.isDebug))] + clientInfo.members.map { ($0.key, $0.value) } + [("Plugins", []), ("Warnings", .null)])
        var info: JSONValue?
        var failure: (any Error)?
        do { info = try call.engine.json("GET", "/info") } catch { failure = error }
        if format.isEmpty {
            showClient(call)
            call.print("\nServer:")
            if let info { InfoText(info: info, isDebug: call.client.isDebug, username: username(call)).write(call) }
            if let failure = failure as? EngineFailure {
                call.printError("ERROR: \(failure.message)")
                throw CommandFailure("errors pretty printing info")
            }
        } else {
            if let failure = failure as? EngineFailure { call.printError(failure.message) }
            var members = (info ?? .null).objectValue ?? JSONObject()
            members["ClientInfo"] = .object(clientInfo)
            let template: Template
            do { template = try Template(format == "json" ? "{{json .}}" : format) } catch let error as TemplateError {
                throw CommandFailure("template parsing error: \(error.message)", status: 64)
            }
            do { call.print(try template.render(.json(.object(members)))) } catch let error as TemplateError { throw CommandFailure(error.message) }
        }
        if let failure, !(failure is EngineFailure) { throw failure }
    }

    private static func username(_ call: Invocation) -> String {
        (try? RegistryCredentials.lookup(RegistryCredentials.hub, config: call.client.config).username) ?? ""
    }

    private static func showClient(_ call: Invocation) {
        call.print("Client: Berth\n Version:    \(Defaults.version)\n Context:    default\n Debug Mode: \(call.client.isDebug)")
    }
}

/// The engine's side of `info` as text.
struct InfoText {
    let info: JSONValue
    let isDebug: Bool
    let username: String

    func write(_ call: Invocation) {
        let engineDebug = info.bool("Debug")
        line(call, " Containers:", String(info.int("Containers")))
        line(call, "  Running:", String(info.int("ContainersRunning")))
        line(call, "  Paused:", String(info.int("ContainersPaused")))
        line(call, "  Stopped:", String(info.int("ContainersStopped")))
        line(call, " Images:", String(info.int("Images")))
        optional(call, " Server Version:", "ServerVersion")
        optional(call, " Storage Driver:", "Driver")
        for pair in info.array("DriverStatus") { call.print("  " + (pair.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ": ")) }
        optional(call, " Logging Driver:", "LoggingDriver")
        optional(call, " Cgroup Driver:", "CgroupDriver")
        optional(call, " Cgroup Version:", "CgroupVersion")
        plugins(call)
        if !info.strings("CDISpecDirs").isEmpty {
            call.print(" CDI spec directories:")
            for directory in info.strings("CDISpecDirs") { call.print("  \(directory)") }
        }
        line(call, " Swarm:", info["Swarm"]?.string("LocalNodeState") ?? "")
        let runtimes = info.object("Runtimes").keys
        if !runtimes.isEmpty {
            line(call, " Runtimes:", runtimes.joined(separator: " "))
            line(call, " Default Runtime:", info.string("DefaultRuntime"))
        }
        if info.string("OSType") == "linux" { linux(call) }
        optional(call, " Kernel Version:", "KernelVersion")
        optional(call, " Operating System:", "OperatingSystem")
        optional(call, " OSType:", "OSType")
        optional(call, " Architecture:", "Architecture")
        line(call, " CPUs:", String(info.int("NCPU")))
        line(call, " Total Memory:", Sizes.binary(info.double("MemTotal")))
        optional(call, " Name:", "Name")
        optional(call, " ID:", "ID")
        line(call, " Docker Root Dir:", info.string("DockerRootDir"))
        line(call, " Debug Mode:", String(engineDebug))
        if engineDebug || isDebug {
            line(call, "  File Descriptors:", String(info.int("NFd")))
            line(call, "  Goroutines:", String(info.int("NGoroutines")))
            line(call, "  System Time:", info.string("SystemTime"))
            line(call, "  EventsListeners:", String(info.int("NEventsListener")))
        }
        optional(call, " HTTP Proxy:", "HttpProxy")
        optional(call, " HTTPS Proxy:", "HttpsProxy")
        optional(call, " No Proxy:", "NoProxy")
        if !username.isEmpty { line(call, " Username:", username) }
        if !info.strings("Labels").isEmpty { call.print(" Labels:\n" + info.strings("Labels").map { "  \($0)" }.joined(separator: "\n")) }
        line(call, " Experimental:", String(info.bool("ExperimentalBuild")))
        registries(call)
        line(call, " Live Restore Enabled:", String(info.bool("LiveRestoreEnabled")))
        optional(call, " Product License:", "ProductLicense")
        let pools = info.array("DefaultAddressPools")
        if !pools.isEmpty {
            call.print(" Default Address Pools:")
            for pool in pools { call.print("   Base: \(pool.string("Base")), Size: \(pool.int("Size"))") }
        }
        call.print("")
        for warning in info.strings("Warnings") { call.printError(warning) }
    }

    private func plugins(_ call: Invocation) {
        let plugins = info["Plugins"] ?? .null
        call.print(" Plugins:")
        line(call, "  Volume:", plugins.strings("Volume").joined(separator: " "))
        line(call, "  Network:", plugins.strings("Network").joined(separator: " "))
        if !plugins.strings("Authorization").isEmpty { line(call, "  Authorization:", plugins.strings("Authorization").joined(separator: " ")) }
        line(call, "  Log:", plugins.strings("Log").joined(separator: " "))
    }

    private func linux(_ call: Invocation) {
        line(call, " Init Binary:", info.string("InitBinary"))
        line(call, " containerd version:", info["ContainerdCommit"]?.string("ID") ?? "")
        line(call, " runc version:", info["RuncCommit"]?.string("ID") ?? "")
        line(call, " init version:", info["InitCommit"]?.string("ID") ?? "")
        let options = info.strings("SecurityOptions")
        if options.isEmpty { return }
        call.print(" Security Options:")
        for option in options {
            // name=seccomp,profile=builtin
            let pairs = option.split(separator: ",").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
            guard pairs.allSatisfy({ $0.count == 2 }) else {
                call.print("  \(option)")
                continue
            }
            for pair in pairs { call.print(pair[0] == "name" ? "  \(pair[1])" : pair[0] == "profile" ? "   Profile: \(pair[1])" : "") }
        }
    }

    private func registries(_ call: Invocation) {
        let config = info["RegistryConfig"] ?? .null
        let indexes = config.object("IndexConfigs").members.filter { !$0.value.bool("Secure") }.map(\.key)
        let networks = config.strings("InsecureRegistryCIDRs")
        if !config.object("IndexConfigs").isEmpty || !networks.isEmpty {
            call.print(" Insecure Registries:")
            for name in indexes + networks { call.print("  \(name)") }
        }
        if !config.strings("Mirrors").isEmpty { call.print(" Registry Mirrors:\n" + config.strings("Mirrors").map { "  \($0)" }.joined(separator: "\n")) }
    }

    private func line(_ call: Invocation, _ label: String, _ value: String) { call.print("\(label) \(value)") }

    private func optional(_ call: Invocation, _ label: String, _ key: String) {
        if !info.string(key).isEmpty { line(call, label, info.string(key)) }
    }
}
