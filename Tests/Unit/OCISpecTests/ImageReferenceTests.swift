import OCISpec
import Testing

private let hex = String(repeating: "ab", count: 32)

@Suite struct ImageReferenceTests {
    @Test(arguments: [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("a/b", "docker.io/a/b", "a/b"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/a", "localhost/a", "localhost/a"),
        ("127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c", "127.0.0.1:5000/a/b:c"),
        ("[::1]:5000/a", "[::1]:5000/a", "[::1]:5000/a"),
        ("Registry/a", "Registry/a", "Registry/a"),
        ("a__b/c--d_e.f", "docker.io/a__b/c--d_e.f", "a__b/c--d_e.f"),
        ("a:b@sha256:\(hex)", "docker.io/library/a:b@sha256:\(hex)", "a:b@sha256:\(hex)"),
    ])
    func `a name is completed and shortened again`(text: String, full: String, familiar: String) throws {
        let reference = try ImageReference(parsing: text)
        #expect(reference.description == full)
        #expect(reference.familiar == familiar)
        #expect(try ImageReference(parsing: full) == reference)
    }

    @Test(arguments: [
        ("", "invalid reference format"),
        ("Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"),
        ("a/B:c", "invalid reference format: repository name (a/B) must be lowercase"),
        ("a:", "invalid reference format"),
        ("a b", "invalid reference format"),
        ("a//b", "invalid reference format"),
        ("-a", "invalid reference format"),
        ("a..b", "invalid reference format"),
        ("a___b", "invalid reference format"),
        ("a:b:c", "invalid reference format"),
        ("a:-b", "invalid reference format"),
        ("host:port/a", "invalid reference format"),
        ("host.:1/a", "invalid reference format"),
        ("a@sha256:00", "invalid reference format"),
        ("a@sha256:\(String(repeating: "a", count: 40))", "invalid checksum digest length"),
        ("a@foo:\(hex)", "unsupported digest algorithm"),
        ("a:\(String(repeating: "x", count: 129))", "invalid reference format"),
        (hex, "invalid repository name (\(hex)), cannot specify 64-byte hexadecimal strings"),
        (String(repeating: "a", count: 256), "repository name must not be more than 255 characters"),
    ])
    func `what is no reference is refused in the words of the field`(text: String, message: String) {
        #expect(throws: ImageReferenceError(message)) { try ImageReference(parsing: text) }
    }

    @Test func `the canonical form has a tag or a digest, not both`() throws {
        #expect(try ImageReference(canonical: "a").description == "docker.io/library/a:latest")
        #expect(try ImageReference(canonical: "a:b").description == "docker.io/library/a:b")
        #expect(try ImageReference(canonical: "a:b@sha256:\(hex)").description == "docker.io/library/a@sha256:\(hex)")
    }

    @Test(arguments: [
        ("sha256", Digest.Failure.invalidFormat), (":x", .invalidFormat), ("sha256:", .invalidFormat), ("sha256:ab", .invalidLength),
        ("sha256:\(String(repeating: "AB", count: 32))", .invalidFormat), ("md5:abc", .unsupportedAlgorithm), ("../x:abc", .invalidFormat),
    ])
    func `a bad digest is refused`(text: String, failure: Digest.Failure) {
        #expect(throws: failure) { try Digest(parsing: text) }
    }

    @Test func `a digest is made of bytes`() {
        #expect(Digest(bytes: (0..<32).map { UInt8($0) }).encoded.hasPrefix("000102"))
    }
}
