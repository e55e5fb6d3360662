import JSONCodec
import OCISpec
import Testing

@Suite struct ImageSpecTests {
    private static let digest = "sha256:" + String(repeating: "0", count: 64)

    @Test func `a Docker configuration is read and written without loss`() throws {
        let text = #"""
            {"architecture":"amd64","config":{"Hostname":"","Env":["PATH=/bin"],"Cmd":["sh"],"Image":"","Volumes":{"/data":{}},"WorkingDir":"/",
            "Entrypoint":null,"ExposedPorts":{"80/tcp":{}},"Labels":{"a":"b"},"StopSignal":"SIGINT","Healthcheck":{"Test":["CMD","true"],"Interval":1000000000},
            "OnBuild":["RUN x"],"Shell":["/bin/ash"],"ArgsEscaped":true,"Memory":5},"created":"2026-01-01T00:00:00.123456789Z","docker_version":"26.1","os":"linux",
            "history":[{"created":"2026-01-01T00:00:00Z","created_by":"x","empty_layer":true}],"rootfs":{"type":"layers","diff_ids":["\#(Self.digest)"]},
            "os.version":"1","moby.buildkit.buildinfo.v1":{"deep":[1,null]}}
            """#
        let image = try JSON.decode(ImageConfig.self, from: Array(text.utf8))
        #expect(image.config.exposedPorts == ["80/tcp"])
        #expect(image.config.healthcheck?.interval == 1_000_000_000)
        #expect(image.config.argsEscaped)
        #expect(image.config.unknownFields["Memory"] == .integer(5))
        #expect(image.unknownFields["docker_version"] == .string("26.1"))
        #expect(image.history.first?.emptyLayer == true)
        #expect(image.osVersion == "1")
        let again = try JSON.decode(ImageConfig.self, from: JSON.encode(image))
        #expect(again == image)
    }

    @Test func `a manifest names its layers`() throws {
        let text = #"""
            {"schemaVersion":2,"config":{"mediaType":"a","size":3,"digest":"\#(Self.digest)"},"layers":[{"mediaType":"\#(MediaType.dockerLayerGzip)","size":9,
            "digest":"\#(Self.digest)","platform":{"os":"linux","architecture":"arm","variant":"v7","os.features":["x"]}}]}
            """#
        let manifest = try JSON.decode(ImageManifest.self, from: Array(text.utf8))
        #expect(manifest.layers.first?.platform?.osFeatures == ["x"])
        #expect(manifest.layers.map(\.mediaType).compactMap(MediaType.layerCompression) == ["gzip"])
        #expect(try JSON.decode(ImageManifest.self, from: JSON.encode(manifest)) == manifest)
    }

    @Test func `a descriptor with a bad digest is refused with its place`() {
        let text = #"{"schemaVersion":2,"manifests":[{"mediaType":"a","size":3,"digest":"sha256:../../x"}]}"#
        do {
            _ = try JSON.decode(ImageIndex.self, from: Array(text.utf8))
            Issue.record("accepted")
        } catch {
            #expect(error.description == #"manifests[0].digest: invalid checksum digest length: "sha256:../../x""#)
        }
    }

    @Test(arguments: [
        (MediaType.ociLayer, ""), (MediaType.ociLayerZstd, "zstd"), (MediaType.dockerForeignLayerGzip, "gzip"), (MediaType.ociConfig, nil),
        ("application/vnd.oci.image.layer.v1.tar+encrypted", nil),
    ] as [(String, String?)])
    func `a layer's media type tells its compression`(type: String, compression: String?) {
        #expect(MediaType.layerCompression(type) == compression)
    }
}
