import BerthDefaults
import DockerAPI
import LinuxSystem
import NIOPosix

/// Local volumes: names, options, users. A volume that has users, running or not, cannot be removed.
actor VolumeService: VolumeProviding {
    private let driver: LocalVolumeDriver
    private let store: VolumeStore
    private let events: EventHub
    /// Bytes of volumes.
    private let sizes = MeasuredSizes()
    private var records: [String: VolumeRecord] = [:]
    private var users: [String: Set<VolumeUser>] = [:]
    /// Volumes whose directory is being made or removed; whoever wants one of them waits.
    private var busy: Set<String> = []
    private var waiting: [CheckedContinuation<Void, Never>] = []

    init(root: String, database: DaemonDatabase, events: EventHub) {
        driver = LocalVolumeDriver(root: root)
        store = VolumeStore(database: database)
        self.events = events
    }

    /// Loads the volumes; users that are no containers any more are forgotten.
    func start(containers: Set<String>) async throws {
        let driver = driver
        try await blocking { () throws(SystemError) in try driver.prepare() }
        let stored = try await store.load()
        for record in stored.records { records[record.name] = record }
        users = stored.users
        let gone = Set(users.values.flatMap { $0.map(\.container) }).subtracting(containers)
        for container in gone { await release(containerID: container, removingAnonymous: true) }
    }

    // MARK: - Create

    /// `POST /volumes/create`: an existing volume of the name is the answer, unless it has another driver.
    func create(name: String?, driver driverName: String?, options: [String: String], labels: [String: String]?) async throws -> Volume {
        var labels = labels
        if (name ?? "").isEmpty { labels = (labels ?? [:]).merging([VolumeRecord.anonymousLabel: ""]) { old, _ in old } }
        let record = try await findOrMake(name: name, driver: driverName, options: options, labels: labels, user: nil)
        return describe(record)
    }

    func acquire(name: String?, isAnonymous: Bool, driver driverName: String?, options: [String: String], labels: [String: String], containerID: String) async throws -> AttachedVolume {
        var wanted: [String: String]? = labels.isEmpty ? nil : labels
        if (name ?? "").isEmpty { wanted = labels.merging([VolumeRecord.anonymousLabel: ""]) { old, _ in old } }
        let user = VolumeUser(container: containerID, anonymous: isAnonymous)
        let record = try await findOrMake(name: name, driver: driverName, options: options, labels: wanted, user: user)
        let driver = driver
        let isEmpty = try await blocking { () throws(SystemError) in try driver.isEmpty(record.name) }
        return AttachedVolume(name: record.name, driver: record.driver, source: driver.dataPath(of: record.name), anonymous: isAnonymous, isEmpty: isEmpty && record.options["type"] == nil)
    }

    private func findOrMake(name: String?, driver driverName: String?, options: [String: String], labels: [String: String]?, user: VolumeUser?) async throws -> VolumeRecord {
        let name = name.flatMap { $0.isEmpty ? nil : $0 } ?? Identifier.random()
        let wantedDriver = driverName.flatMap { $0.isEmpty ? nil : $0 } ?? "local"
        guard wantedDriver == "local" || wantedDriver == "default" else {
            throw DaemonError.notFound("create \(name): error looking up volume plugin \(wantedDriver): plugin \"\(wantedDriver)\" not found")
        }
        try await claim(name)
        defer { unclaim(name) }
        if let record = records[name] {
            // As dockerd: the options of an existing volume stay what they are, and naming others is an error of the caller only when they contradict.
            if !options.isEmpty && options != record.options { throw DaemonError.conflict("create \(name): a volume of this name exists with other options") }
            if let user, users[name]?.contains(where: { $0.container == user.container }) != true {
                try await store.add(nil, user: (name, user))
                users[name, default: []].insert(user)
            }
            return record
        }
        try VolumeOptions.check(name: name, options: options)
        let record = VolumeRecord(name: name, driver: "local", created: .now(), options: options, labels: labels)
        let driver = driver
        try await blocking { () throws(SystemError) in try driver.create(name) }
        do {
            try await store.add(record, user: user.map { (name, $0) })
        } catch {
            try? await blocking { () throws(SystemError) in try driver.remove(name) }
            throw error
        }
        records[name] = record
        if let user { users[name] = [user] }
        events.publish(type: "volume", action: "create", id: name, attributes: ["driver": "local"])
        return record
    }

    // MARK: - Use

    func populate(_ volume: AttachedVolume, from rootfs: DetachedRootfs, path: String) async throws {
        let target = driver.dataPath(of: volume.name)
        try await blocking { () throws(SystemError) in
            let root = try DirectoryFD(path: "/proc/self/fd/\(rootfs.root.rawValue)")
            let source: DirectoryFD
            do throws(SystemError) {
                source = try root.directory(inRoot: CName(path.isAbsolutePath ? String(path.drop { $0 == "/" }) + "/." : path))
            } catch where error.errno == .noSuchFile || error.errno == .notDirectory {
                // The image has nothing there.
                return
            }
            let destination = try DirectoryFD(path: target)
            // Somebody else may have filled it since it was acquired.
            guard try destination.names().isEmpty else { return }
            try TreeCopier().copy(source, into: destination)
        }
    }

    func path(of volume: String) async throws -> String {
        guard let record = records[volume] else { throw DaemonError.notFound("get \(volume): no such volume") }
        let driver = driver
        if record.options["type"] != nil {
            try await claim(volume)
            defer { unclaim(volume) }
            try await blocking { () throws(SystemError) in try driver.mount(volume, options: record.options) }
        }
        return driver.dataPath(of: volume)
    }

    func release(containerID: String, removingAnonymous: Bool) async {
        var doomed: [String] = []
        var unused: [String] = []
        var found = false
        for (name, list) in users {
            guard let user = list.first(where: { $0.container == containerID }) else { continue }
            found = true
            users[name]?.remove(user)
            guard users[name]?.isEmpty == true else { continue }
            users[name] = nil
            if user.anonymous && removingAnonymous { doomed.append(name) } else { unused.append(name) }
        }
        guard found else { return }
        let driver = driver
        do {
            try await store.remove(volumes: doomed, users: containerID)
            for name in doomed { records[name] = nil }
            for name in doomed {
                try await blocking { () throws(SystemError) in try driver.remove(name) }
                events.publish(type: "volume", action: "destroy", id: name, attributes: ["driver": "local"])
            }
            for name in unused where records[name]?.options["type"] != nil && users[name] == nil {
                try await blocking { () throws(SystemError) in try driver.unmount(name) }
            }
        } catch {
            Log.warning("volumes of container \(containerID): \(error)")
        }
    }

    // MARK: - Look

    static let listFilters: Set<String> = ["dangling", "driver", "label", "label!", "name"]

    func list(_ filters: ListFilters) throws -> [Volume] {
        let dangling = try filters.boolean("dangling")
        return records.values.sorted { $0.name < $1.name }.filter { record in
            if let dangling, dangling != (users[record.name] == nil) { return false }
            return filters.matchesPattern("name", record.name) && filters.matchesExactly("driver", record.driver) && filters.matchesLabels(record.labels ?? [:])
        }.map(describe)
    }

    func inspect(_ name: String) throws -> Volume {
        guard let record = records[name] else { throw DaemonError.notFound("get \(name): no such volume") }
        return describe(record)
    }

    func diskUsage() async throws -> [Volume] {
        let all = records.values.sorted { $0.name < $1.name }
        let driver = driver
        await sizes.keep(only: all.map(\.name))
        // What is in a volume may change at any time, also from outside.
        let sizes = await sizes.sizes(all.map { MeasuredSizes.Item(key: $0.name) }) { name in
            try? await self.blocking { () throws(SystemError) in try driver.size(name) }
        }
        return zip(all, sizes).map { record, size in
            var volume = describe(record)
            volume.UsageData = Volume.Usage(RefCount: Int64(users[record.name]?.count ?? 0), Size: size ?? -1)
            return volume
        }
    }

    private func describe(_ record: VolumeRecord) -> Volume {
        var volume = Volume()
        volume.CreatedAt = WallClock(seconds: record.created.seconds, nanoseconds: 0).rfc3339
        volume.Driver = record.driver
        volume.Labels = record.labels
        volume.Mountpoint = driver.dataPath(of: record.name)
        volume.Name = record.name
        volume.Options = record.options.isEmpty ? nil : record.options
        volume.Scope = "local"
        return volume
    }

    // MARK: - Remove

    /// - Throws: `.conflict` naming the containers that have it; `.notFound`, unless `force`.
    func remove(_ name: String, force: Bool) async throws {
        guard !name.isEmpty, records[name] != nil else {
            if force { return }
            throw DaemonError.notFound("get \(name): no such volume")
        }
        try await claim(name)
        defer { unclaim(name) }
        guard records[name] != nil else { return }
        if let list = users[name], !list.isEmpty {
            throw DaemonError.conflict("remove \(name): volume is in use - [\(list.map(\.container).sorted().joined(separator: ", "))]")
        }
        try await store.remove(volumes: [name])
        records[name] = nil
        let driver = driver
        try await blocking { () throws(SystemError) in try driver.remove(name) }
        events.publish(type: "volume", action: "destroy", id: name, attributes: ["driver": "local"])
    }

    /// Removes what nobody uses: volumes without a name, with `all` the named ones too.
    func prune(_ filters: ListFilters, includesNamed: Bool) async throws -> VolumesPruneReport {
        let all = try filters.boolean("all") ?? includesNamed
        var removed: [String] = []
        var reclaimed: Int64 = 0
        let driver = driver
        for record in records.values.sorted(by: { $0.name < $1.name }) where users[record.name] == nil && filters.matchesLabels(record.labels ?? [:]) && (all || record.isAnonymous) {
            // What is mounted belongs to somebody else: only its size here counts, after it is gone from sight.
            let size = record.options["type"] == nil ? (try? await blocking { () throws(SystemError) in try driver.size(record.name) }) ?? 0 : 0
            do {
                try await remove(record.name, force: false)
                removed.append(record.name)
                reclaimed += size
            } catch {
                Log.warning("cannot prune volume \(record.name): \(error)")
            }
        }
        events.publish(type: "volume", action: "prune", id: "", attributes: ["reclaimed": "\(reclaimed)"])
        return VolumesPruneReport(VolumesDeleted: removed.isEmpty ? nil : removed, SpaceReclaimed: UInt64(max(reclaimed, 0)))
    }

    // MARK: - One at a time

    private func claim(_ name: String) async throws {
        while busy.contains(name) { await withCheckedContinuation { waiting.append($0) } }
        busy.insert(name)
    }

    private func unclaim(_ name: String) {
        busy.remove(name)
        let sleepers = waiting
        waiting = []
        for sleeper in sleepers { sleeper.resume() }
    }

    @discardableResult
    private nonisolated func blocking<Result: Sendable>(_ body: @escaping @Sendable () throws(SystemError) -> Result) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive { try body() }
    }
}

