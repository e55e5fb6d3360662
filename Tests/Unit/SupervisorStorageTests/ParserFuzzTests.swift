@testable import berth_supervisor
import OCILayer
import OCISpec
import Testing

/// SplitMix64: a failure repeats with its seed.
private struct Seeded: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}

/// Everything that parses bytes of strangers: it refuses or reads, within its limits, and never ends the process.
@Suite struct ParserFuzzTests {
    // MARK: Documents

    private static let digest = "sha256:" + String(repeating: "ab", count: 32)
    private static let documents: [String] = [
        #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"\#(digest)","size":7},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"\#(digest)","size":32654,"urls":["https://x/y"],"annotations":{"a":"b"}}],"annotations":{"c":"d"}}"#,
        #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\#(digest)","size":7143,"platform":{"architecture":"arm64","os":"linux","variant":"v8","os.version":"1","os.features":["x"]}}]}"#,
        #"{"created":"2026-01-01T00:00:00Z","author":"a","architecture":"amd64","os":"linux","config":{"User":"1:2","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":["/x"],"Cmd":["y"],"Volumes":{"/v":{}},"WorkingDir":"/w","Labels":{"k":"v"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","x"],"Interval":1000000000}},"rootfs":{"type":"layers","diff_ids":["\#(digest)"]},"history":[{"created":"2026-01-01T00:00:00Z","created_by":"x","empty_layer":true}]}"#,
    ]
    /// What a hostile document has in the place of a value.
    private static let values = [
        "null", "true", "-1", "0", "1e400", "9223372036854775808", "18446744073709551616", "\"\"", "\"\\u0000\"", "\"\\ud800\"", "\"../../x\"", "[]", "{}", "[[[[]]]]", "[{}]",
        String(repeating: "[", count: 20_000), "\"" + String(repeating: "x", count: 100_000) + "\"",
    ]

