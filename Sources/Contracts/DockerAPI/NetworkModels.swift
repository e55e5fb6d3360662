package struct NetworkingConfig: Codable, Sendable, Equatable {
    /// Network name or ID → how to join it.
    package var EndpointsConfig: [String: EndpointSettings?]?
    package init(EndpointsConfig: [String: EndpointSettings?]? = nil) { self.EndpointsConfig = EndpointsConfig }
}

/// A container's place in one network: the first part is configuration, the rest what came of it.
package struct EndpointSettings: Codable, Sendable, Equatable {
    package struct IPAM: Codable, Sendable, Equatable {
        package var IPv4Address: String?
        package var IPv6Address: String?
        package var LinkLocalIPs: [String]?
        package init() {}
    }

    @Nullable package var IPAMConfig: IPAM?
    @Nullable package var Links: [String]?
    @Nullable package var Aliases: [String]?
    package var MacAddress: String?
    @Nullable package var DriverOpts: [String: String]?
    package var GwPriority: Int?

    package var NetworkID: String?
    package var EndpointID: String?
    package var Gateway: String?
    package var IPAddress: String?
    package var IPPrefixLen: Int?
    package var IPv6Gateway: String?
    package var GlobalIPv6Address: String?
    package var GlobalIPv6PrefixLen: Int?
    @Nullable package var DNSNames: [String]?

    package init() {}
}

/// `NetworkSettings` of a container's inspect. The single-address fields speak of the default bridge and are empty elsewhere.
package struct NetworkSettings: Codable, Sendable, Equatable {
    package var Bridge: String?
    package var SandboxID: String?
    package var SandboxKey: String?
    /// `PORT/PROTO` → where it is published; null when only exposed.
    package var Ports: [String: [PortBinding]?]?
    package var HairpinMode: Bool?
    package var LinkLocalIPv6Address: String?
    package var LinkLocalIPv6PrefixLen: Int?
    @Nullable package var SecondaryIPAddresses: [String]?
    @Nullable package var SecondaryIPv6Addresses: [String]?
    package var EndpointID: String?
    package var Gateway: String?
    package var GlobalIPv6Address: String?
    package var GlobalIPv6PrefixLen: Int?
    package var IPAddress: String?
    package var IPPrefixLen: Int?
    package var IPv6Gateway: String?
    package var MacAddress: String?
    package var Networks: [String: EndpointSettings]?

    package init() {}
}

package struct IPAMPool: Codable, Sendable, Equatable {
    package var Subnet: String?
    package var IPRange: String?
    package var Gateway: String?
    package var AuxiliaryAddresses: [String: String]?
    package init() {}
}

package struct IPAMConfiguration: Codable, Sendable, Equatable {
    package var Driver: String?
    @Nullable package var Options: [String: String]?
    @Nullable package var Config: [IPAMPool]?
    package init() {}
}

package struct ConfigReference: Codable, Sendable, Equatable {
    package var Network: String?
    package init(Network: String? = nil) { self.Network = Network }
}

/// GET /networks and /networks/{id}.
package struct NetworkInspect: Codable, Sendable, Equatable {
    package struct Endpoint: Codable, Sendable, Equatable {
        package var Name: String?
        package var EndpointID: String?
        package var MacAddress: String?
        /// With the prefix length.
        package var IPv4Address: String?
        package var IPv6Address: String?
        package init() {}
    }

    package var Name: String?
    package var Id: String?
    package var Created: String?
    package var Scope: String?
    package var Driver: String?
    package var EnableIPv4: Bool?
    package var EnableIPv6: Bool?
    package var IPAM: IPAMConfiguration?
    package var Internal: Bool?
    package var Attachable: Bool?
    package var Ingress: Bool?
    package var ConfigFrom: ConfigReference?
    package var ConfigOnly: Bool?
    /// By container ID.
    package var Containers: [String: Endpoint]?
    @Nullable package var Options: [String: String]?
    @Nullable package var Labels: [String: String]?

    package init() {}
}

/// POST /networks/create.
package struct NetworkCreateRequest: Codable, Sendable, Equatable {
    package var Name: String?
    package var CheckDuplicate: Bool?
    package var Driver: String?
    package var Scope: String?
    package var EnableIPv4: Bool?
    package var EnableIPv6: Bool?
    package var IPAM: IPAMConfiguration?
    package var Internal: Bool?
    package var Attachable: Bool?
    package var Ingress: Bool?
    package var ConfigOnly: Bool?
    package var ConfigFrom: ConfigReference?
    package var Options: [String: String]?
    package var Labels: [String: String]?

    package init() {}
}

package struct NetworkCreateResponse: Codable, Sendable, Equatable {
    package var Id: String
    package var Warning: String?
    package init(Id: String, Warning: String = "") {
        self.Id = Id
        self.Warning = Warning
    }
}

package struct NetworkConnectRequest: Codable, Sendable, Equatable {
    package var Container: String?
    package var EndpointConfig: EndpointSettings?
    package init() {}
}

package struct NetworkDisconnectRequest: Codable, Sendable, Equatable {
    package var Container: String?
    package var Force: Bool?
    package init() {}
}

package struct NetworksPruneReport: Codable, Sendable, Equatable {
    @Nullable package var NetworksDeleted: [String]?
    package init(NetworksDeleted: [String]?) { self.NetworksDeleted = NetworksDeleted }
}