/// What names and options a local volume may have, in dockerd's words.
enum VolumeOptions {
    static func check(name: String, options: [String: String]) throws {
        guard name.utf8.count > 1 else {
            throw DaemonError.invalid("create \(name): volume name is too short, names should be at least two alphanumeric characters")
        }
        func isPlain(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) }
        guard name.utf8.first.map(isPlain) == true, name.utf8.allSatisfy({ isPlain($0) || $0 == 95 || $0 == 46 || $0 == 45 }) else {
            throw DaemonError.invalid(
                "create \(name): \"\(name)\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path")
        }
        guard name.utf8.count <= 255 else { throw DaemonError.invalid("create \(name.prefix(32))…: the name is longer than 255 bytes") }
        let known: Set<String> = ["type", "o", "device", "size"]
        if let other = options.keys.sorted().first(where: { !known.contains($0) }) { throw DaemonError.invalid("create \(name): invalid option: \"\(other)\"") }
        for (option, needs) in [("device", ["type"]), ("type", ["device"]), ("o", ["device", "type"])] where options[option] != nil {
            if let missing = needs.first(where: { options[$0] == nil }) { throw DaemonError.invalid("create \(name): missing required option: \"\(missing)\"") }
        }
        if options["size"] != nil { throw DaemonError.invalid("create \(name): quota size requested but no quota support") }
        if let type = options["type"], type == "cifs" || type == "smb3" || type.hasPrefix("nfs"), let address = networkAddress(options["o"] ?? ""), address.contains(where: \.isLetter), !address.contains(":") {
            throw DaemonError.unimplemented("a host name as addr= of a \(type) volume (give an IP address)")
        }
    }

    private static func networkAddress(_ text: String) -> String? {
        text.split(separator: ",").first { $0.hasPrefix("addr=") }.map { String($0.dropFirst(5)) }
    }
}
