import Glibc
import LinuxSystem
import OCILayer

/// A file of a build's context that may be an archive. Blocks.
enum LocalArchive {
    static func open(_ item: SourceTree.Item, in files: ContainerFilesystem) throws(SystemError) -> OwnedFD { try files.root.open(item.path, O_RDONLY | O_NONBLOCK | O_NOCTTY) }

    /// Its first bytes; none of what is no regular file.
    static func head(of item: SourceTree.Item, in files: ContainerFilesystem) throws -> [UInt8] {
        let file = try open(item, in: files)
        guard try file.status(on: item.name).kind == .file else { return [] }
        var bytes = [UInt8](repeating: 0, count: ArchivePacking.headLength)
        let count = try bytes.withUnsafeMutableBytes { try file.readSome(into: $0, at: 0, on: item.name) }
        return Array(bytes[..<count])
    }

    /// Whether the file begins with a member of an archive.
    static func isTar(_ item: SourceTree.Item, in files: ContainerFilesystem) throws -> Bool {
        let file = try open(item, in: files)
        guard try file.status(on: item.name).kind == .file else { return false }
        do { return try TarReader(FileByteSource(file), bufferSize: 4096).next() != nil } catch is TarError { return false }
    }
}

/// The bytes of a file, from its start.
final class FileByteSource: ByteSource {
    private let file: OwnedFD
    private var offset: Int64 = 0

    init(_ file: consuming OwnedFD) { self.file = file }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try file.readSome(into: buffer, at: offset, on: "an archive")
        offset += Int64(count)
        return count
    }
}
