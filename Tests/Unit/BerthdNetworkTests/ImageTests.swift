@testable import berthd
import ContainerdAPI
import Crypto
import DockerAPI
import OCISpec
import Testing

@Suite struct ImageTests {
    private func event(_ text: String, _ name: String, progress: Int64 = 0, total: Int64 = 0) -> TransferTypes_Progress {
        var event = TransferTypes_Progress()
        event.event = text
        event.name = name
        event.progress = progress
        event.total = total
        event.desc.digest = "sha256:" + String(repeating: "a", count: 64)
        return event
    }

    private let layer = "layer-sha256:" + String(repeating: "b", count: 64)

    @Test func `A pull reads as dockerd's does`() throws {
        var text = PullProgressText(try ImageReference(parsing: "busybox:latest"))
        let events = [
            event("waiting", "manifest-sha256:" + String(repeating: "c", count: 64)), event("waiting", layer), event("downloading", layer, progress: 5, total: 10),
            event("complete", layer), event("extracting", layer, progress: 5, total: 10), event("extracted", layer),
        ]
        let lines = events.flatMap { text.take($0) }
        #expect(lines.map(\.status) == ["Pulling from library/busybox", "Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete"])
        #expect(lines[0].id == "latest" && lines[1].id == "bbbbbbbbbbbb" && lines[2].progressDetail?.total == 10)
        #expect(text.summary(before: "x", after: "y").map(\.status) == ["Digest: y", "Status: Downloaded newer image for busybox:latest"])
    }

    @Test func `A pull of what is here says nothing about layers`() throws {
        var text = PullProgressText(try ImageReference(parsing: "busybox:latest"))
        let lines = [event("already exists", "manifest-x"), event("waiting", layer), event("already exists", layer)].flatMap { text.take($0) }
        #expect(lines.map(\.status) == ["Pulling from library/busybox"])
        #expect(text.summary(before: "y", after: "y").last?.status == "Status: Image is up to date for busybox:latest")
    }

    @Test(arguments: [
        ("linux/amd64", "linux/amd64", 0), ("linux/arm64", "linux/amd64", nil), ("linux/arm/v6", "linux/arm/v7", 1), ("linux/arm/v7", "linux/arm/v6", nil),
        ("linux/386", "linux/amd64", 20), ("windows/amd64", "linux/amd64", nil), ("linux/aarch64", "linux/arm64/v8", 0),
    ] as [(String, String, Int?)])
    func `Platforms fit or do not`(offered: String, wanted: String, distance: Int?) throws {
        #expect(ImagePlatform.distance(of: try ImagePlatform.parse(offered), from: try ImagePlatform.parse(wanted)) == distance)
    }

    @Test func `Chain IDs are as image-spec has them`() throws {
        let one = try Digest(parsing: "sha256:" + String(repeating: "1", count: 64)), two = try Digest(parsing: "sha256:" + String(repeating: "2", count: 64))
        let chain = ChainID.all([one, two])
        #expect(chain[0] == one)
        #expect(chain[1] == Digest(bytes: SHA256.hash(data: Array("\(one) \(two)".utf8))))
        #expect(ChainID.all([]).isEmpty)
    }

    @Test(arguments: [("busybox", "busybox:latest", true), ("foo/*", "foo/bar:v1", true), ("foo/*", "busybox:latest", false), ("*:v1", "bar:v1", true), ("b[a-z]r", "bar:v1", true), ("*", "foo/bar:1", false)])
    func `Images are found by pattern`(pattern: String, tag: String, matches: Bool) { #expect(ReferencePattern.matches(pattern, tag) == matches) }

    @Test func `Changes are Dockerfile instructions`() throws {
        var config = ImageConfig.Execution(env: ["A=1"])
        try ConfigChange.apply(["ENV A=2 B=\"x y\"", "CMD [\"a\", \"b\"]", "ENTRYPOINT run it", "EXPOSE 80 53/udp", "LABEL k=v", "VOLUME [\"/d\"]", "USER u", "WORKDIR /w"], to: &config)
        #expect(config.env == ["A=2", "B=x y"] && config.cmd == ["a", "b"] && config.entrypoint == ["/bin/sh", "-c", "run it"])
        #expect(config.exposedPorts == ["80/tcp", "53/udp"] && config.labels == ["k": "v"] && config.volumes == ["/d"] && config.workingDir == "/w")
        #expect(throws: DaemonError.self) { try ConfigChange.apply(["RUN x"], to: &config) }
        try ConfigChange.apply(["ENTRYPOINT [\"e\"]"], to: &config)
        #expect(config.cmd.isEmpty, "a command that was there before belongs to the entrypoint before")
    }

    @Test func `Credentials are read from either alphabet and never repeated`() throws {
        #expect(try AuthConfig(header: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InA_In0").username == "u")
        #expect(try AuthConfig(header: "e30=").isEmpty)
        let error = #expect(throws: DaemonError.self) { try AuthConfig(header: "secret!") }
        #expect(error?.message.contains("secret") == false)
    }

    @Test func `Insecure registries are hosts or networks`() {
        #expect(InsecureRegistries.contains("10.1.2.3:5000", ["10.0.0.0/8"]))
        #expect(InsecureRegistries.contains("reg:5000", ["reg:5000"]) && !InsecureRegistries.contains("reg:5001", ["reg:5000"]))
        #expect(!InsecureRegistries.contains("example.com", ["10.0.0.0/8"]))
    }

    @Test(arguments: [(512, "512B"), (1234, "1.234kB"), (12_345_678, "12.35MB"), (100_000_000, "100MB")] as [(Int64, String)])
    func `Sizes have four digits`(bytes: Int64, text: String) { #expect(ProgressBar.size(bytes) == text) }
}
