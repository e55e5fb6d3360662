import Crypto
import LinuxSystem
import OCILayer
import OCISpec

/// Crypto has a protocol of the same name.
typealias Digest = OCISpec.Digest

/// A digest that grows with the bytes, and what it is when they are over.
struct RunningDigest {
    // One of the three is there. Apart, so that an update works in place.
    private var sha256: SHA256?
    private var sha384: SHA384?
    private var sha512: SHA512?

    init(_ algorithm: Digest.Algorithm = .sha256) {
        switch algorithm {
        case .sha256: sha256 = SHA256()
        case .sha384: sha384 = SHA384()
        case .sha512: sha512 = SHA512()
        }
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        sha256?.update(bufferPointer: bytes)
        sha384?.update(bufferPointer: bytes)
        sha512?.update(bufferPointer: bytes)
    }

    var digest: Digest {
        if let sha256 { return Digest(.sha256, bytes: sha256.finalize()) }
        if let sha384 { return Digest(.sha384, bytes: sha384.finalize()) }
        return Digest(.sha512, bytes: (sha512 ?? SHA512()).finalize())
    }

    static func of(_ bytes: [UInt8], _ algorithm: Digest.Algorithm = .sha256) -> Digest {
        var running = RunningDigest(algorithm)
        bytes.withUnsafeBytes { running.update($0) }
        return running.digest
    }
}

/// Passes bytes on and takes their digest.
final class HashingSource: ByteSource {
    private let source: any ByteSource
    private var running = RunningDigest()
    private(set) var count: Int64 = 0

    init(_ source: any ByteSource) { self.source = source }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let read = try source.read(into: buffer)
        running.update(UnsafeRawBufferPointer(rebasing: buffer[..<read]))
        count += Int64(read)
        return read
    }

    /// Of everything read so far.
    var digest: Digest { running.digest }
}

/// A whole file, from its start.
final class FileSource: ByteSource {
    private let file: OwnedFD
    private let name: String
    private var offset: Int64 = 0

    init(_ file: consuming OwnedFD, name: String) {
        self.file = file
        self.name = name
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try file.readSome(into: buffer, at: offset, on: name)
        offset += Int64(count)
        return count
    }
}

/// A blob, from its start.
final class BlobSource: ByteSource {
    private let blob: OpenBlob
    private(set) var offset: Int64 = 0

    init(_ blob: OpenBlob) { self.blob = blob }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = try blob.readAll(into: buffer, at: offset)
        offset += Int64(count)
        return count
    }
}

/// Bytes at hand.
final class MemorySource: ByteSource {
    private let bytes: [UInt8]
    private var position = 0

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let count = min(buffer.count, bytes.count - position)
        buffer.copyBytes(from: bytes[position..<(position + count)])
        position += count
        return count
    }
}