    /// A document with bytes changed, cut, repeated, or values exchanged.
    private func damaged(_ text: String, _ random: inout Seeded) -> [UInt8] {
        var bytes = Array(text.utf8)
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let place = Int.random(in: 0..<bytes.count, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
            case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 1...20, using: &random)))
            case 2: bytes.insert(contentsOf: bytes[place..<min(bytes.count, place + 40)], at: place)
            case 3: bytes = Array(bytes.prefix(place + 1))
            default:
                // A value after a colon.
                guard let colon = bytes[place...].firstIndex(of: UInt8(ascii: ":")), let end = bytes[colon...].firstIndex(where: { $0 == UInt8(ascii: ",") || $0 == UInt8(ascii: "}") }) else { continue }
                bytes.replaceSubrange((colon + 1)..<end, with: Array((Self.values.randomElement(using: &random) ?? "").utf8))
            }
        }
        return bytes
    }

    @Test(arguments: 0..<12 as Range<UInt64>) func `damaged manifests, indexes and configurations are refused or read`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let descriptors = try [MediaType.ociManifest, MediaType.ociIndex, MediaType.ociConfig].map {
            Descriptor(mediaType: $0, digest: try Digest(parsing: Self.digest), size: 1)
        }
        for _ in 0..<400 {
            for (text, descriptor) in zip(Self.documents, descriptors) {
                let bytes = damaged(text, &random)
                if let manifest = try? ImageDocuments.manifest(bytes, descriptor) {
                    #expect(manifest.layers.allSatisfy { $0.size >= 0 })
                    _ = ImageDocuments.referenceLabels(manifest)
                }
                if let index = try? ImageDocuments.index(bytes, descriptor) { _ = PlatformMatcher.host.choose(index.manifests) }
                if let config = try? ImageDocuments.config(bytes, descriptor) { _ = ImageDocuments.chainIDs(config.rootfs.diffIDs) }
            }
        }
    }

    // MARK: References

    @Test(arguments: 0..<8 as Range<UInt64>) func `what is read as a reference is written as the same reference`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        let parts = ["a", "Z", "0", "-", "_", "__", ".", "..", "/", ":", "@", "sha256:", "sha512:", String(repeating: "ab", count: 32), "localhost", "docker.io", "library", "[::1]", ":5000", "é", "\u{0}", " ", "\n", "%2e"]
        var read = 0
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 1...7, using: &random)).map { _ in parts.randomElement(using: &random) ?? "" }.joined()
            guard let reference = try? ImageReference(parsing: text) else { continue }
            read += 1
            #expect(try ImageReference(parsing: reference.description) == reference, "\(text)")
            // The short form of a name that looks like an image's ID is refused, as in Docker: users have to write it in full.
            let looksLikeID = reference.familiar.utf8.count == 64 && reference.tag == nil && reference.digest == nil
            if !looksLikeID { #expect(try ImageReference(parsing: reference.familiar) == reference, "\(text)") }
            #expect(!reference.description.utf8.contains { $0 <= 0x20 || $0 >= 0x7f }, "\(text)")
        }
        #expect(read > 100)
    }

    // MARK: Archives

    /// Members of every kind and dialect.
    private func archive(_ random: inout Seeded) throws -> [UInt8] {
        let sink = Bytes()
        let writer = TarWriter(sink)
        for number in 0..<6 {
            let long = String(repeating: "d\(number)/", count: Int.random(in: 0...90, using: &random)) + "name"
            var entry = TarEntry(kind: .file, path: Array(long.utf8), mode: 0o644, modified: TarTime(seconds: Int64.random(in: -5...1 << 36, using: &random), nanoseconds: 7))
            let content = [UInt8](repeating: 1, count: Int.random(in: 0...2000, using: &random))
            entry.uid = .random(in: 0...4_000_000_000, using: &random)
            entry.xattrs = [ExtendedAttribute(name: Array("user.k".utf8), value: [0, 1, 2])]
            try writer.add(entry, content: content)
            var link = TarEntry(kind: [.hardLink, .symbolicLink].randomElement(using: &random) ?? .hardLink, path: Array("l\(number)".utf8), mode: 0o777)
            link.linkTarget = Array((long + long).utf8)
            try writer.add(link)
        }
        try writer.finish()
        return sink.bytes
    }

    /// Puts the checksums right, so that changes get past them.
    private func sealed(_ bytes: inout [UInt8]) {
        for start in stride(from: 0, to: bytes.count - 511, by: 512) where bytes[(start + 257)..<(start + 262)].elementsEqual("ustar".utf8) {
            let sum = bytes[start..<(start + 512)].enumerated().reduce(0) { $0 + Int((148..<156).contains($1.offset) ? 0x20 : $1.element) }
            let digits = String(sum, radix: 8)
            bytes.replaceSubrange((start + 148)..<(start + 156), with: Array((String(repeating: "0", count: max(0, 6 - digits.count)) + digits + "\u{0} ").utf8))
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>) func `damaged archives end, with an error or without, inside of their limits`(seed: UInt64) throws {
        var random = Seeded(state: seed)
        var limits = TarLimits()
        limits.contentBytes = 1 << 20
        limits.entries = 200
        limits.extensionBytes = 4096
        for _ in 0..<60 {
            var bytes = try archive(&random)
            for _ in 0..<Int.random(in: 1...30, using: &random) {
                // Mostly in headers: sizes, kinds, magic, and the records of extended headers.
                let block = Int.random(in: 0..<(bytes.count / 512), using: &random) * 512
                let place = block + (Bool.random(using: &random) ? Int.random(in: 100..<265, using: &random) : Int.random(in: 0..<512, using: &random))
                bytes[place] = [UInt8(ascii: "7"), 0xff, 0x80, 0, UInt8(ascii: "x"), UInt8(ascii: "L"), UInt8(ascii: "S"), UInt8(ascii: "="), UInt8(ascii: "\n"), .random(in: 0...255, using: &random)].randomElement(using: &random) ?? 0
            }
            if Bool.random(using: &random) { bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random))) }
            sealed(&bytes)
            let reader = TarReader(MemorySource(bytes), limits: limits)
            var content: Int64 = 0
            do {
                while let entry = try reader.next() {
                    #expect(entry.size >= 0 && !entry.path.contains(0))
                    while let (_, part) = try reader.nextChunk() { content += Int64(part.count) }
                }
            } catch is TarError {}
            #expect(reader.entryCount <= limits.entries + 1 && content <= limits.contentBytes)
        }
    }
}

private final class Bytes: ByteSink {
    var bytes: [UInt8] = []
    func write(_ more: UnsafeRawBufferPointer) throws { bytes += more }
}
