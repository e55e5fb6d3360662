/// What `-v` and `--mount` say.
enum MountSpec {
    /// One `-v`: a bind for HostConfig.Binds, or an anonymous volume for Config.Volumes.
    enum Volume {
        case bind(String)
        case anonymous(String)
    }

    /// `[SOURCE:]TARGET[:OPTIONS]`; a relative source that starts with a dot becomes absolute here, since the daemon stands elsewhere.
    static func volume(_ spec: String) throws -> Volume {
        guard !spec.isEmpty else { throw CommandFailure("invalid empty volume spec") }
        let parts = spec.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        if spec.count <= 2 { return .anonymous(spec) }
        guard !parts.contains("") else { throw CommandFailure("invalid spec: \(spec): empty section between colons") }
        guard parts.count <= 3 else { throw CommandFailure("invalid spec: \(spec): too many colons") }
        if parts.count == 1 { return .anonymous(spec) }
        guard parts[0].hasPrefix(".") else { return .bind(spec) }
        return .bind(([LocalFile.absolute(parts[0])] + parts.dropFirst()).joined(separator: ":"))
    }

    /// Checked while flags are read; `mount` reads it again when the request is made.
    static func check(_ text: String) throws -> String {
        _ = try mount(text)
        return text
    }

    /// `type=bind,source=…,target=…` as one entry of HostConfig.Mounts.
    /// - Throws: `InvalidValue`.
    static func mount(_ text: String) throws -> JSONValue {
        var mount = JSONObject([("Type", "volume")])
        var groups: [String: JSONObject] = [:]
        func set(_ group: String, _ key: String, _ value: JSONValue) { groups[group, default: JSONObject()][key] = value }
        func setMap(_ group: String, _ path: [String], _ pair: String) {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            guard !parts[0].isEmpty else { return }
            var object = groups[group] ?? JSONObject()
            var inner = path.count == 2 ? object[path[0]]?.objectValue ?? JSONObject() : object
            let name = path[path.count - 1]
            var map = inner[name]?.objectValue ?? JSONObject()
            map[parts[0]] = .string(parts.count == 2 ? parts[1] : "")
            inner[name] = .object(map)
            if path.count == 2 { object[path[0]] = .object(inner) } else { object = inner }
            groups[group] = object
        }
        for field in try CSV.fields(text) {
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let key = parts[0].lowercased()
            guard parts.count == 2 else {
                switch key {
                case "readonly", "ro": mount["ReadOnly"] = true
                case "volume-nocopy": set("VolumeOptions", "NoCopy", true)
                case "bind-nonrecursive": set("BindOptions", "NonRecursive", true)
                default: throw InvalidValue("invalid field '\(field)' must be a key=value pair")
                }
                continue
            }
            let value = parts[1]
            func flag() throws -> JSONValue {
                guard let parsed = Flag.parseBool(value) else { throw InvalidValue("invalid value for \(key): \(value)") }
                return .bool(parsed)
            }
            switch key {
            case "type": mount["Type"] = .string(value.lowercased())
            case "source", "src": mount["Source"] = .string(value.hasPrefix(".") ? LocalFile.absolute(value) : value)
            case "target", "dst", "destination": mount["Target"] = .string(value)
            case "readonly", "ro": mount["ReadOnly"] = try flag()
            case "consistency": mount["Consistency"] = .string(value.lowercased())
            case "bind-propagation": set("BindOptions", "Propagation", .string(value.lowercased()))
            case "bind-nonrecursive": set("BindOptions", "NonRecursive", try flag())
            case "bind-recursive":
                switch value {
                case "enabled": break
                case "disabled": set("BindOptions", "NonRecursive", true)
                case "writable": set("BindOptions", "ReadOnlyNonRecursive", true)
                case "readonly": set("BindOptions", "ReadOnlyForceRecursive", true)
                default:
                    throw InvalidValue(
                        "invalid value for \(key): \(value) (must be \"enabled\", \"disabled\", \"writable\", or \"readonly\")")
                }
            case "volume-subpath": set("VolumeOptions", "Subpath", .string(value))
            case "volume-nocopy": set("VolumeOptions", "NoCopy", try flag())
            case "volume-label": setMap("VolumeOptions", ["Labels"], value)
            case "volume-driver":
                var driver = groups["VolumeOptions"]?["DriverConfig"]?.objectValue ?? JSONObject()
                driver["Name"] = .string(value)
                set("VolumeOptions", "DriverConfig", .object(driver))
            case "volume-opt": setMap("VolumeOptions", ["DriverConfig", "Options"], value)
            case "image-subpath": set("ImageOptions", "Subpath", .string(value))
            case "tmpfs-size":
                guard let size = try? Sizes.parse(value) else { throw InvalidValue("invalid value for \(key): \(value)") }
                set("TmpfsOptions", "SizeBytes", .int(size))
            case "tmpfs-mode":
                guard let mode = UInt32(value, radix: 8) else { throw InvalidValue("invalid value for \(key): \(value)") }
                set("TmpfsOptions", "Mode", .int(Int64(mode)))
            default: throw InvalidValue("unexpected key '\(key)' in '\(field)'")
            }
        }
        try validate(mount, groups)
        for group in ["BindOptions", "VolumeOptions", "ImageOptions", "TmpfsOptions"] {
            if let options = groups[group] { mount[group] = .object(options) }
        }
        return .object(mount)
    }

