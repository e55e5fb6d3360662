import JSONCodec
import OCILayer
import OCISpec

/// libFuzzer's target over everything that reads bytes of strangers: archives, JSON, image documents, references and digests. The first byte chooses which.
///
/// Whatever the input, it is read or refused. What was read has to survive being written and read again.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ data: UnsafePointer<UInt8>, _ count: Int) -> CInt {
    guard count > 0 else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: count - 1))
    switch data[0] % 7 {
    case 0: readArchive(bytes)
    case 1: rewrite(JSONValue.self, bytes)
    case 2: rewrite(ImageManifest.self, bytes)
    case 3: rewrite(ImageIndex.self, bytes)
    case 4: _ = try? JSON.decode(ImageConfig.self, from: bytes)
    case 5: readReference(String(decoding: bytes, as: UTF8.self))
    default: _ = try? JSON.decode(RuntimeSpec.self, from: bytes)
    }
    return 0
}

private final class Input: ByteSource {
    private var rest: ArraySlice<UInt8>
    init(_ bytes: [UInt8]) { rest = bytes[...] }

    func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        let part = rest.prefix(buffer.count)
        buffer.copyBytes(from: part)
        rest = rest.dropFirst(part.count)
        return part.count
    }
}

private func readArchive(_ bytes: [UInt8]) {
    var limits = TarLimits()
    limits.contentBytes = 1 << 24
    let reader = TarReader(Input(bytes), limits: limits, bufferSize: 4096)
    do {
        while let entry = try reader.next() {
            precondition(!entry.path.contains(0), "a name ends at its first zero")
            var last: Int64 = 0
            while let (offset, chunk) = try reader.nextChunk() {
                precondition(offset >= last && offset + Int64(chunk.count) <= entry.size, "content lies inside of the member, in order")
                last = offset + Int64(chunk.count)
            }
        }
    } catch {}
}

private func rewrite<Value: Codable>(_ type: Value.Type, _ bytes: [UInt8]) {
    guard let value = try? JSON.decode(type, from: bytes) else { return }
    // The second and the third text are compared: 1e2 is a number with a fraction until it was written as 100, and -0 a whole one from then on.
    let second = again(type, again(type, value).value)
    precondition(again(type, second.value).text == second.text, "what was written reads back differently")
}

private func again<Value: Codable>(_ type: Value.Type, _ value: Value) -> (value: Value, text: [UInt8]) {
    guard let text = try? JSON.encode(value) else { preconditionFailure("what was read cannot be written") }
    guard let value = try? JSON.decode(type, from: text) else { preconditionFailure("what was written cannot be read") }
    return (value, text)
}

private func readReference(_ text: String) {
    _ = try? Digest(parsing: text)
    guard let reference = try? ImageReference(parsing: text) else { return }
    precondition((try? ImageReference(parsing: reference.description)) == reference, "a reference's full text is another reference")
}
