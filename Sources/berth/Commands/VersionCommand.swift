import BerthDefaults

/// `version`.
enum VersionCommand {
    static let command = Command(
        name: "version", synopsis: "[OPTIONS]", summary: "Show the version information of client and engine", arguments: .none, flags: [.inspectFormat], run: run)

    /// What describes this program, by the names Docker's templates use.
    static func clientInfo(apiVersion: String) -> JSONObject {
        #if arch(arm64)
            let architecture = "arm64"
        #else
            let architecture = "amd64"
        #endif
        return JSONObject([
            ("Platform", ["Name": "Berth"]), ("Version", .string(Defaults.version)), ("ApiVersion", .string(apiVersion)),
            ("DefaultAPIVersion", .string(EngineClient.newestVersion)), ("GitCommit", ""), ("GoVersion", ""), ("Os", "linux"), ("Arch", .string(architecture)),
            ("BuildTime", ""), ("Context", "default"),
        ])
    }

    private static func run(_ call: Invocation) throws {
        let format = call.string("format")
        var template: Template?
        if !format.isEmpty, format != "json" {
            do { template = try Template(format, name: "version", missingIsError: true) } catch let error as TemplateError {
                throw CommandFailure("template parsing error: \(error.message)", status: 64)
            }
        }
        let engine = try call.engine
        var server: JSONValue?
        var failure: (any Error)?
        do { server = withEngineComponent(try engine.json("GET", "/version")) } catch { failure = error }
        let client = clientInfo(apiVersion: engine.versionForDisplay)
        if let template {
            // Docker's templates say APIVersion where the API says ApiVersion
            let plain: JSONValue = ["Client": .object(client), "Server": server ?? .null]
            if let text = try? template.render(.json(plain)) {
                call.print(text)
            } else {
                let value: JSONValue = ["Client": respelled(.object(client)), "Server": server.map(respelled) ?? .null]
                call.print(try template.render(.json(value)))
            }
        } else if format == "json" {
            call.print(JSONValue.object(JSONObject([("Client", .object(client.pruned)), ("Server", server ?? .null)])).text)
        } else {
            var text = clientText(client)
            if let server { text += "\n" + serverText(server) }
            call.client.out.write(TableWriter(minimumWidth: 20, padding: 1).align(text))
        }
        if let failure { throw failure }
    }

    private static func respelled(_ value: JSONValue) -> JSONValue {
        guard var object = value.objectValue else { return value }
        if let version = object["ApiVersion"] { object["APIVersion"] = version }
        return .object(object)
    }

    private static func clientText(_ client: JSONObject) -> String {
        let client = JSONValue.object(client)
        let (version, newest) = (client.string("ApiVersion"), client.string("DefaultAPIVersion"))
        return "Client: Berth\n Version:\t\(Defaults.version)\n API version:\t\(version)"
            + (version == newest ? "" : " (downgraded from \(newest))") + "\n OS/Arch:\tlinux/\(client.string("Arch"))\n Context:\tdefault\n"
    }

    private static func serverText(_ server: JSONValue) -> String {
        let platform = server["Platform"]?.string("Name") ?? ""
        var text = "Server:" + (platform.isEmpty ? "" : " \(platform)") + "\n"
        for component in server.array("Components") {
            let details = component.object("Details")
            func detail(_ key: String) -> String { details[key]?.stringValue ?? "<no value>" }
            text += " \(component.string("Name")):\n  Version:\t\(component.string("Version"))\n"
            if component.string("Name") == "Engine" {
                text += "  API version:\t\(detail("ApiVersion")) (minimum version \(detail("MinAPIVersion")))\n  Go version:\t\(detail("GoVersion"))\n"
                text += "  Git commit:\t\(detail("GitCommit"))\n  Built:\t\(detail("BuildTime"))\n  OS/Arch:\t\(detail("Os"))/\(detail("Arch"))\n"
                text += "  Experimental:\t\(detail("Experimental"))\n"
            } else {
                for key in details.keys.sorted() { text += "  \(key):\t\(detail(key))\n" }
            }
        }
        return text
    }

    /// Old engines have no list of components: the engine becomes the only one. Build times are shown as Go's ANSIC layout.
    private static func withEngineComponent(_ version: JSONValue) -> JSONValue {
        guard var object = version.objectValue else { return version }
        var components = version.array("Components")
        for (index, component) in components.enumerated() where component.string("Name") == "Engine" {
            guard var item = component.objectValue, var details = item["Details"]?.objectValue else { continue }
            details["BuildTime"] = .string(readable(details["BuildTime"]?.stringValue ?? ""))
            item["Details"] = .object(details)
            components[index] = .object(item)
        }
        if !components.contains(where: { $0.string("Name") == "Engine" }) {
            var details = JSONObject()
            for key in ["ApiVersion", "MinAPIVersion", "GitCommit", "GoVersion", "Os", "Arch"] { details[key] = .string(version.string(key)) }
            details["BuildTime"] = .string(readable(version.string("BuildTime")))
            details["Experimental"] = .string(version.bool("Experimental") ? "true" : "false")
            components.append(["Name": "Engine", "Version": .string(version.string("Version")), "Details": .object(details)])
        }
        object["Components"] = .array(components)
        return .object(object)
    }

    private static func readable(_ time: String) -> String { Timestamp(rfc3339: time)?.ansiCUTC ?? time }
}

extension JSONObject {
    /// Without empty strings, as Go leaves out what is marked omitempty.
    var pruned: JSONObject { JSONObject(members.filter { $0.value != "" }.map { ($0.key, $0.value) }) }
}
