import DockerAPI
import Netlink

/// A network as it is stored: what was asked for and what was chosen at its creation.
struct NetworkRecord: Sendable, Codable, Equatable {
    struct Pool: Sendable, Codable, Equatable {
        var subnet: String
        var range: String?
        /// nil only in networks whose gateway the user gave away.
        var gateway: String?
        var auxiliary: [String: String]
    }

    enum Driver: String, Sendable, Codable {
        case bridge, host, null
    }

    var id: String
    var name: String
    var driver: Driver
    var created: WallClock
    var enableIPv4: Bool
    var enableIPv6: Bool
    var ipamOptions: [String: String]?
    var pools: [Pool]
    /// The user named a subnet: only then a container may ask for an address.
    var hasChosenSubnet: Bool
    var isInternal: Bool
    var isAttachable: Bool
    var options: [String: String]
    var labels: [String: String]

    /// The networks that are always there.
    static let predefined: Set<String> = ["bridge", "host", "none"]

    var isPredefined: Bool { Self.predefined.contains(name) }

    /// Names resolve between the containers of networks that users made.
    var isUserDefined: Bool { driver == .bridge && name != "bridge" }

    /// Name of the bridge link.
    var linkName: String { options[NetworkOption.bridgeName] ?? "br-\(id.prefix(12))" }

    var mtu: UInt32? { options[NetworkOption.mtu].flatMap { UInt32($0) } }

    func flag(_ option: String, default missing: Bool) -> Bool { options[option].flatMap { NetworkOption.boolean($0) } ?? missing }

    var subnets: [IPNetwork] { pools.compactMap { IPNetwork($0.subnet) } }

    /// The gateway of the first pool of a family, with the pool's prefix length.
    func gateway(_ family: IPAddress.Family) -> IPNetwork? {
        guard family == .v4 ? enableIPv4 : enableIPv6 else { return nil }
        for pool in pools {
            guard let subnet = IPNetwork(pool.subnet), subnet.family == family, let gateway = pool.gateway.flatMap({ IPAddress($0) }) else { continue }
            return IPNetwork(gateway, prefixLength: subnet.prefixLength)
        }
        return nil
    }
}

/// Options of the bridge driver, by Docker's names.
enum NetworkOption {
    static let bridgeName = "com.docker.network.bridge.name"
    static let defaultBridge = "com.docker.network.bridge.default_bridge"
    static let interContainer = "com.docker.network.bridge.enable_icc"
    static let masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    static let hostBinding = "com.docker.network.bridge.host_binding_ipv4"
    static let mtu = "com.docker.network.driver.mtu"
    static let enableIPv4 = "com.docker.network.enable_ipv4"
    static let enableIPv6 = "com.docker.network.enable_ipv6"
    static let containerPrefix = "com.docker.network.container_iface_prefix"
    static let interfaceName = "com.docker.network.endpoint.ifname"
    static let sysctls = "com.docker.network.endpoint.sysctls"
    static let gatewayMode4 = "com.docker.network.bridge.gateway_mode_ipv4"
    static let gatewayMode6 = "com.docker.network.bridge.gateway_mode_ipv6"

    /// What the bridge driver of Berth understands. `gateway_mode_*` only with the value nat.
    static let known: Set<String> = [
        bridgeName, defaultBridge, interContainer, masquerade, hostBinding, mtu, enableIPv4, enableIPv6, containerPrefix, gatewayMode4, gatewayMode6,
    ]

    /// Go's ParseBool.
    static func boolean(_ text: String) -> Bool? {
        switch text {
        case "1", "t", "T", "TRUE", "true", "True": true
        case "0", "f", "F", "FALSE", "false", "False": false
        default: nil
        }
    }
}
