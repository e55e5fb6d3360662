import DockerAPI
import JSONCodec
import NIOCore
import Synchronization

/// Encodes lists of images. Most images of a list are as they were in the last one, and their text is kept: encoding is what takes the time.
final class ImageListAnswer: Sendable {
    private struct Key: Hashable {
        let id: String
        let version: APIVersion
    }

    private struct Encoded {
        let summary: ImageSummary
        let text: [UInt8]
    }

    private let encoded = Mutex<[Key: Encoded]>([:])

    /// A JSON array. What is not in the list is forgotten.
    func array(_ list: [ImageSummary], version: APIVersion) throws -> ByteBuffer {
        let list = ImageCompatibility.summaries(list, version: version)
        let old = encoded.withLock { $0 }
        var new: [Key: Encoded] = [:]
        new.reserveCapacity(list.count)
        var buffer = ByteBufferAllocator().buffer(capacity: 512 * list.count + 2)
        buffer.writeString("[")
        for (index, summary) in list.enumerated() {
            if index > 0 { buffer.writeString(",") }
            let key = Key(id: summary.Id, version: version)
            if let known = old[key], known.summary == summary {
                buffer.writeBytes(known.text)
                new[key] = known
                continue
            }
            let bytes = try JSON.encode(summary)
            buffer.writeBytes(bytes)
            new[key] = Encoded(summary: summary, text: bytes)
        }
        buffer.writeString("]")
        let kept = new
        encoded.withLock { $0 = kept }
        return buffer
    }
}
