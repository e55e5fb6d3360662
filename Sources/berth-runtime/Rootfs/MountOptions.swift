import LinuxSystem

/// The options of one mount, sorted by whom they are for: the mount itself, everything below it, its propagation, the filesystem, or the runtime.
///
/// Spec: config.md#linux-mount-options; mount(8).
struct MountOptions {
    struct Change {
        var set: MountAttributes = []
        var clear: MountAttributes = []

        var isEmpty: Bool { self.set.isEmpty && clear.isEmpty }

        /// A later option wins over an earlier one.
        mutating func apply(set more: MountAttributes, clear less: MountAttributes) {
            set.subtract(less)
            set.formUnion(more)
            clear.subtract(more.subtracting(.atimeMask))
            clear.formUnion(less)
        }
    }

    struct Propagation {
        let kind: MountPropagation
        let recursive: Bool
    }

    var attributes = Change()
    /// From "rro", "rnosuid" …: applied to the mount and all below it.
    var recursive = Change()
    var propagation: [Propagation] = []
    var bind = false
    var bindRecursive = false
    var remount = false
    /// Names an access time mode, which otherwise stays what it is when a bind mount gets attributes.
    var choosesAccessTimes = false
    var tmpcopyup = false
    /// "src-nofollow": the source of a bind mount may be a symlink and is itself mounted.
    var sourceNoFollow = false
    /// "idmap" (the mount) or "ridmap" (all below it too).
    var idmap = false
    var idmapRecursive = false
    /// For fsconfig, in `settings`: a flag, or "key=value".
    var filesystem: [String] = []

    // Switches and not tables: a table of texts is hashed at every start, for the three or four that a mount has.

    private static func attribute(_ name: String) -> (set: MountAttributes, clear: MountAttributes)? {
        switch name {
        case "ro": (.readonly, [])
        case "rw": ([], .readonly)
        case "nosuid": (.nosuid, [])
        case "suid": ([], .nosuid)
        case "nodev": (.nodev, [])
        case "dev": ([], .nodev)
        case "noexec": (.noexec, [])
        case "exec": ([], .noexec)
        case "nodiratime": (.nodiratime, [])
        case "diratime": ([], .nodiratime)
        case "noatime": (.noatime, .atimeMask)
        case "strictatime": (.strictatime, .atimeMask)
        case "atime", "relatime", "norelatime", "nostrictatime": ([], .atimeMask)
        case "nosymfollow": (.nosymfollow, [])
        case "symfollow": ([], .nosymfollow)
        default: nil
        }
    }

    private static func propagation(_ name: String) -> Propagation? {
        switch name {
        case "private": Propagation(kind: .private, recursive: false)
        case "rprivate": Propagation(kind: .private, recursive: true)
        case "shared": Propagation(kind: .shared, recursive: false)
        case "rshared": Propagation(kind: .shared, recursive: true)
        case "slave": Propagation(kind: .slave, recursive: false)
        case "rslave": Propagation(kind: .slave, recursive: true)
        case "unbindable": Propagation(kind: .unbindable, recursive: false)
        case "runbindable": Propagation(kind: .unbindable, recursive: true)
        default: nil
        }
    }

    /// Every option with a meaning of ours or the kernel's, for `features`.
    static var allNames: [String] {
        let attributes = [
            "ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec", "nodiratime", "diratime", "noatime", "atime", "relatime", "norelatime",
            "strictatime", "nostrictatime", "nosymfollow", "symfollow",
        ]
        let propagations = ["private", "rprivate", "shared", "rshared", "slave", "rslave", "unbindable", "runbindable"]
        return attributes + attributes.map { "r\($0)" } + propagations + ["sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime"]
            + ["bind", "rbind", "defaults", "remount", "tmpcopyup", "idmap", "ridmap", "src-nofollow", "loud", "silent", "iversion", "noiversion", "acl", "noacl"]
    }

    private static let accessTimes = MountAttributes.atimeMask.union(.nodiratime)

    /// What a bind mount of `source` gets: exactly the attributes that are named, and all others off, as soon as any is named, on or off. Its access times stay
    /// unless a mode of them is named.
    ///
    /// With `isLocked`, in a user namespace, the source's restrictions stay: taking one off, or changing the access times, is an error.
    func forBindMount(of source: MountAttributes, isLocked: Bool) throws(SystemError) -> Change {
        if attributes.isEmpty { return attributes }
        let named: MountAttributes = [.readonly, .nosuid, .nodev, .noexec]
        var set = attributes.set
        var clear = named.union(.nosymfollow)
        if choosesAccessTimes { clear.formUnion(Self.accessTimes) } else { set.subtract(Self.accessTimes) }
        if isLocked {
            let times = source.intersection(Self.accessTimes)
            if !attributes.clear.isDisjoint(with: source.intersection(named)) || (choosesAccessTimes && times != set.intersection(Self.accessTimes)) {
                throw SystemError(call: "mount_setattr", subject: "cannot change locked flags of the source", errno: .notPermitted)
            }
            set.formUnion(source.intersection(named))
        }
        return Change(set: set, clear: clear)
    }

    init(_ options: [String]) {
        for option in options { add(option) }
    }

    private mutating func add(_ option: String) {
        // None of the words below has a value.
        if option.contains(byte: UInt8(ascii: "=")) { return addForFilesystem(option) }
        if let change = Self.attribute(option) {
            if option == "relatime" || !change.set.isDisjoint(with: Self.accessTimes) { choosesAccessTimes = true }
            return attributes.apply(set: change.set, clear: change.clear)
        }
        if let kind = Self.propagation(option) { return propagation.append(kind) }
        if option.hasPrefix("r"), let change = Self.attribute(String(option.dropFirst())) { return recursive.apply(set: change.set, clear: change.clear) }
        switch option {
        // mount(2) flags that are the filesystem's own in the new API.
        case "sync", "async", "dirsync", "mand", "nomand", "lazytime", "nolazytime": filesystem.append(option)
        // Accepted and without a meaning here, as in mount(8).
        case "defaults", "auto", "noauto", "loud", "silent", "iversion", "noiversion", "nofail", "_netdev", "acl", "noacl": break
        case "bind": bind = true
        case "rbind": (bind, bindRecursive) = (true, true)
        case "remount": remount = true
        case "tmpcopyup": tmpcopyup = true
        case "src-nofollow": sourceNoFollow = true
        case "idmap": idmap = true
        case "ridmap": (idmap, idmapRecursive) = (true, true)
        default: addForFilesystem(option)
        }
    }

    /// Several may be glued with commas, as mount(2) takes them.
    private mutating func addForFilesystem(_ option: String) {
        for part in option.fields(by: ",") { filesystem.append(String(part)) }
    }

    /// The file system's options by key and value. Taken apart when they are needed: by the init, while the runtime is busy elsewhere.
    var settings: [(key: String, value: String?)] {
        filesystem.map { option in
            let pair = option.fields(by: "=", limit: 2, keepsEmpty: true)
            return (String(pair[0]), pair.count > 1 ? String(pair[1]) : nil)
        }
    }
}
