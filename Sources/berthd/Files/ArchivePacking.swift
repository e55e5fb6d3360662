import Glibc

/// How an archive is packed, by its first bytes.
enum ArchivePacking: String, Sendable {
    case gzip, bzip2, xz, zstd

    private static let magics: [(ArchivePacking, [UInt8])] = [
        (.gzip, [0x1F, 0x8B]), (.bzip2, Array("BZh".utf8)), (.xz, [0xFD, 0x37, 0x7A, 0x58, 0x5A]), (.zstd, [0x28, 0xB5, 0x2F, 0xFD]),
    ]

    /// As many bytes of an archive as it takes to tell.
    static let headLength = 6

    init?(_ head: some Sequence<UInt8>) {
        let head = Array(head.prefix(Self.headLength))
        guard let found = Self.magics.first(where: { head.starts(with: $0.1) }) else { return nil }
        self = found.0
    }

    /// Layers are packed in these ways: the supervisor unpacks them as it applies them.
    var isOfLayers: Bool { self == .gzip || self == .zstd }

    /// The program that unpacks from standard input to standard output, with its arguments. One that wants more than a gigabyte for that is not indulged.
    var program: (name: String, arguments: [String]) {
        switch self {
        case .gzip: ("gzip", ["-dc"])
        case .bzip2: ("bzip2", ["-dc"])
        case .xz: ("xz", ["-dc", "--memlimit-decompress=1GiB"])
        case .zstd: ("zstd", ["-dcq"])
        }
    }
}
