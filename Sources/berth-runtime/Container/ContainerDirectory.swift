import BerthDefaults
import Glibc
import JSONCodec
import LinuxSystem
import OCISpec

/// The directory `<root>/<id>` of one container.
///
///     state.json    `ContainerRecord`
///     config.json   the bundle's at creation, so that later edits change nothing
///     exec.fifo     there from `create` until `start`; its presence is the status `created`
///     lock          held by whoever changes the container
///     notify/       with the container's own socket for sd_notify, if the caller has one
///
/// Beside it lies `SpareDirectory`.
///
/// The status is derived from the kernel each time: is the process with that pid and start time alive, is the cgroup frozen, does exec.fifo exist.
struct ContainerDirectory: ~Copyable {
    let path: String
    let id: String
    private var lock: OwnedFD?

    var statePath: String { "\(path)/state.json" }
    var configPath: String { "\(path)/config.json" }
    var fifoPath: String { "\(path)/exec.fifo" }

    private init(path: String, id: String, lock: consuming OwnedFD?) {
        self.path = path
        self.id = id
        self.lock = lock
    }

    /// Letters, digits and `+ _ . -`, at most 255 bytes, not a path.
    static func validate(_ id: String) throws(RuntimeError) {
        if id.isEmpty { throw .emptyID }
        let allowed = id.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            case UInt8(ascii: "+"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "-"): true
            default: false
            }
        }
        // Both wordings are known: the first sentence is runc's, the second crun's.
        if id.contains("/") { throw RuntimeError(.invalidArgument, "\(RuntimeError.invalidID.message): invalid character `/` in the ID `\(id)`") }
        guard allowed, id != ".", id != "..", id.utf8.count <= 255 else { throw .invalidID }
    }

    /// Of the root and of each container's directory: who runs in a user namespace has to come through.
    static let mode: mode_t = 0o711

    /// Claims the id, locked: of two `create` at once one gets `alreadyExists`.
    static func create(root: String, id: String) throws(RuntimeError) -> ContainerDirectory {
        try validate(id)
        try attempt { () throws(SystemError) in try Files.makeDirectories(root, mode: mode) }
        let path = "\(root)/\(id)"
        // Again, when somebody removes what is in the way at this very moment.
        for _ in 0..<100 {
            do throws(SystemError) { if !SpareDirectory.take(in: root, as: path) { try Files.makeDirectory(path, mode: mode) } } catch {
                if error.errno != .fileExists { throw RuntimeError(error) }
            }
            var directory = ContainerDirectory(path: path, id: id, lock: nil)
            do throws(RuntimeError) { try directory.acquire() } catch {
                if error.code == .notFound { continue }
                throw error
            }
            // Without a record it is what a runtime has left that was killed in the middle of a creation or removal, before or after there was a container.
            if Files.exists(directory.statePath) { throw .alreadyExists }
            for leftover in [directory.configPath, directory.fifoPath] { try attempt { () throws(SystemError) in try Files.remove(leftover) } }
            return directory
        }
        throw .alreadyExists
    }

    /// An existing container.
    static func open(root: String, id: String, locked: Bool = false) throws(RuntimeError) -> ContainerDirectory {
        try validate(id)
        let path = "\(root)/\(id)"
        guard Files.exists(path) else { throw .doesNotExist }
        var directory = ContainerDirectory(path: path, id: id, lock: nil)
        if locked { try directory.acquire() }
        return directory
    }

    /// Lets others change the container: a `run` in the foreground stays for as long as it lives.
    mutating func unlock() { lock = nil }

    /// Waits for whoever holds the lock. The container may be gone by then.
    private mutating func acquire() throws(RuntimeError) {
        let name = "\(path)/lock"
        do throws(SystemError) {
            let file = try Files.open(name, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try Files.lock(file, name: name)
            lock = consume file
        } catch {
            if error.errno == .noSuchFile { throw .doesNotExist }
            throw RuntimeError(error)
        }
        guard Files.exists(name) else { throw .doesNotExist }
    }

    /// - Throws: `doesNotExist` also for a directory that a killed runtime left before it wrote anything.
    borrowing func record() throws(RuntimeError) -> ContainerRecord {
        let bytes: [UInt8]
        do throws(SystemError) { bytes = try Files.readAll(statePath) } catch {
            if error.errno == .noSuchFile { throw .doesNotExist }
            throw RuntimeError(error)
        }
        return try ConfigLoader.decode(bytes, name: statePath)
    }

    borrowing func write(_ record: ContainerRecord) throws(RuntimeError) {
        let bytes = JSON.write(record.write(to:))
        let path = statePath
        try attempt { () throws(SystemError) in try Files.exchange(path, with: bytes) }
    }

    /// Keeps the bundle's config.json as it is now.
    borrowing func write(config bytes: [UInt8]) throws(RuntimeError) {
        let path = configPath
        try attempt { () throws(SystemError) in try Files.replace(path, with: bytes) }
    }

    /// The spec the container was created from.
    borrowing func spec() throws(RuntimeError) -> RuntimeSpec { try ConfigLoader.load(configPath) }

    /// What of the spec is needed after the program has started.
    borrowing func later(_ record: ContainerRecord) throws(RuntimeError) -> ContainerRecord.Later {
        if let later = record.later { return later }
        return ContainerRecord.Later(try spec())
    }

    /// What the kernel says. `paused` is asked only when `freezer` can tell.
    borrowing func status(_ record: ContainerRecord, isFrozen: () -> Bool = { false }) -> ContainerStatus {
        guard let process = record.initProcess else { return record.creator.isAlive ? .creating : .stopped }
        guard process.isAlive else { return .stopped }
        if isFrozen() { return .paused }
        return Files.exists(fifoPath) ? .created : .running
    }

    /// Removes the directory, lock last.
    consuming func remove() throws(RuntimeError) {
        let path = path
        NotifySocket.removeDirectory(in: path)
        for name in ["exec.fifo", "config.json", "state.json"] { try attempt { () throws(SystemError) in try Files.remove("\(path)/\(name)") } }
        try attempt { () throws(SystemError) in
            for name in (try? Files.entries(of: path)) ?? [] { try Files.remove("\(path)/\(name)") }
            if !SpareDirectory.keep(path) { try Files.removeFlatDirectory(path) }
        }
    }
}
