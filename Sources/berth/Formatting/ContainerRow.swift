import DockerAPI

/// A container of `GET /containers/json` as `ps` shows it.
enum ContainerRow {
    static let table = "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}"

    static let headers: [(field: String, title: String)] = [
        ("ID", "CONTAINER ID"), ("Names", "NAMES"), ("Image", "IMAGE"), ("Command", "COMMAND"), ("CreatedAt", "CREATED AT"), ("RunningFor", "CREATED"),
        ("Ports", "PORTS"), ("State", "STATE"), ("Status", "STATUS"), ("Size", "SIZE"), ("Labels", "LABELS"), ("Mounts", "MOUNTS"),
        ("LocalVolumes", "LOCAL VOLUMES"), ("Networks", "NETWORKS"), ("Platform", "PLATFORM"),
    ]

    static func listing(given: String, quiet: Bool, size: Bool) -> Listing {
        if given == "raw" {
            let raw =
                "container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\nstate: {{- pad .State 1 0}}\nstatus: {{- pad .Status 1 0}}\nnames: {{.Names}}\nlabels: {{- pad .Labels 1 0}}\nports: {{- pad .Ports 1 0}}\n"
            return Listing(format: quiet ? "container_id: {{.ID}}" : raw + (size ? "size: {{.Size}}\n" : ""), headers: headers)
        }
        return Listing.choose(given: given, table: table + (size ? "\t{{.Size}}" : ""), quiet: quiet ? "{{.ID}}" : nil, headers: headers)
    }

    static func make(_ container: JSONValue, truncating: Bool) -> TemplateRow {
        let id = container.string("Id")
        return TemplateRow(
            typeName: "*formatter.ContainerContext",
            fields: [
                ("ID", { .string(truncating ? Shortening.id(id) : id) }),
                ("Names", { .string(names(container, truncating)) }),
                ("Image", { .string(image(container, truncating)) }),
                ("Command", { .string(GoText.quoted(truncating ? Shortening.ellipsis(container.string("Command"), 20) : container.string("Command"))) }),
                ("CreatedAt", { .string(Timestamp(seconds: container.int("Created")).goString) }),
                ("RunningFor", { .string(ago(container.int("Created"))) }),
                ("Ports", { .string(PortColumn.text(container.array("Ports"))) }),
                ("State", { .string(container.string("State")) }),
                ("Status", { .string(container.string("Status")) }),
                ("Size", { .string(size(container)) }),
                ("Labels", { .string(labels(container.object("Labels"))) }),
                ("Mounts", { .string(mounts(container, truncating)) }),
                ("LocalVolumes", { .string(String(container.array("Mounts").count { $0.string("Driver") == "local" })) }),
                ("Networks", { .string((container["NetworkSettings"]?.object("Networks").keys ?? []).joined(separator: ",")) }),
                ("Platform", { platform(container) }),
            ],
            label: { container.object("Labels")[$0]?.stringValue ?? "" })
    }

    /// `3 hours ago`.
    static func ago(_ seconds: Int64) -> String {
        Durations.human(nanoseconds: Timestamp.now().nanoseconds(since: Timestamp(seconds: seconds))) + " ago"
    }

    /// Sorted `K=V`, joined by commas.
    static func labels(_ object: JSONObject) -> String {
        object.members.map { "\($0.key)=\($0.value.stringValue ?? "")" }.sorted().joined(separator: ",")
    }

    private static func names(_ container: JSONValue, _ truncating: Bool) -> String {
        let names = container.strings("Names").map { String($0.dropFirst()) }
        // A name with a slash belongs to a link of another container
        if truncating, let own = names.first(where: { !$0.contains("/") }) { return own }
        return names.joined(separator: ",")
    }

    private static func image(_ container: JSONValue, _ truncating: Bool) -> String {
        let image = container.string("Image")
        if image.isEmpty { return "<no image>" }
        guard truncating else { return image }
        let short = Shortening.id(container.string("ImageID"))
        if short == Shortening.id(image) { return short }
        guard let reference = try? ImageReference(image) else { return image }
        return reference.familiarName + (reference.tag.map { ":\($0)" } ?? "")
    }

    private static func size(_ container: JSONValue) -> String {
        let writable = Sizes.human(container.double("SizeRw"), precision: 3)
        let total = container.double("SizeRootFs")
        return total > 0 ? "\(writable) (virtual \(Sizes.human(total, precision: 3)))" : writable
    }

    private static func mounts(_ container: JSONValue, _ truncating: Bool) -> String {
        container.array("Mounts").map { mount in
            let name = mount.string("Name").isEmpty ? mount.string("Source") : mount.string("Name")
            return truncating ? Shortening.ellipsis(name, 15) : name
        }.joined(separator: ",")
    }

    private static func platform(_ container: JSONValue) -> JSONValue {
        guard let platform = container["ImageManifestDescriptor"]?["platform"] else { return .null }
        let variant = platform.string("variant")
        return .string("\(platform.string("os"))/\(platform.string("architecture"))" + (variant.isEmpty ? "" : "/\(variant)"))
    }
}

/// The ports column: neighbouring ports with the same number on both sides become a range.
enum PortColumn {
    static func text(_ ports: [JSONValue]) -> String {
        let sorted = ports.sorted { left, right in
            let keys = ["PrivatePort", "IP", "PublicPort", "Type"]
            for key in keys {
                if key == "IP" || key == "Type" {
                    if left.string(key) != right.string(key) { return left.string(key) < right.string(key) }
                } else if left.int(key) != right.int(key) {
                    return left.int(key) < right.int(key)
                }
            }
            return false
        }
        var groups: [(ip: String, type: String, first: Int64, last: Int64)] = []
        var order: [String] = []
        var open: [String: Int] = [:]
        var finished: [String] = []
        var remapped: [String] = []
        for port in sorted {
            let (ip, type, inner, outer) = (port.string("IP"), port.string("Type"), port.int("PrivatePort"), port.int("PublicPort"))
            if !ip.isEmpty, outer != inner {
                remapped.append("\(hostPort(ip, String(outer)))->\(inner)/\(type)")
                continue
            }
            let key = ip.isEmpty ? type : "\(ip)/\(type)"
            guard let index = open[key] else {
                groups.append((ip, type, inner, inner))
                open[key] = groups.count - 1
                order.append(key)
                continue
            }
            if inner == groups[index].last + 1 {
                groups[index].last = inner
            } else {
                finished.append(group(groups[index]))
                groups[index] = (ip, type, inner, inner)
            }
        }
        let last = order.compactMap { open[$0].map { group(groups[$0]) } }
        return (finished + last + remapped).joined(separator: ", ")
    }

    private static func group(_ group: (ip: String, type: String, first: Int64, last: Int64)) -> String {
        let range = group.first == group.last ? "\(group.first)" : "\(group.first)-\(group.last)"
        return (group.ip.isEmpty ? range : "\(hostPort(group.ip, range))->\(range)") + "/\(group.type)"
    }

    static func hostPort(_ ip: String, _ port: String) -> String { ip.contains(":") ? "[\(ip)]:\(port)" : "\(ip):\(port)" }
}
