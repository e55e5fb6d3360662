import BerthDefaults
import Netlink

extension NetworkConfiguration {
    /// Reads the daemon's flags.
    ///
    /// - Throws: `.invalidArgument` naming the flag and its value.
    init(_ config: DaemonConfig, engineID: String) throws {
        self.init()
        func network(_ text: String, _ flag: String) throws -> IPNetwork? {
            guard !text.isEmpty else { return nil }
            guard let value = IPNetwork(text) else { throw DaemonError.invalid("invalid \(flag): \"\(text)\" is no CIDR address") }
            return value
        }
        bridgeName = Self.defaultBridge(dataRoot: config.dataRoot)
        filterName = bridgeName
        if !config.bridge.isEmpty {
            guard NetworkRequestReader.isLinkName(config.bridge) else { throw DaemonError.invalid("invalid --bridge: \"\(config.bridge)\"") }
            bridgeName = config.bridge
            ownsBridge = false
            if bridgeName != "none" { filterName = bridgeName }
        }
        bridgeAddress = try network(config.bip, "--bip")
        fixedCIDR = try network(config.fixedCIDR, "--fixed-cidr")
        addressPools = try config.defaultAddressPools.map { pool in
            guard let base = try network(pool.base, "--default-address-pool"), (base.prefixLength...base.family.bitWidth).contains(pool.size) else {
                throw DaemonError.invalid("invalid --default-address-pool: base=\(pool.base),size=\(pool.size)")
            }
            return AddressPool(base: base.masked, size: pool.size)
        }
        guard (0...65535).contains(config.mtu) else { throw DaemonError.invalid("invalid --mtu: \(config.mtu)") }
        mtu = UInt32(config.mtu == 0 ? 1500 : config.mtu)
        enableIPv6 = config.ipv6
        interContainer = config.icc
        masquerade = config.ipMasquerade
        enableForwarding = config.ipForward
        guard let address = IPAddress(config.ip.isEmpty ? "0.0.0.0" : config.ip) else { throw DaemonError.invalid("invalid --ip: \"\(config.ip)\"") }
        defaultHostAddress = address
        dns = config.dns
        dnsSearch = config.dnsSearch
        dnsOptions = config.dnsOptions
        if !config.hostGatewayIP.isEmpty {
            guard let address = IPAddress(config.hostGatewayIP) else { throw DaemonError.invalid("invalid --host-gateway-ip: \"\(config.hostGatewayIP)\"") }
            hostGateway = [address]
        }
        defaultOptions = config.defaultNetworkOptions["bridge"] ?? [:]
        self.engineID = engineID
    }

    /// `berth0`, and for an engine with another data root a name made of that: engines on one machine share neither a bridge nor a table.
    static func defaultBridge(dataRoot: String) -> String {
        guard dataRoot != Defaults.dataRoot else { return "berth0" }
        let hash = dataRoot.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
        return "berth" + String(String(hash | 1 << 63, radix: 16).suffix(8))
    }
}
