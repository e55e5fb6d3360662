import Netlink

/// What dockerd's flags and daemon.json say about networks.
struct NetworkConfiguration: Sendable {
    /// `--bridge`: name of the default bridge's link; "none" means that there is no default bridge.
    var bridgeName = "berth0"
    /// The default bridge is the engine's to make and to remove: it was not named with `--bridge`.
    var ownsBridge = true
    /// What tells this engine's packet filter table from those of others on the machine: the default bridge's name, or what stands for it.
    var filterName = "berth0"
    /// `--bip`: address and prefix of the default bridge.
    var bridgeAddress: IPNetwork?
    /// `--fixed-cidr`.
    var fixedCIDR: IPNetwork?
    /// `--default-address-pool`; empty means the built-in ones.
    var addressPools: [AddressPool] = []
    /// `--ipv6`: the default bridge has addresses of IPv6 too, from the pools of that family.
    var enableIPv6 = false
    /// `--mtu`.
    var mtu: UInt32 = 1500
    /// `--icc`.
    var interContainer = true
    /// `--ip-masq`.
    var masquerade = true
    /// `--ip`: where ports without an address are published.
    var defaultHostAddress: IPAddress = .any4
    /// `--ip-forward`: turn forwarding on when it is off.
    var enableForwarding = true
    /// `--dns`, `--dns-search`, `--dns-opt`.
    var dns: [String] = []
    var dnsSearch: [String] = []
    var dnsOptions: [String] = []
    /// `--host-gateway-ip`: what `host-gateway` in `--add-host` means; empty: the default bridge's address.
    var hostGateway: [IPAddress] = []
    /// `--default-network-opt` of the driver bridge.
    var defaultOptions: [String: String] = [:]
    /// Makes the IPv6 range of this machine.
    var engineID = ""
}
