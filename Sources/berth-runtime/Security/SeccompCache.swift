import CSeccomp
import Glibc
import LinuxSystem

/// Compiled filters on disk, one file for each profile.
///
/// What is read here decides what a container may do, so nothing is believed that others could have written: the directory and the file must belong
/// to the runtime's user and be closed to everybody else. A file holds the whole profile in front of the program and is only used for that very
/// profile; the hash in its name merely finds it. Whatever is wrong with the cache, the filter is compiled anew and nobody notices but the clock.
struct SeccompCache {
    private let directory: String
    /// More files than this are thrown away together: profiles are few, unless somebody makes them up.
    private static let limit = 128
    private static let longestFile = 1 << 20
    /// Counts up whenever the compiler or the stub changes what a profile becomes.
    private static let magic: [UInt8] = Array("berth seccomp 5\n".utf8)

    /// - Parameter root: the runtime's root directory. It is made when a program is kept before the first container is.
    init(root: String) { directory = "\(root)/.seccomp" }

    /// A profile's program, and whether its rules ask for a listener.
    struct Entry: Equatable {
        let program: [UInt64]
        let notifies: Bool
    }

    /// Everything the program depends on: the library, the machine, the profile and this code.
    /// - Parameter profile: its text.
    static func key(of profile: [UInt8]) -> [UInt8] {
        var key = magic
        key.reserveCapacity(profile.count + 64)
        func add(_ number: some FixedWidthInteger) { withUnsafeBytes(of: UInt64(truncatingIfNeeded: number).littleEndian) { key += $0 } }
        if let version = seccomp_version()?.pointee { for part in [version.major, version.minor, version.micro] { add(part) } }
        add(seccomp_arch_native())
        add(profile.count)
        key += profile
        return key
    }

    /// FNV-1a, eight bytes at a time: a name for the file, no more.
    private func path(for key: [UInt8]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        key.withUnsafeBytes { bytes in
            for start in stride(from: 0, to: bytes.count - 7, by: 8) { hash = (hash ^ bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)) &* 0x100_0000_01B3 }
            for byte in bytes.suffix(bytes.count % 8) { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }
        // Sixteen letters by hand: the library's way to a number's text is for any number, and looks up a dozen types.
        let name = String(unsafeUninitializedCapacity: 16) { letters in
            for index in 0..<16 {
                let digit = UInt8(truncatingIfNeeded: hash >> (60 - 4 * UInt64(index))) & 15
                letters[index] = digit + (digit < 10 ? UInt8(ascii: "0") : UInt8(ascii: "a") - 10)
            }
            return 16
        }
        return "\(directory)/\(name).bpf"
    }

    // MARK: Reading

    func program(for key: [UInt8]) -> Entry? {
        guard isOurs, let file = try? Files.open(path(for: key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
            let status = try? Files.status(of: file, name: directory), status.isRegular, status.st_uid == geteuid(), status.st_mode & 0o077 == 0,
            status.st_size <= Self.longestFile, let content = try? Files.readAll(file, name: directory, limit: Self.longestFile)
        else { return nil }
        // After the key a word that says whether there is a listener, and the instructions.
        let words = (content.count - key.count) / 8
        guard words > 1, content.count == key.count + words * 8, memcmp(content, key, key.count) == 0 else { return nil }
        return content.withUnsafeBytes { bytes in
            func word(_ index: Int) -> UInt64 { UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: key.count + index * 8, as: UInt64.self)) }
            let program = [UInt64](unsafeUninitializedCapacity: words - 1) { words, initialized in
                for index in 0..<words.count { (words.baseAddress! + index).initialize(to: word(index + 1)) }
                initialized = words.count
            }
            return Entry(program: program, notifies: word(0) != 0)
        }
    }

    /// Checked without following a link: one that somebody put there leads nowhere.
    private var isOurs: Bool {
        var status = stat()
        return directory.withCString { lstat($0, &status) } == 0 && status.isDirectory && status.st_uid == geteuid() && status.st_mode & 0o077 == 0
    }

    // MARK: Writing

    /// Keeps a program. That this is not possible is no error.
    func store(_ entry: Entry, for key: [UInt8]) {
        guard (try? Files.makeDirectories(directory.parentPath, mode: ContainerDirectory.mode)) != nil else { return }
        if mkdir(directory, 0o700) != 0, errno != EEXIST { return }
        guard isOurs else { return }
        if let files = try? Files.entries(of: directory), files.count >= Self.limit { for file in files { unlink("\(directory)/\(file)") } }
        let content = key + ([entry.notifies ? 1 : 0] + entry.program).flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
        // Complete or not there, whoever reads meanwhile.
        try? Files.replace(path(for: key), with: content, mode: 0o600)
    }
}
