import BerthDefaults
@testable import Registry
@testable import berth_supervisor
import OCISpec
import Testing

@Suite struct RegistryTests {
    @Test func `challenges are read with quoted and bare parameters`() {
        let challenges = AuthChallenge.parse(#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push", Basic realm=x"#)
        #expect(challenges.count == 2)
        #expect(challenges[0].scheme == "bearer")
        #expect(challenges[0].parameters["realm"] == "https://auth.example/token")
        #expect(challenges[0].parameters["scope"] == "repository:a/b:pull,push")
        #expect(challenges[1] == AuthChallenge(scheme: "basic", parameters: ["realm": "x"]))
        #expect(AuthChallenge.parse("").isEmpty)
        #expect(AuthChallenge.parse(#"Bearer realm="unfinished"#).first?.scheme == "bearer")
    }

    @Test func `a refused manifest is told in Docker's words`() throws {
        let reference = try ImageReference(parsing: "127.0.0.1:5000/x:y")
        let body = Array(#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.utf8)
        #expect(
            RegistryErrors.refusal(404, body: body, what: "GET", reference: reference)
                == StorageError(.notFound, "manifest for 127.0.0.1:5000/x:y not found: manifest unknown: manifest unknown"))
        let denied = Array(#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#.utf8)
        #expect(
            RegistryErrors.refusal(401, body: denied, what: "GET", reference: reference).message
                == "pull access denied for 127.0.0.1:5000/x, repository does not exist or may require 'docker login': denied: requested access to the resource is denied")
    }

    @Test(arguments: [("localhost:5000", true), ("127.0.0.1", true), ("127.9.8.7:80", true), ("[::1]:5000", true), ("128.0.0.1", false), ("127.0.0.1.evil.example", false)])
    func `only loopback hosts are spoken to without TLS by themselves`(host: String, isLoopback: Bool) {
        #expect(RegistryHost.isLoopback(host) == isLoopback)
    }

    @Test func `a platform takes the nearest variant that runs on it`() throws {
        let digest = try Digest(parsing: "sha256:" + String(repeating: "0", count: 64))
        func member(_ architecture: String, _ variant: String?) -> Descriptor {
            Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: 1, platform: Platform(architecture: architecture, os: "linux", variant: variant))
        }
        let members = [member("arm", "v5"), member("arm", "v6"), member("amd64", nil), member("arm64", "v8")]
        func choose(_ architecture: String, _ variant: String?) -> String? {
            let chosen = PlatformMatcher([Platform(architecture: architecture, os: "linux", variant: variant)]).choose(members).first?.platform
            return chosen.map { "\($0.architecture)/\($0.variant ?? "")" }
        }
        #expect(choose("arm", "v7") == "arm/v6")
        #expect(choose("arm64", nil) == "arm64/v8")
        #expect(choose("amd64", nil) == "amd64/")
        #expect(choose("s390x", nil) == nil)
    }

    @Test func `a limit keeps the best members of an index`() throws {
        let digest = try Digest(parsing: "sha256:" + String(repeating: "0", count: 64))
        let members = ["s390x", PlatformMatcher.host.wanted[0].architecture, "riscv64"].map {
            Descriptor(mediaType: MediaType.ociManifest, digest: digest, size: 1, platform: Platform(architecture: $0, os: "linux"))
        }
        let all = PlatformMatcher([Platform]())
        #expect(all.choose(members, limit: 0).count == 3)
        #expect(all.choose(members, limit: 1).map(\.platform?.architecture) == [PlatformMatcher.host.wanted[0].architecture])
        #expect(all.choose(members, limit: 2).count == 2)
    }

    @Test func `scopes are asked for together and once`() {
        #expect(RegistryAuthorization.union("repository:a:pull,push", "repository:a:pull") == "repository:a:pull,push")
        #expect(RegistryAuthorization.union("repository:a:pull", "repository:a:pull,push repository:b:pull") == "repository:a:pull,push repository:b:pull")
        #expect(RegistryAuthorization.union("repository:host:5000/a:pull", "") == "repository:host:5000/a:pull")
    }
}

@Suite struct ImageDocumentTests {
    private func descriptor(_ type: String, _ bytes: [UInt8]) -> Descriptor {
        Descriptor(mediaType: type, digest: RunningDigest.of(bytes), size: Int64(bytes.count))
    }

    @Test func `bytes that are both a manifest and an index are refused`() {
        let bytes = Array(#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:\#(String(repeating: "0", count: 64))","size":2}}"#.utf8)
        #expect(throws: StorageError.self) { try ImageDocuments.manifest(bytes, descriptor(MediaType.ociManifest, bytes)) }
        #expect(throws: StorageError.self) { try ImageDocuments.index(bytes, descriptor(MediaType.ociIndex, bytes)) }
    }

    @Test func `a document that calls itself something else is refused`() {
        let bytes = Array(#"{"schemaVersion":2,"mediaType":"\#(MediaType.ociManifest)","manifests":[]}"#.utf8)
        #expect(throws: StorageError.self) { try ImageDocuments.index(bytes, descriptor(MediaType.ociIndex, bytes)) }
    }

    @Test func `chain IDs follow the specification`() throws {
        let a = try Digest(parsing: "sha256:" + String(repeating: "a", count: 64))
        let b = try Digest(parsing: "sha256:" + String(repeating: "b", count: 64))
        #expect(ImageDocuments.chainIDs([a, b]) == [a, RunningDigest.of(Array("\(a) \(b)".utf8))])
        #expect(ImageDocuments.chainIDs([]).isEmpty)
    }
}

@Suite struct LabelTests {
    @Test func `a field path changes one label, an empty value takes it away`() throws {
        let old = ["a": "1", "b.c/d": "2"]
        #expect(try Labels.updated(old, with: ["b.c/d": ""], paths: ["labels.b.c/d"]) == ["a": "1"])
        #expect(try Labels.updated(old, with: ["e": "5"], paths: ["labels.e"]) == ["a": "1", "b.c/d": "2", "e": "5"])
        #expect(try Labels.updated(old, with: ["e": "5"], paths: []) == ["e": "5"])
        #expect(throws: StorageError.self) { try Labels.updated(old, with: [:], paths: ["size"]) }
        #expect(Labels.decode(Labels.encode(old)) == old)
    }
}
