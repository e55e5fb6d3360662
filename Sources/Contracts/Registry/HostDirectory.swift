import BerthDefaults
import LinuxSystem

/// The folder of one registry below a `certs.d`: `hosts.toml` as containerd has it, or certificates alone as Docker has them.
///
/// ```
/// certs.d/HOST[:PORT]/hosts.toml                 mirrors, certificates, headers; then the files below count only where it names them
/// certs.d/HOST[:PORT]/*.crt                      trusted authorities
/// certs.d/HOST[:PORT]/NAME.cert + NAME.key       shown to the registry
/// ```
///
/// `HOST_PORT_` is another way to write HOST:PORT, `_default` stands for every registry without a folder of its own.
struct HostDirectory {
    let path: String

    static func find(_ authority: String, in directories: [String]) -> HostDirectory? {
        var names = [authority]
        if let colon = authority.lastIndex(of: ":"), !authority[colon...].contains("]") {
            names.append("\(authority[..<colon])_\(authority[authority.index(after: colon)...])_")
        }
        // The name comes from a reference, whose grammar has no slash and no "..": it cannot leave the directory.
        for directory in directories {
            for name in names + ["_default"] where Self.isDirectory("\(directory)/\(name)") { return HostDirectory(path: "\(directory)/\(name)") }
        }
        return nil
    }

    private static func isDirectory(_ path: String) -> Bool { (try? Files.status(path))?.isDirectory ?? false }

    /// The folder's `hosts.toml`; nil where there is none.
    func hostsFile() throws -> HostsFile? {
        let file = "\(path)/hosts.toml"
        guard Files.exists(file) else { return nil }
        do { return HostsFile(table: try TOMLReader.read(try Files.readText(file)), directory: path) } catch let error as CodedError {
            throw CodedError(.invalidArgument, "\(file): \(error.message)")
        }
    }

    /// Certificates by the endings of their names.
    func certificates() throws -> RegistryTLS {
        var tls = RegistryTLS()
        let names = try Files.entries(of: path).sorted()
        for name in names {
            if name.hasSuffix(".crt") { tls.authorities.append("\(path)/\(name)") }
            if name.hasSuffix(".cert") {
                let key = "\(name.dropLast(5)).key"
                guard names.contains(key) else { throw CodedError(.failedPrecondition, "missing key \(key) for client certificate \(name) in \(path)") }
                tls.clientPairs.append(.init(certificate: "\(path)/\(name)", key: "\(path)/\(key)"))
            }
            if name.hasSuffix(".key"), !names.contains("\(name.dropLast(4)).cert") {
                throw CodedError(.failedPrecondition, "missing client certificate \(name.dropLast(4)).cert for key \(name) in \(path)")
            }
        }
        return tls
    }
}

/// containerd's `hosts.toml`. A key that we do not know is refused: a pull that leaves a line out of account could go to the wrong place.
struct HostsFile {
    let table: TOMLTable
    /// Relative paths start here.
    let directory: String

    /// - Parameter origin: the registry as its name alone has it; it comes last unless the file says otherwise.
    func hosts(for domain: String, default origin: RegistryHost) throws(CodedError) -> [RegistryHost] {
        var hosts: [RegistryHost] = []
        var own = table
        own["host"] = nil
        if case .table(let named)? = table["host"] {
            for entry in named.entries {
                guard case .table(let fields) = entry.value else { throw failure("host \"\(entry.key)\" is not a table") }
                hosts.append(try host(entry.key, fields, for: domain))
            }
        } else if table["host"] != nil {
            throw failure("\"host\" is not a table")
        }
        // The server's own line: without one, the registry as its name has it.
        var last = origin
        if let server = table["server"] {
            own["server"] = nil
            guard case .string(let address) = server else { throw failure("\"server\" is not a string") }
            last = try host(address, own, for: domain)
        } else if !own.entries.isEmpty {
            try apply(own, to: &last)
        }
        last.isOrigin = true
        last.proxied = last.authority == origin.authority ? nil : domain
        return hosts + [last]
    }

    private func failure(_ message: String) -> CodedError { CodedError(.invalidArgument, "\(directory)/hosts.toml: \(message)") }

