import Glibc
import LinuxSystem

/// Names and passwords for registries, from config.json or a credential helper.
struct RegistryCredentials {
    /// Docker Hub goes under this name in config.json.
    static let hub = "https://index.docker.io/v1/"

    var username = ""
    var password = ""
    var identityToken = ""
    var registryToken = ""
    var server = ""

    /// What a request to the engine carries for an image of `domain`.
    static func header(for domain: String, config: ClientConfig) -> [(String, String)] {
        let server = domain == "docker.io" ? hub : domain
        let found = (try? lookup(server, config: config)) ?? RegistryCredentials()
        return [("X-Registry-Auth", found.encoded)]
    }

    /// The same for builds, which may need any of the registries that the configuration knows.
    static func headerForAll(config: ClientConfig) -> [(String, String)] {
        var all = JSONObject()
        for member in config.root.object("auths").members + config.root.object("credHelpers").members where all[member.key] == nil {
            if let found = try? lookup(member.key, config: config) { all[member.key] = found.json }
        }
        return all.isEmpty ? [] : [("X-Registry-Config", Base64.encode(Array(JSONValue.object(all).text.utf8), urlSafe: true))]
    }

    /// base64url of the JSON that the API calls AuthConfig.
    var encoded: String { Base64.encode(Array(json.text.utf8), urlSafe: true) }

    private var json: JSONValue {
        var object = JSONObject()
        for (key, value) in [
            ("username", username), ("password", password), ("serveraddress", server), ("identitytoken", identityToken), ("registrytoken", registryToken),
        ] where !value.isEmpty { object[key] = .string(value) }
        return .object(object)
    }

    static func lookup(_ server: String, config: ClientConfig) throws -> RegistryCredentials {
        if let helper = helper(for: server, config: config) { return try CredentialHelper(name: helper).get(server) }
        let auths = config.root.object("auths")
        let bare = hostName(server)
        guard let entry = auths[server] ?? auths.members.first(where: { hostName($0.key) == bare })?.value else { return RegistryCredentials(server: server) }
        var result = RegistryCredentials(server: server)
        if let decoded = Base64.decode(entry.string("auth")), let colon = decoded.firstIndex(of: UInt8(ascii: ":")) {
            result.username = String(decoding: decoded[..<colon], as: UTF8.self)
            result.password = String(decoding: decoded[(colon + 1)...].prefix { $0 != 0 }, as: UTF8.self)
        } else {
            result.username = entry.string("username")
            result.password = entry.string("password")
        }
        result.identityToken = entry.string("identitytoken")
        result.registryToken = entry.string("registrytoken")
        return result
    }

    static func helper(for server: String, config: ClientConfig) -> String? {
        let name = config.root.object("credHelpers")[hostName(server)]?.stringValue ?? config.root.object("credHelpers")[server]?.stringValue
            ?? config.root.string("credsStore")
        return name.isEmpty ? nil : name
    }

    /// `https://host/v1/` is `host`.
    static func hostName(_ server: String) -> String {
        var text = Substring(server)
        for scheme in ["http://", "https://"] where text.hasPrefix(scheme) { text = text.dropFirst(scheme.count) }
        return String(text.prefix { $0 != "/" })
    }

    /// Keeps the credentials: in the helper if one is configured, else in config.json, where they are only encoded.
    func store(in config: inout ClientConfig) throws {
        if let helper = RegistryCredentials.helper(for: server, config: config) {
            try CredentialHelper(name: helper).store(self)
            // The empty entry tells other readers of the file that there is something to ask the helper for
            var auths = config.root.object("auths")
            auths[server] = [:]
            config.set("auths", .object(auths))
            try config.save()
            return
        }
        var auths = config.root.object("auths")
        var entry = JSONObject()
        if identityToken.isEmpty {
            entry["auth"] = .string(Base64.encode(Array("\(username):\(password)".utf8)))
        } else {
            entry["auth"] = .string(Base64.encode(Array("\(username):".utf8)))
            entry["identitytoken"] = .string(identityToken)
        }
        auths[server] = .object(entry)
        config.set("auths", .object(auths))
        try config.save()
    }
}

/// A program `docker-credential-NAME` that keeps passwords; it reads a line or JSON from its input and answers JSON.
struct CredentialHelper {
    let name: String

    func get(_ server: String) throws -> RegistryCredentials {
        let (status, output) = try ChildProgram.run("docker-credential-\(name)", ["get"], input: Array(server.utf8))
        let text = String(decoding: output, as: UTF8.self).trimmingBlanks()
        if status != 0 {
            if text.contains("credentials not found") { return RegistryCredentials(server: server) }
            throw CommandFailure("error getting credentials - err: exit status \(status), out: `\(text)`")
        }
        guard let reply = try? JSONParser.parse(output) else { throw CommandFailure("error getting credentials - docker-credential-\(name) answered no JSON") }
        let user = reply.string("Username")
        if user == "<token>" { return RegistryCredentials(identityToken: reply.string("Secret"), server: server) }
        return RegistryCredentials(username: user, password: reply.string("Secret"), server: server)
    }

    func store(_ credentials: RegistryCredentials) throws {
        let token = !credentials.identityToken.isEmpty
        let body: JSONValue = [
            "ServerURL": .string(credentials.server), "Username": .string(token ? "<token>" : credentials.username),
            "Secret": .string(token ? credentials.identityToken : credentials.password),
        ]
        let (status, output): (Int32, [UInt8])
        do { (status, output) = try ChildProgram.run("docker-credential-\(name)", ["store"], input: Array(body.text.utf8)) } catch {
            throw CommandFailure("Error saving credentials: error storing credentials - err: \(Main.describe(error).message), out: ``")
        }
        if status != 0 {
            throw CommandFailure("Error saving credentials: error storing credentials - err: exit status \(status), out: `\(String(decoding: output, as: UTF8.self).trimmingBlanks())`")
        }
    }

    func erase(_ server: String) throws {
        let (status, output) = try ChildProgram.run("docker-credential-\(name)", ["erase"], input: Array(server.utf8))
        let text = String(decoding: output, as: UTF8.self).trimmingBlanks()
        if status != 0, !text.contains("credentials not found") {
            throw CommandFailure("error erasing credentials - err: exit status \(status), out: `\(text)`")
        }
    }
}

/// RFC 4648.
enum Base64 {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)

    static func encode(_ bytes: [UInt8], urlSafe: Bool = false) -> String {
        var result: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let chunk = Array(bytes[start..<min(start + 3, bytes.count)])
            let value = chunk.reduce(0) { $0 << 8 | UInt32($1) } << UInt32(8 * (3 - chunk.count))
            for position in 0..<4 {
                result.append(position <= chunk.count ? alphabet[Int(value >> UInt32(18 - 6 * position)) & 63] : UInt8(ascii: "="))
            }
        }
        let text = String(decoding: result, as: UTF8.self)
        return urlSafe ? text.replacing("+", with: "-").replacing("/", with: "_") : text
    }

    static func decode(_ text: String) -> [UInt8]? {
        guard !text.isEmpty else { return nil }
        var result: [UInt8] = []
        var (value, bits) = (UInt32(0), 0)
        for byte in text.utf8 where byte != UInt8(ascii: "=") {
            guard let digit = alphabet.firstIndex(of: byte) else { return nil }
            value = value << 6 | UInt32(digit)
            bits += 6
            if bits >= 8 {
                bits -= 8
                result.append(UInt8(truncatingIfNeeded: value >> UInt32(bits)))
            }
        }
        return result
    }
}
