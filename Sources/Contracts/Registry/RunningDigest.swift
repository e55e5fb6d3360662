import Crypto
package import OCISpec

/// Crypto has a protocol of the same name.
typealias Digest = OCISpec.Digest

/// A digest that grows with the bytes, and what it is when they are over.
package struct RunningDigest {
    // One of the three is there. Apart, so that an update works in place.
    private var sha256: SHA256?
    private var sha384: SHA384?
    private var sha512: SHA512?

    package init(_ algorithm: OCISpec.Digest.Algorithm = .sha256) {
        switch algorithm {
        case .sha256: sha256 = SHA256()
        case .sha384: sha384 = SHA384()
        case .sha512: sha512 = SHA512()
        }
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        sha256?.update(bufferPointer: bytes)
        sha384?.update(bufferPointer: bytes)
        sha512?.update(bufferPointer: bytes)
    }

    package var digest: OCISpec.Digest {
        if let sha256 { return Digest(.sha256, bytes: sha256.finalize()) }
        if let sha384 { return Digest(.sha384, bytes: sha384.finalize()) }
        return Digest(.sha512, bytes: (sha512 ?? SHA512()).finalize())
    }

    package static func of(_ bytes: [UInt8], _ algorithm: OCISpec.Digest.Algorithm = .sha256) -> OCISpec.Digest {
        var running = RunningDigest(algorithm)
        bytes.withUnsafeBytes { running.update($0) }
        return running.digest
    }
}
