import LinuxSystem
import Netlink

/// The parts of resolv.conf(5) that matter here, read from the host's and written for containers.
struct ResolvConf: Sendable, Equatable {
    var nameservers: [IPAddress] = []
    var search: [String] = []
    var options: [String] = []

    /// The address of the embedded resolver inside of every container of a user-defined network.
    static let embedded = IPAddress.v4(0x7F00_000B)

    init() {}

    init(parsing text: String) {
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split { $0 == " " || $0 == "\t" }
            guard let keyword = words.first, !keyword.hasPrefix("#"), !keyword.hasPrefix(";") else { continue }
            let values = words.dropFirst().map(String.init)
            switch keyword {
            // A zone behind % names an interface of the host; it means nothing elsewhere.
            case "nameserver": if let address = values.first.flatMap({ IPAddress(String($0.prefix { $0 != "%" })) }) { nameservers.append(address) }
            case "search", "domain": search = values
            case "options": options += values
            default: break
            }
        }
    }

    /// The host's file; where systemd-resolved stands in it, the servers behind that, because 127.0.0.53 is out of a container's reach.
    static func host() -> ResolvConf {
        let own = ResolvConf(parsing: (try? Files.readText("/etc/resolv.conf")) ?? "")
        if own.nameservers == [.v4(0x7F00_0035)] {
            let behind = ResolvConf(parsing: (try? Files.readText("/run/systemd/resolve/resolv.conf")) ?? "")
            if !behind.nameservers.isEmpty { return behind }
        }
        return own
    }

    /// With what the container or the daemon asks for in the place of the host's.
    func overriding(nameservers: [IPAddress], search: [String], options: [String]) -> ResolvConf {
        var copy = self
        if !nameservers.isEmpty { copy.nameservers = nameservers }
        // "." alone means: no search list.
        if !search.isEmpty { copy.search = search == ["."] ? [] : search }
        if !options.isEmpty { copy.options = options }
        return copy
    }

    /// For a container that asks the servers itself: those that it can reach, or public ones when there are none.
    var reachable: ResolvConf {
        var copy = self
        copy.nameservers = nameservers.filter { !$0.isLoopback }
        if copy.nameservers.isEmpty { copy.nameservers = [.v4(0x0808_0808), .v4(0x0808_0404)] }
        return copy
    }

    /// For a container with the embedded resolver. ndots:0, so that a single word is tried as a container's name first.
    var throughEmbedded: ResolvConf {
        var copy = self
        copy.nameservers = [Self.embedded]
        if !copy.options.contains(where: { $0.hasPrefix("ndots:") }) { copy.options.append("ndots:0") }
        return copy
    }

    var text: String {
        var lines = ["# Written by Berth when the container started; changes to this file are kept until it starts again.", ""]
        lines += nameservers.map { "nameserver \($0)" }
        if !search.isEmpty { lines.append("search " + search.joined(separator: " ")) }
        if !options.isEmpty { lines.append("options " + options.joined(separator: " ")) }
        return lines.joined(separator: "\n") + "\n"
    }
}
