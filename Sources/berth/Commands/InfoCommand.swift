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
            var members = InfoCommand.empty
            for member in (info ?? .null).objectValue?.members ?? [] { members[member.key] = member.value }
            members["ClientInfo"] = .object(clientInfo)
            for (name, other) in [("CpuCfsPeriod", "CPUCfsPeriod"), ("CpuCfsQuota", "CPUCfsQuota"), ("HttpProxy", "HTTPProxy"), ("HttpsProxy", "HTTPSProxy")]
            where format.contains(".\(other)") { members[other] = members[name] }
            let template: Template
            do { template = try Template(format == "json" ? "{{json .}}" : format) } catch let error as TemplateError {
                throw CommandFailure("template parsing error: \(error.message)", status: 64)
            }
            let row = TemplateRow(
                typeName: "system.dockerInfo", fields: members.members.map { member in (member.key, { member.value }) }, label: nil, sortsFields: false)
            do { call.print(try template.render(.row(row))) } catch let error as TemplateError {
                call.print("")
                throw CommandFailure(error.message)
            }
        }
        if let failure, !(failure is EngineFailure) { throw failure }
    }

    /// The members a template may ask for when there is no engine, or an older one.
    private static let empty: JSONObject = {
        var object = JSONObject()
        for key in ["ID"] { object[key] = "" }
        for key in ["Containers", "ContainersRunning", "ContainersPaused", "ContainersStopped", "Images"] { object[key] = 0 }
        object["Driver"] = ""
        object["DriverStatus"] = .null
        object["Plugins"] = ["Volume": .null, "Network": .null, "Authorization": .null, "Log": .null]
        for key in ["MemoryLimit", "SwapLimit", "CpuCfsPeriod", "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit", "IPv4Forwarding", "Debug"] { object[key] = false }
        object["NFd"] = 0
        object["OomKillDisable"] = false
        object["NGoroutines"] = 0
        for key in ["SystemTime", "LoggingDriver", "CgroupDriver"] { object[key] = "" }
        object["NEventsListener"] = 0
        for key in ["KernelVersion", "OperatingSystem", "OSVersion", "OSType", "Architecture", "IndexServerAddress"] { object[key] = "" }
        object["RegistryConfig"] = .null
        object["NCPU"] = 0
        object["MemTotal"] = 0
        object["GenericResources"] = .null
        for key in ["DockerRootDir", "HttpProxy", "HttpsProxy", "NoProxy", "Name"] { object[key] = "" }
        object["Labels"] = .null
        object["ExperimentalBuild"] = false
        object["ServerVersion"] = ""
        object["Runtimes"] = .null
        object["DefaultRuntime"] = ""
        object["Swarm"] = ["NodeID": "", "NodeAddr": "", "LocalNodeState": "", "ControlAvailable": false, "Error": "", "RemoteManagers": .null]
        object["LiveRestoreEnabled"] = false
        for key in ["Isolation", "InitBinary"] { object[key] = "" }
        for key in ["ContainerdCommit", "RuncCommit", "InitCommit"] { object[key] = ["ID": ""] }
        for key in ["SecurityOptions", "CDISpecDirs", "Warnings"] { object[key] = .null }
        return object
    }()

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
