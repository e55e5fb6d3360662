/// The accept rules for our bridges in Docker's chain for its users, DOCKER-USER of `ip filter` (iptables-nft).
enum DockerUserChain {
    /// What is missing from the chain, to go to its head.
    ///
    /// The rules have no comment: iptables, which owns the table, would not read one that it has not written.
    /// - Parameter listing: what `nft list chain` prints.
    static func missing(family: String, bridges: [String], listing: String) -> String {
        var text = ""
        for bridge in bridges {
            for direction in ["iifname", "oifname"] where !listing.contains("\(direction) \"\(bridge)\"") {
                text += "insert rule \(family) filter DOCKER-USER \(direction) \"\(bridge)\" counter accept\n"
            }
        }
        return text
    }

    /// Deletes the rules of a bridge that is no more.
    /// - Parameter listing: what `nft -a list chain` prints, with a handle behind every rule.
    static func stale(family: String, bridge: String, listing: String) -> String {
        var text = ""
        for line in listing.split(separator: "\n") where line.contains("ifname \"\(bridge)\" counter") {
            guard let mark = line.range(of: "# handle "), let handle = Int(line[mark.upperBound...].prefix { $0.isNumber }) else { continue }
            text += "delete rule \(family) filter DOCKER-USER handle \(handle)\n"
        }
        return text
    }
}

extension Substring {
    /// Where `part` begins and ends, first occurrence. (The standard library has this for collections only in later language versions without Foundation.)
    func range(of part: String) -> Range<Index>? {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(part) { return index..<self.index(index, offsetBy: part.count) }
            index = self.index(after: index)
        }
        return nil
    }
}
