import Glibc
import LinuxSystem

/// `~/.docker/config.json`, shared with the stock client: credentials, default formats, detach keys, proxies.
struct ClientConfig {
    let path: String
    private(set) var root: JSONValue

    /// A missing file is an empty configuration; a broken one is reported and then taken as empty.
    static func load(directory: String, warn: (String) -> Void) -> ClientConfig {
        let path = "\(directory)/config.json"
        guard let bytes = try? LocalFile.read(path) else { return ClientConfig(path: path, root: .object(JSONObject())) }
        do { return ClientConfig(path: path, root: try JSONParser.parse(bytes)) } catch {
            warn("WARNING: Error loading config file: \(path): not valid JSON")
            return ClientConfig(path: path, root: .object(JSONObject()))
        }
    }

    var detachKeys: String { root.string("detachKeys") }
    var httpHeaders: [(String, String)] {
        root.object("HttpHeaders").members.compactMap { member in member.value.stringValue.map { (member.key, $0) } }
    }

    /// `psFormat`, `imagesFormat`, `networksFormat`, `volumesFormat`, `statsFormat`.
    func format(_ key: String) -> String { root.string(key) }

    /// Proxy variables for containers: those of this engine's host, else the default ones.
    func proxies(host: String) -> [(String, String)] {
        guard let all = root["proxies"], let chosen = all[host] ?? all["default"] else { return [] }
        let names = [("httpProxy", "HTTP_PROXY"), ("httpsProxy", "HTTPS_PROXY"), ("noProxy", "NO_PROXY"), ("ftpProxy", "FTP_PROXY"), ("allProxy", "ALL_PROXY")]
        return names.flatMap { key, name -> [(String, String)] in
            let value = chosen.string(key)
            return value.isEmpty ? [] : [(name, value), (name.lowercased(), value)]
        }
    }

    mutating func set(_ key: String, _ value: JSONValue?) {
        var object = root.objectValue ?? JSONObject()
        object[key] = value
        root = .object(object)
    }

    /// Replaces the file atomically, readable by its owner alone.
    func save() throws {
        let directory = String(path.prefix(upTo: path.lastIndex(of: "/") ?? path.startIndex))
        mkdir(directory, 0o700)
        var content = JSONIndenter.indent(Array(root.text.utf8), by: "\t")
        if content.isEmpty { content = Array("{}".utf8) }
        let temporary = "\(path).\(getpid())"
        do {
            try LocalFile.write(content, to: temporary, mode: 0o600)
            try syscall("rename", on: path) { rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw CommandFailure("Error saving credentials: \(error)")
        }
    }
}
