import ContainerdAPI
import OCISpec
import Registry
import SwiftProtobuf

/// How the supervisor is told to reach registries: what the daemon's flags say, in the words of a transfer (docs/storage.md, "Registries").
struct RegistrySettings: Sendable {
    /// Registries that may be spoken to without TLS or without its verification: hosts, or networks in CIDR notation.
    var insecure: [String] = []
    /// Asked before Docker Hub: base addresses with a scheme.
    var mirrors: [String] = []
    /// Directories with a folder for each registry, colons between; empty for the supervisor's own.
    var configPath = ""

    init() {}

    /// - Throws: `.invalidArgument` for a mirror that dockerd would refuse too.
    init(_ config: DaemonConfig) throws(DaemonError) {
        insecure = config.insecureRegistries
        mirrors = try config.registryMirrors.map { text throws(DaemonError) in try Self.mirror(text) }
        configPath = config.registryConfigPath
    }

    /// A mirror's address without a slash at its end.
    static func mirror(_ text: String) throws(DaemonError) -> String {
        let schemes = ["http://", "https://"].filter { text.hasPrefix($0) }
        guard let scheme = schemes.first else { throw .invalid("invalid mirror: unsupported scheme in \"\(text)\": use http:// or https://") }
        let rest = text.dropFirst(scheme.count)
        let host = rest.prefix { $0 != "/" }
        guard !host.isEmpty, !text.contains(" ") else { throw .invalid("invalid mirror: \"\(text)\" names no host") }
        guard !host.contains("@") else { throw .invalid("invalid mirror: username/password not allowed in URI \"\(scheme)xxxxx@\(host.split(separator: "@").last ?? "")\"") }
        guard !rest.contains("?"), !rest.contains("#") else { throw .invalid("invalid mirror: unsupported path, query or fragment in URI \"\(text)\"") }
        return text.hasSuffix("/") ? String(text.dropLast()) : text
    }

    /// The same for the daemon's own requests to a registry.
    func options(for domain: String) -> RegistryOptions {
        var options = RegistryOptions()
        options.isInsecure = InsecureRegistries.contains(domain, insecure)
        options.mirrors = domain == ImageReference.defaultDomain ? mirrors : []
        options.directories = configPath.isEmpty ? RegistryOptions.defaultDirectories : configPath.split(separator: ":").map(String.init)
        return options
    }

    /// What a pull or push of this reference says about its registry.
    func resolver(for reference: ImageReference, authStream: String?) -> TransferTypes_RegistryResolver {
        TransferTypes_RegistryResolver.with {
            if let authStream { $0.authStream = authStream }
            $0.hostDir = configPath
            if InsecureRegistries.contains(reference.domain, insecure) { $0.headers["X-Berth-Insecure"] = "1" }
            if reference.domain == ImageReference.defaultDomain, !mirrors.isEmpty { $0.headers["X-Berth-Mirrors"] = mirrors.joined(separator: " ") }
        }
    }
}
