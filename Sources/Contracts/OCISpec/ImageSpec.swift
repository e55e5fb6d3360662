/// Media types of images: the specification's, and Docker's older ones for the same things.
///
/// Spec: OCI image-spec, media-types.md.
package enum MediaType {
    package static let ociIndex = "application/vnd.oci.image.index.v1+json"
    package static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
    package static let ociConfig = "application/vnd.oci.image.config.v1+json"
    package static let ociEmpty = "application/vnd.oci.empty.v1+json"
    package static let ociLayer = "application/vnd.oci.image.layer.v1.tar"
    package static let ociLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip"
    package static let ociLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd"
    package static let dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json"
    package static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    package static let dockerConfig = "application/vnd.docker.container.image.v1+json"
    package static let dockerLayer = "application/vnd.docker.image.rootfs.diff.tar"
    package static let dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    package static let dockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd"
    package static let dockerForeignLayerGzip = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

    package static func isIndex(_ type: String) -> Bool { type == ociIndex || type == dockerManifestList }
    package static func isManifest(_ type: String) -> Bool { type == ociManifest || type == dockerManifest }
    package static func isConfig(_ type: String) -> Bool { type == ociConfig || type == dockerConfig }
    package static func isLayer(_ type: String) -> Bool { layerCompression(type) != nil }
    /// Layers whose licence keeps them out of registries; their descriptors say where they are.
    package static func isNonDistributable(_ type: String) -> Bool { isLayer(type) && type.split(separator: ".").contains { $0 == "nondistributable" || $0 == "foreign" } }

    /// "", "gzip" or "zstd" for a layer's media type, nil for anything else.
    package static func layerCompression(_ type: String) -> String? {
        let tar = [
            ociLayer, "application/vnd.oci.image.layer.nondistributable.v1.tar", dockerLayer, "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ]
        for base in tar where type.hasPrefix(base) {
            switch type.dropFirst(base.count) {
            case "": return ""
            case "+gzip", ".gzip": return "gzip"
            case "+zstd", ".zstd": return "zstd"
            default: return nil
            }
        }
        return nil
    }
}

/// What some content is, how long, and its digest. Spec: descriptor.md.
package struct Descriptor: Codable, Sendable, Hashable {
    package var mediaType: String
    package var digest: Digest
    /// Bytes.
    package var size: Int64
    package var urls: [String]
    package var annotations: [String: String]
    /// The content itself, in base64.
    package var data: String?
    package var platform: Platform?
    package var artifactType: String?

    package init(
        mediaType: String, digest: Digest, size: Int64, urls: [String] = [], annotations: [String: String] = [:], data: String? = nil,
        platform: Platform? = nil, artifactType: String? = nil
    ) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        self.urls = urls
        self.annotations = annotations
        self.data = data
        self.platform = platform
        self.artifactType = artifactType
    }
}

/// What an image runs on, in Go's names for operating systems and processors. Spec: image-index.md#image-index-property-descriptions.
package struct Platform: Codable, Sendable, Hashable {
    package var architecture: String
    package var os: String
    package var osVersion: String?
    package var osFeatures: [String]
    package var variant: String?

    package init(architecture: String, os: String, osVersion: String? = nil, osFeatures: [String] = [], variant: String? = nil) {
        self.architecture = architecture
        self.os = os
        self.osVersion = osVersion
        self.osFeatures = osFeatures
        self.variant = variant
    }

    enum CodingKeys: String, CodingKey {
        case architecture, os, variant
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }
}

/// A list of manifests, one per platform; also the `index.json` of a layout. Spec: image-index.md.
package struct ImageIndex: Codable, Sendable, Hashable {
    package var schemaVersion: Int
    package var mediaType: String?
    package var artifactType: String?
    package var manifests: [Descriptor]
    package var subject: Descriptor?
    package var annotations: [String: String]

    package init(
        schemaVersion: Int = 2, mediaType: String? = MediaType.ociIndex, artifactType: String? = nil, manifests: [Descriptor],
        subject: Descriptor? = nil, annotations: [String: String] = [:]
    ) {
        self.schemaVersion = schemaVersion
        self.mediaType = mediaType
        self.artifactType = artifactType
        self.manifests = manifests
        self.subject = subject
        self.annotations = annotations
    }
}

/// One image for one platform. Spec: manifest.md.
package struct ImageManifest: Codable, Sendable, Hashable {
    package var schemaVersion: Int
    package var mediaType: String?
    package var artifactType: String?
    package var config: Descriptor
    package var layers: [Descriptor]
    package var subject: Descriptor?
    package var annotations: [String: String]

    package init(
        schemaVersion: Int = 2, mediaType: String? = MediaType.ociManifest, artifactType: String? = nil, config: Descriptor, layers: [Descriptor],
        subject: Descriptor? = nil, annotations: [String: String] = [:]
    ) {
        self.schemaVersion = schemaVersion
        self.mediaType = mediaType
        self.artifactType = artifactType
        self.config = config
        self.layers = layers
        self.subject = subject
        self.annotations = annotations
    }
}

/// The file `oci-layout`. Spec: image-layout.md.
package struct ImageLayout: Codable, Sendable, Hashable {
    package static let version = "1.0.0"
    package var imageLayoutVersion: String
    package init(imageLayoutVersion: String = ImageLayout.version) { self.imageLayoutVersion = imageLayoutVersion }
}