    private static func validate(_ mount: JSONObject, _ groups: [String: JSONObject]) throws {
        let type = mount["Type"]?.stringValue ?? ""
        if type.isEmpty { throw InvalidValue("type is required") }
        if (mount["Target"]?.stringValue ?? "").isEmpty { throw InvalidValue("target is required") }
        for kind in ["volume", "image", "bind", "tmpfs"] where kind != type {
            let group = kind.prefix(1).uppercased() + kind.dropFirst() + "Options"
            if groups[group] != nil { throw InvalidValue("cannot mix '\(kind)-*' options with mount type '\(type)'") }
        }
        guard let bind = groups["BindOptions"] else { return }
        let isReadOnly = mount["ReadOnly"]?.boolValue ?? false
        if bind["ReadOnlyNonRecursive"] == true, !isReadOnly {
            throw InvalidValue("option 'bind-recursive=writable' requires 'readonly' to be specified in conjunction")
        }
        if bind["ReadOnlyForceRecursive"] == true {
            if !isReadOnly { throw InvalidValue("option 'bind-recursive=readonly' requires 'readonly' to be specified in conjunction") }
            if bind["Propagation"] != "rprivate" {
                throw InvalidValue("option 'bind-recursive=readonly' requires 'bind-propagation=rprivate' to be specified in conjunction")
            }
        }
    }
}

/// One line of comma-separated values, where a field in double quotes may hold commas.
enum CSV {
    static func fields(_ text: String) throws -> [String] {
        var fields: [String] = []
        var rest = Substring(text)
        guard !rest.isEmpty else { throw InvalidValue("EOF") }
        while true {
            if rest.first == "\"" {
                rest.removeFirst()
                var field = ""
                while true {
                    guard let character = rest.popFirst() else { throw InvalidValue("parse error on line 1, column \(text.count + 1): extraneous or missing \" in quoted-field") }
                    if character != "\"" {
                        field.append(character)
                    } else if rest.first == "\"" {
                        field.append(rest.removeFirst())
                    } else {
                        break
                    }
                }
                fields.append(field)
            } else {
                let field = rest.prefix { $0 != "," }
                if let quote = field.firstIndex(of: "\"") {
                    throw InvalidValue("parse error on line 1, column \(text.distance(from: text.startIndex, to: quote) + 1): bare \" in non-quoted-field")
                }
                fields.append(String(field))
                rest = rest.dropFirst(field.count)
            }
            guard rest.first == "," else { return fields }
            rest.removeFirst()
        }
    }
}
