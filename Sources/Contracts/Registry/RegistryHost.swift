package import BerthDefaults
import OCISpec

/// One place where repositories can be had: the registry itself, or a mirror of it.
package struct RegistryHost: Sendable, Equatable {
    /// What the place is asked for. Words and meaning are those of containerd's `hosts.toml`.
    package struct Capabilities: OptionSet, Sendable {
        package let rawValue: Int
        package init(rawValue: Int) { self.rawValue = rawValue }
        /// Content by its digest.
        package static let pull = Capabilities(rawValue: 1)
        /// What a tag stands for.
        package static let resolve = Capabilities(rawValue: 2)
        package static let push = Capabilities(rawValue: 4)
        package static let all: Capabilities = [.pull, .resolve, .push]
    }

    package struct Header: Sendable, Equatable {
        package var name: String
        package var value: String

        package init(name: String, value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Host with its port where one is given.
    package var authority: String
    /// "https", "http" or both: the next one is tried where the first meets something else than a server of its kind.
    package var schemes: [String]
    /// Before the repository's name: "/v2".
    package var path = "/v2"
    package var capabilities = Capabilities.all
    /// Sent to this place alone.
    package var headers: [Header] = []
    package var tls = RegistryTLS()
    /// A mirror that serves several registries is told which one is meant (`?ns=docker.io`).
    package var proxied: String?
    /// Whether this is the registry that the image's name speaks of: only it is given the user's credentials without being asked for by name.
    package var isOrigin = true
    package var connectTimeout: Duration?

    /// "http://127.0.0.1:5000", for people.
    package var description: String { "\(schemes.first ?? "https")://\(authority)\(path == "/v2" ? "" : path)" }

    /// Loopback addresses and names: spoken to without TLS, as every engine does.
    package static func isLoopback(_ host: String) -> Bool {
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" }.dropFirst() : host.prefix { $0 != ":" }
        if name == "localhost" || name == "::1" { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        return parts.count == 4 && parts[0] == 127 && !parts.contains(nil)
    }

    /// Where Docker Hub's registry is; every other registry is where its name says.
    package static func authority(of domain: String) -> String { domain == ImageReference.defaultDomain ? "registry-1.docker.io" : domain }
}

/// How one client's transfer wants registries to be spoken to.
package struct RegistryOptions: Sendable {
    /// Where registries have their folders unless somebody says otherwise.
    package static let defaultDirectories = ["/etc/berth/certs.d", "/etc/containerd/certs.d", "/etc/docker/certs.d"]

    package init() {}

    /// dockerd's `--insecure-registry`: TLS without verification, or no TLS.
    package var isInsecure = false
    /// "http" or "https" where the client said so; nil decides by the host.
    package var scheme: String?
    /// Sent with every request to the registry itself.
    package var headers: [RegistryHost.Header] = []
    /// dockerd's `--registry-mirror`: base addresses that are asked before the registry.
    package var mirrors: [String] = []
    /// Directories with one folder for each registry (`certs.d`); the first that has one for the host counts.
    package var directories: [String] = []
}

extension RegistryOptions {
    /// The places to ask for a registry's content, first to last.
    /// - Throws: invalidArgument for a mirror or a file that cannot be understood, naming it.
    package func hosts(for domain: String) throws -> [RegistryHost] {
        var hosts = try mirrors.map { try mirror($0) }
        let directory = HostDirectory.find(domain, in: directories)
        if let directory, let file = try directory.hostsFile() {
            hosts += try file.hosts(for: domain, default: try origin(domain, directory: nil))
        } else {
            hosts.append(try origin(domain, directory: directory))
        }
        for index in hosts.indices where hosts[index].isOrigin { hosts[index].headers += headers }
        return hosts
    }

    /// The registry itself, as its name alone has it and a Docker-style folder of certificates says.
    private func origin(_ domain: String, directory: HostDirectory?) throws -> RegistryHost {
        let authority = RegistryHost.authority(of: domain)
        var host = RegistryHost(authority: authority, schemes: ["https"])
        host.tls = try directory?.certificates() ?? RegistryTLS()
        if let scheme {
            host.schemes = [scheme]
        } else if RegistryHost.isLoopback(authority), host.tls.isEmpty {
            host.schemes = ["http", "https"]
            host.tls.skipsVerification = true
        } else if isInsecure {
            host.schemes = ["https", "http"]
        }
        if isInsecure { host.tls.skipsVerification = true }
        return host
    }

    private func mirror(_ text: String) throws -> RegistryHost {
        let (scheme, authority, path) = try RegistryAddress.parse(text)
        var host = RegistryHost(authority: authority, schemes: [scheme])
        host.path = path.isEmpty || path == "/" ? "/v2" : RegistryAddress.joined(path, "v2")
        host.capabilities = [.pull, .resolve]
        host.isOrigin = false
        host.tls = try HostDirectory.find(authority, in: directories)?.certificates() ?? RegistryTLS()
        return host
    }
}

/// Addresses of registries, as configuration has them.
package enum RegistryAddress {
    /// Scheme, authority and path of "https://host:5000/path"; https where there is no scheme.
    package static func parse(_ text: String) throws(CodedError) -> (scheme: String, authority: String, path: String) {
        var rest = text[...]
        var scheme = "https"
        for known in ["https", "http"] where rest.hasPrefix("\(known)://") {
            scheme = known
            rest = rest.dropFirst(known.count + 3)
            break
        }
        let authority = rest.prefix { $0 != "/" }
        guard !authority.isEmpty, !rest.contains("://"), !rest.contains("?"), !rest.contains("#"), !authority.contains("@"),
            text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { throw CodedError(.invalidArgument, "registry address \"\(text)\" is not of the form https://HOST[:PORT][/PATH]") }
        return (scheme, String(authority), String(rest.dropFirst(authority.count)))
    }

    /// `path` with `last` as its last component, once.
    package static func joined(_ path: String, _ last: String) -> String {
        let trimmed = path.hasSuffix("/") ? String(path.dropLast()) : path
        return trimmed.hasSuffix("/\(last)") ? trimmed : "\(trimmed)/\(last)"
    }
}
