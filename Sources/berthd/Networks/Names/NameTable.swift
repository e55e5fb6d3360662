import Netlink
import Synchronization

/// The names of running containers, by network; shared by all resolvers.
final class NameTable: Sendable {
    private struct Names {
        /// Lower-case name → addresses of all who have it, oldest first.
        var forward: [String: [IPAddress]] = [:]
        var reverse: [IPAddress: String] = [:]
    }

    private let networks = Mutex<[String: Names]>([:])

    /// The first name is the one that an address resolves to.
    func add(_ names: [String], addresses: [IPAddress], network: String) {
        networks.withLock { networks in
            for name in names {
                let key = name.lowercased()
                for address in addresses where networks[network, default: Names()].forward[key]?.contains(address) != true {
                    networks[network, default: Names()].forward[key, default: []].append(address)
                }
            }
            guard let first = names.first else { return }
            for address in addresses { networks[network, default: Names()].reverse[address] = first }
        }
    }

    func remove(_ names: [String], addresses: [IPAddress], network: String) {
        networks.withLock { networks in
            guard var entry = networks[network] else { return }
            for name in names {
                let key = name.lowercased()
                entry.forward[key]?.removeAll { addresses.contains($0) }
                if entry.forward[key]?.isEmpty == true { entry.forward[key] = nil }
            }
            for address in addresses { entry.reverse[address] = nil }
            networks[network] = entry.forward.isEmpty && entry.reverse.isEmpty ? nil : entry
        }
    }

    /// The addresses of `name` in the first of the networks that knows it, nil when none does.
    ///
    /// - Parameter networks: ID and name of each; `NAME.NETWORK` asks one of them alone.
    func addresses(of name: String, in networks: [(id: String, name: String)]) -> [IPAddress]? {
        let key = name.lowercased()
        return self.networks.withLock { table in
            for network in networks { if let found = table[network.id]?.forward[key] { return found } }
            for network in networks {
                let suffix = "." + network.name.lowercased()
                if key.hasSuffix(suffix), let found = table[network.id]?.forward[String(key.dropLast(suffix.count))] { return found }
            }
            return nil
        }
    }

    /// `NAME.NETWORK` of an address.
    func name(of address: IPAddress, in networks: [(id: String, name: String)]) -> String? {
        self.networks.withLock { table in
            for network in networks { if let found = table[network.id]?.reverse[address] { return "\(found).\(network.name)" } }
            return nil
        }
    }
}
