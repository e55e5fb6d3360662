import Netlink

/// The text of the engine's table: `inet berth`, and for a second engine on the machine one with the name of its bridge.
///
///     prerouting (raw)     nobody speaks of 127.0.0.0/8 on a bridge, although route_localnet is set there
///     prerouting (dstnat)  to an address of the host ─▶ publish ─▶ one lookup per packet in a map, however many ports there are
///     output     (dstnat)  the host's own connections, to 127.0.0.1 as well
///     forward    (filter)  between bridges (Docker's too) only what is published; internal networks not at all
///     postrouting (srcnat) out of the host: masquerade. Into a bridge after publish: masquerade where the answer would not come back through here
///
/// Docker keeps rules in tables of its own; an accept here does not overrule a drop there, see `PacketFilter`.
struct FilterRules: Sendable, Equatable {
    /// Without its family.
    let name: String

    /// - Parameter bridge: name of the default bridge's link. Engines that share a machine differ in it.
    init(bridge: String) { name = bridge == "berth0" || bridge == "none" ? "berth" : "berth-\(bridge)" }

    /// As commands name it.
    var table: String { "inet \(name)" }

    /// Replaces the table, whatever it held, in one transaction.
    func everything(_ model: FilterModel) -> String {
        var text = "table \(table)\ndelete table \(table)\n" + skeleton
        for bridge in model.bridges.values.sorted(by: { $0.name < $1.name }) { text += self.bridge("add", bridge) }
        return text + ports("add", Array(model.ports))
    }

    private var skeleton: String {
        """
        table \(table) {
          map publish4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
          map publish4any { type inet_proto . inet_service : ipv4_addr . inet_service; }
          map publish6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }
          map publish6any { type inet_proto . inet_service : ipv6_addr . inet_service; }
          set bridges { type ifname; }
          set internal { type ifname; }
          set within { type ifname . ifname; }
          set masquerade4 { type ipv4_addr; flags interval; }
          set masquerade6 { type ipv6_addr; flags interval; }
          set own4 { type ifname . ipv4_addr; flags interval; }
          set own6 { type ifname . ipv6_addr; flags interval; }

          chain raw {
            type filter hook prerouting priority raw; policy accept;
            iifname @bridges ip daddr 127.0.0.0/8 drop
            iifname @bridges ip saddr 127.0.0.0/8 drop
          }
          chain publish {
            meta nfproto ipv4 dnat ip to ip daddr . meta l4proto . th dport map @publish4
            meta nfproto ipv4 dnat ip to meta l4proto . th dport map @publish4any
            meta nfproto ipv6 dnat ip6 to ip6 daddr . meta l4proto . th dport map @publish6
            meta nfproto ipv6 dnat ip6 to meta l4proto . th dport map @publish6any
          }
          chain prerouting {
            type nat hook prerouting priority dstnat; policy accept;
            ip daddr 127.0.0.0/8 return
            fib daddr type local jump publish
          }
          chain output {
            type nat hook output priority -100; policy accept;
            ip6 daddr ::1 return
            fib daddr type local jump publish
          }
          chain intoBridge {
            iifname . oifname @within accept
            oifname @internal drop
            iifname @internal drop
            ct state established,related accept
            ct status dnat accept
            drop
          }
          chain outOfBridge {
            iifname @internal drop
            ct state established,related accept
            ct status dnat accept
            oifname "docker0" drop
            oifname "br-*" drop
          }
          chain forward {
            type filter hook forward priority filter; policy accept;
            oifname @bridges jump intoBridge
            iifname @bridges jump outOfBridge
          }
          chain postrouting {
            type nat hook postrouting priority srcnat; policy accept;
            oifname @bridges ip saddr 127.0.0.0/8 masquerade
            ct status dnat oifname . ip saddr @own4 masquerade
            ct status dnat oifname . ip6 saddr @own6 masquerade
            oifname @bridges return
            ip saddr @masquerade4 masquerade
            ip6 saddr @masquerade6 masquerade
          }
        }

        """
    }

    /// `verb`: add or delete.
    func bridge(_ verb: String, _ bridge: FilteredBridge) -> String {
        let name = "\"\(bridge.name)\""
        var text = element(verb, "bridges", [name]) + element(verb, "within", ["\(name) . \(name)"])
        if bridge.isInternal { text += element(verb, "internal", [name]) }
        for subnet in bridge.subnets {
            let family = subnet.family == .v4 ? "4" : "6"
            text += element(verb, "own\(family)", ["\(name) . \(subnet.masked)"])
            if bridge.masquerades && !bridge.isInternal { text += element(verb, "masquerade\(family)", ["\(subnet.masked)"]) }
        }
        return text
    }

    func ports(_ verb: String, _ ports: [PublishedPort]) -> String {
        var elements: [String: [String]] = [:]
        for port in ports {
            let family = port.hostAddress.family == .v4 ? "4" : "6"
            let key = "\(port.proto.rawValue) . \(port.hostPort)"
            // A key alone identifies what to delete; the value belongs to an add.
            let value = verb == "add" ? " : \(port.containerAddress) . \(port.containerPort)" : ""
            if port.hostAddress.isUnspecified {
                elements["publish\(family)any", default: []].append(key + value)
            } else {
                elements["publish\(family)", default: []].append("\(port.hostAddress) . \(key)\(value)")
            }
        }
        return elements.sorted { $0.key < $1.key }.map { element(verb, $0.key, $0.value) }.joined()
    }

    private func element(_ verb: String, _ set: String, _ elements: [String]) -> String {
        "\(verb) element \(table) \(set) { \(elements.joined(separator: ", ")) }\n"
    }
}
