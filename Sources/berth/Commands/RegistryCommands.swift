/// `login`, `logout` and `search`.
enum RegistryCommands {
    static let login = Command(
        name: "login", synopsis: "[OPTIONS] [SERVER]", summary: "Authenticate to a registry", arguments: .atMost(1),
        flags: [
            .string("password", "p", "Password or Personal Access Token (PAT)"),
            .bool("password-stdin", "Take the Password or Personal Access Token (PAT) from stdin"), .string("username", "u", "Username"),
        ], details: "Authenticate to a registry.\nDefaults to Docker Hub if no server is specified.", run: logIn)

    static let logout = Command(
        name: "logout", synopsis: "[SERVER]", summary: "Log out from a registry", arguments: .atMost(1),
        details: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.", run: logOut)

    static let search = Command(
        name: "search", synopsis: "[OPTIONS] TERM", summary: "Search Docker Hub for images", arguments: .exactly(1),
        flags: [.filter(), .string("format", "Pretty-print search using a Go template"), .int("limit", "Max number of search results"), .noTrunc], run: searchHub)

    private static func server(_ call: Invocation) -> String {
        let given = call.arguments.first ?? ""
        return given.isEmpty || given == "docker.io" ? RegistryCredentials.hub : given
    }

    private static func logIn(_ call: Invocation) throws {
        if call.changed("password-stdin") {
            if call.changed("password") { throw CommandFailure("conflicting options: cannot specify both --password and --password-stdin") }
            if !call.changed("username") { throw CommandFailure("the --password-stdin option requires --username to be set") }
        }
        if call.changed("username"), call.string("username").isEmpty { throw CommandFailure("username is empty") }
        if call.changed("password"), call.string("password").isEmpty { throw CommandFailure("password is empty") }
        var credentials = RegistryCredentials(username: call.string("username"), password: call.string("password"), server: server(call))
        if !credentials.password.isEmpty { call.printError("WARNING! Using --password via the CLI is insecure. Use --password-stdin.") }
        if call.bool("password-stdin") {
            var bytes: [UInt8] = []
            while case let piece = try LocalFile.read(0, limit: 4096), !piece.isEmpty { bytes += piece }
            if bytes.last == 10 { bytes.removeLast() }
            if bytes.last == 13 { bytes.removeLast() }
            credentials.password = String(decoding: bytes, as: UTF8.self)
        }
        var isStored = false
        if credentials.username.isEmpty, credentials.password.isEmpty {
            // A helper that cannot be asked has nothing to offer; storing will tell what is wrong with it
            let stored = (try? RegistryCredentials.lookup(credentials.server, config: call.client.config)) ?? RegistryCredentials()
            if !stored.username.isEmpty, !stored.password.isEmpty {
                call.printError("Authenticating with existing credentials... [Username: \(stored.username)]")
                let program = call.client.program
                call.printError("\n Info -> To login with a different account, run '\(program) logout' followed by '\(program) login'\n\n")
                credentials = stored
                isStored = true
            }
        }
        if credentials.username.isEmpty || credentials.password.isEmpty { try ask(call, &credentials) }
        let reply = try call.engine.json(
            "POST", "/auth",
            body: .json([
                "username": .string(credentials.username), "password": .string(credentials.password), "serveraddress": .string(credentials.server),
            ]))
        if !reply.string("IdentityToken").isEmpty {
            credentials.password = ""
            credentials.identityToken = reply.string("IdentityToken")
        }
        var config = call.client.config
        try credentials.store(in: &config)
        if !isStored, RegistryCredentials.helper(for: credentials.server, config: config) == nil {
            call.printError(
                "\nWARNING! Your credentials are stored unencrypted in '\(config.path)'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n"
            )
        }
        if !reply.string("Status").isEmpty { call.print(reply.string("Status")) }
    }

    private static func ask(_ call: Invocation, _ credentials: inout RegistryCredentials) throws {
        let terminal = LocalTerminal(descriptor: 0)
        guard terminal.exists else { throw CommandFailure("Error: Cannot perform an interactive login from a non TTY device") }
        if credentials.username.isEmpty {
            call.client.out.write("Username: ")
            call.client.out.flush()
            credentials.username = (readLine() ?? "").trimmingBlanks()
            if credentials.username.isEmpty { throw CommandFailure("Error: Non-null Username Required") }
        }
        if credentials.password.isEmpty {
            call.client.out.write("Password: ")
            call.client.out.flush()
            credentials.password = terminal.withoutEcho { readLine() ?? "" }
            call.print("")
            if credentials.password.isEmpty { throw CommandFailure("Error: Password Required") }
        }
    }

    private static func logOut(_ call: Invocation) throws {
        let server = server(call)
        let name = RegistryCredentials.hostName(server)
        var config = call.client.config
        var auths = config.root.object("auths")
        let isHub = server == RegistryCredentials.hub
        call.print("Removing login credentials for \(isHub ? server : name)")
        if let helper = RegistryCredentials.helper(for: server, config: config) {
            do { try CredentialHelper(name: helper).erase(isHub ? server : name) } catch {
                call.printError("WARNING: could not erase credentials:\n\(server): \(Main.describe(error).message)")
            }
        }
        let keys = auths.keys.filter { $0 == server || (!isHub && RegistryCredentials.hostName($0) == name) }
        if keys.isEmpty { return }
        for key in keys { auths[key] = nil }
        config.set("auths", .object(auths))
        try config.save()
    }

    private static func searchHub(_ call: Invocation) throws {
        var query = [("term", call.arguments[0])]
        if call.int("limit") > 0 { query.append(("limit", String(call.int("limit")))) }
        let headers = RegistryCredentials.header(for: "docker.io", config: call.client.config)
        let results = try call.engine.json("GET", "/images/search", query: query + call.filters(), headers: headers).arrayValue ?? []
        let truncating = !call.bool("no-trunc")
        let listing = Listing.choose(
            given: call.string("format"), table: "{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}", quiet: nil,
            headers: [("Name", "NAME"), ("Description", "DESCRIPTION"), ("StarCount", "STARS"), ("IsOfficial", "OFFICIAL"), ("IsAutomated", "AUTOMATED")])
        let rows = results.map { result in
            let description = result.string("description").replacing("\n", with: " ").replacing("\r", with: " ")
            return TemplateRow(
                typeName: "*registry.searchContext",
                fields: [
                    ("Name", { .string(result.string("name")) }),
                    ("Description", { .string(truncating ? Shortening.ellipsis(description, 45) : description) }),
                    ("StarCount", { .string(String(result.int("star_count"))) }), ("IsOfficial", { .string(result.bool("is_official") ? "[OK]" : "") }),
                    ("IsAutomated", { .string(result.bool("is_automated") ? "[OK]" : "") }),
                ])
        }
        call.client.out.write(try listing.render(rows))
    }
}
