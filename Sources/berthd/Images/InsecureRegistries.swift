import Netlink

/// dockerd's `--insecure-registry`: hosts with or without a port, and networks in CIDR notation.
enum InsecureRegistries {
    static func contains(_ domain: String, _ list: [String]) -> Bool {
        if list.contains(domain) { return true }
        var host = domain[...]
        if let colon = domain.lastIndex(of: ":"), !domain[colon...].contains("]") { host = domain[..<colon] }
        if list.contains(String(host)) { return true }
        let bare = host.hasPrefix("[") && host.hasSuffix("]") ? host.dropFirst().dropLast() : host
        guard let address = IPAddress(String(bare)) else { return false }
        return list.contains { IPNetwork($0)?.contains(address) == true }
    }
}
