import CSeccomp
import Glibc
import LinuxSystem
import OCISpec

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
    private static let magic: [UInt8] = Array("berth seccomp 3\n".utf8)

    /// - Parameter root: the runtime's root directory, which exists.
    init(root: String) { directory = "\(root)/.seccomp" }

    /// Everything the program depends on: the profile, the machine, the library and this code.
    static func key(of seccomp: RuntimeSpec.Linux.Seccomp) -> [UInt8] {
        var key: [UInt8] = []
        key.reserveCapacity(8192)
        func add(_ text: String) {
            key += text.utf8
            key.append(0)
        }
        func add(_ number: some FixedWidthInteger) { withUnsafeBytes(of: UInt64(truncatingIfNeeded: number).littleEndian) { key += $0 } }
        if let version = seccomp_version()?.pointee { for part in [version.major, version.minor, version.micro] { add(part) } }
        add(seccomp_arch_native())
        add(seccomp.defaultAction)
        add(seccomp.defaultErrnoRet.map { Int64($0) } ?? -1)
        add(seccomp.architectures.count)
        for architecture in seccomp.architectures { add(architecture) }
        add(seccomp.syscalls.count)
        for rule in seccomp.syscalls {
            add(rule.action)
            add(rule.errnoRet.map { Int64($0) } ?? -1)
            add(rule.names.count)
            for name in rule.names { add(name) }
            add(rule.args.count)
            for argument in rule.args {
                add(argument.index)
                add(argument.value)
                add(argument.valueTwo ?? 0)
                add(argument.op)
            }
        }
        return key
    }

    /// FNV-1a: a name for the file, no more.
    private func path(for key: [UInt8]) -> String {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in key { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        return "\(directory)/\(String(hash, radix: 16)).bpf"
    }

    // MARK: Reading

    func program(for key: [UInt8]) -> [UInt64]? {
        guard isOurs, let file = try? Files.open(path(for: key), O_RDONLY | O_NOFOLLOW | O_NONBLOCK),
            let status = try? Files.status(of: file, name: directory), status.isRegular, status.st_uid == geteuid(), status.st_mode & 0o077 == 0,
            status.st_size <= Self.longestFile, let content = try? Files.readAll(file, name: directory, limit: Self.longestFile)
        else { return nil }
        let header = Self.header(key)
        guard (content.count - header.count) % 8 == 0, content.count > header.count, memcmp(content, header, header.count) == 0 else { return nil }
        let count = (content.count - header.count) / 8
        return [UInt64](unsafeUninitializedCapacity: count) { words, initialized in
            content.withUnsafeBytes { bytes in
                for index in 0..<count { (words.baseAddress! + index).initialize(to: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: header.count + index * 8, as: UInt64.self))) }
            }
            initialized = count
        }
    }

    private static func header(_ key: [UInt8]) -> [UInt8] { magic + withUnsafeBytes(of: UInt64(key.count).littleEndian) { Array($0) } + key }

    /// Checked without following a link: one that somebody put there leads nowhere.
    private var isOurs: Bool {
        var status = stat()
        return lstat(directory, &status) == 0 && status.isDirectory && status.st_uid == geteuid() && status.st_mode & 0o077 == 0
    }

    // MARK: Writing

    /// Keeps a program. That this is not possible is no error.
    func store(_ program: [UInt64], for key: [UInt8]) {
        if mkdir(directory, 0o700) != 0, errno != EEXIST { return }
        guard isOurs else { return }
        if let files = try? Files.entries(of: directory), files.count >= Self.limit { for file in files { unlink("\(directory)/\(file)") } }
        let content = Self.header(key) + program.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * UInt64($0))) } }
        // Complete or not there, whoever reads meanwhile.
        try? Files.replace(path(for: key), with: content, mode: 0o600)
    }
}