    private func host(_ address: String, _ fields: TOMLTable, for domain: String) throws(CodedError) -> RegistryHost {
        let (scheme, authority, path) = try RegistryAddress.parse(address)
        var host = RegistryHost(authority: authority, schemes: [scheme])
        host.isOrigin = authority == RegistryHost.authority(of: domain)
        host.proxied = host.isOrigin ? nil : domain
        host.path = path
        try apply(fields, to: &host)
        if fields["override_path"] != .boolean(true) { host.path = RegistryAddress.joined(path, "v2") }
        return host
    }

    private func apply(_ fields: TOMLTable, to host: inout RegistryHost) throws(CodedError) {
        for entry in fields.entries {
            switch (entry.key, entry.value) {
            case ("capabilities", .array(let values)):
                host.capabilities = []
                for value in values {
                    switch value {
                    case .string("pull"): host.capabilities.insert(.pull)
                    case .string("resolve"): host.capabilities.insert(.resolve)
                    case .string("push"): host.capabilities.insert(.push)
                    default: throw failure("unknown capability \(value)")
                    }
                }
            case ("ca", .string(let file)): host.tls.authorities = [absolute(file)]
            case ("ca", .array(let files)):
                host.tls.authorities = []
                for file in files { host.tls.authorities.append(absolute(try text(file, "ca"))) }
            case ("client", let value): host.tls.clientPairs = try clientPairs(value)
            case ("skip_verify", .boolean(let skips)): host.tls.skipsVerification = skips
            case ("override_path", .boolean): break
            case ("header", .table(let headers)):
                host.headers = []
                for header in headers.entries {
                    if case .array(let values) = header.value {
                        for value in values { host.headers.append(.init(name: header.key, value: try text(value, "header \(header.key)"))) }
                    } else {
                        host.headers.append(.init(name: header.key, value: try text(header.value, "header \(header.key)")))
                    }
                }
            case ("dial_timeout", .string(let duration)):
                guard let amount = Self.duration(duration) else { throw failure("dial_timeout \"\(duration)\" is not a duration such as \"3s\"") }
                host.connectTimeout = amount
            default: throw failure("unknown key or wrong kind of value: \(entry.key)")
            }
        }
    }

    private func text(_ value: TOMLValue, _ key: String) throws(CodedError) -> String {
        guard case .string(let text) = value else { throw failure("\(key) is not a string") }
        return text
    }

    /// "both.pem", ["one.pem", "two.pem"] or [["cert.pem", "key.pem"], …].
    private func clientPairs(_ value: TOMLValue) throws(CodedError) -> [RegistryTLS.ClientPair] {
        func pair(_ certificate: String, _ key: String) -> RegistryTLS.ClientPair {
            .init(certificate: absolute(certificate), key: absolute(key.isEmpty ? certificate : key))
        }
        switch value {
        case .string(let file): return [pair(file, file)]
        case .array(let items):
            var pairs: [RegistryTLS.ClientPair] = []
            for item in items {
                switch item {
                case .string(let file): pairs.append(pair(file, file))
                case .array(let files) where files.count == 1 || files.count == 2:
                    pairs.append(pair(try text(files[0], "client"), files.count == 2 ? try text(files[1], "client") : ""))
                default: throw failure("client is not a file or a pair of files")
                }
            }
            return pairs
        default: throw failure("client is not a file or a pair of files")
        }
    }

    private func absolute(_ file: String) -> String { file.hasPrefix("/") ? file : "\(directory)/\(file)" }

    /// A duration as Go writes it: "1m30s", "500ms".
    static func duration(_ text: String) -> Duration? {
        let units: [(String, Int64)] = [("ms", 1_000_000), ("us", 1_000), ("ns", 1), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000)]
        var rest = text[...]
        var total: Int64 = 0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && $0.isNumber }
            guard let number = Int64(digits), number < 1_000_000 else { return nil }
            rest = rest.dropFirst(digits.count)
            guard let unit = units.first(where: { rest.hasPrefix($0.0) }) else { return nil }
            rest = rest.dropFirst(unit.0.count)
            total += number * unit.1
        }
        return total > 0 ? .nanoseconds(total) : nil
    }
}
