import LinuxSystem
import OCILayer
import OCISpec
import Registry

/// Crypto has a protocol of the same name.
typealias Digest = OCISpec.Digest

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
