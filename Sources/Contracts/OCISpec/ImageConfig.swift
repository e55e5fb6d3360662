/// The configuration blob of an image: `config.json` of image-spec with what Docker adds to it.
///
/// Fields that are not known here are kept in `unknownFields` and written again, so that a commit on top of an image loses nothing of its base.
///
/// Spec: OCI image-spec, config.md; moby's docker-image-spec, spec v1.3.
package struct ImageConfig: Sendable, Hashable {
    /// RFC 3339.
    package var created: String?
    package var author: String?
    package var architecture: String
    package var os: String
    package var osVersion: String?
    package var osFeatures: [String]
    package var variant: String?
    package var config: Execution
    package var rootfs: RootFS
    package var history: [History]
    package var unknownFields: [String: JSONValue]

    package init(
        created: String? = nil, author: String? = nil, architecture: String, os: String, osVersion: String? = nil, osFeatures: [String] = [],
        variant: String? = nil, config: Execution = Execution(), rootfs: RootFS = RootFS(), history: [History] = [],
        unknownFields: [String: JSONValue] = [:]
    ) {
        self.created = created
        self.author = author
        self.architecture = architecture
        self.os = os
        self.osVersion = osVersion
        self.osFeatures = osFeatures
        self.variant = variant
        self.config = config
        self.rootfs = rootfs
        self.history = history
        self.unknownFields = unknownFields
    }

    package var platform: Platform {
        Platform(architecture: architecture, os: os, osVersion: osVersion, osFeatures: osFeatures, variant: variant)
    }

    /// The digests of the uncompressed layers, lowest first.
    package struct RootFS: Codable, Sendable, Hashable {
        package var type: String
        package var diffIDs: [Digest]

        package init(type: String = "layers", diffIDs: [Digest] = []) {
            self.type = type
            self.diffIDs = diffIDs
        }

        enum CodingKeys: String, CodingKey {
            case type
            case diffIDs = "diff_ids"
        }

        package func encode(to encoder: any Encoder) throws {
            var fields = encoder.container(keyedBy: CodingKeys.self)
            try fields.encode(type, forKey: .type)
            // Required by the specification, also where there is no layer.
            try fields.encodeIfPresent(diffIDs, forKey: .diffIDs)
        }
    }

    /// How a layer came to be.
    package struct History: Codable, Sendable, Hashable {
        /// RFC 3339.
        package var created: String?
        package var createdBy: String?
        package var author: String?
        package var comment: String?
        /// The step made no layer.
        package var emptyLayer: Bool?

        package init(
            created: String? = nil, createdBy: String? = nil, author: String? = nil, comment: String? = nil, emptyLayer: Bool? = nil
        ) {
            self.created = created
            self.createdBy = createdBy
            self.author = author
            self.comment = comment
            self.emptyLayer = emptyLayer
        }

        enum CodingKeys: String, CodingKey {
            case created, author, comment
            case createdBy = "created_by"
            case emptyLayer = "empty_layer"
        }
    }
}

extension ImageConfig: Codable {
    enum CodingKeys: String, CodingKey {
        case created, author, architecture, os, variant, config, rootfs, history
        case osVersion = "os.version"
        case osFeatures = "os.features"
    }

    package init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: CodingKeys.self)
        self.init(
            created: try fields.decodeIfPresent(String.self, forKey: .created), author: try fields.decodeIfPresent(String.self, forKey: .author),
            architecture: try fields.decodeIfPresent(String.self, forKey: .architecture) ?? "",
            os: try fields.decodeIfPresent(String.self, forKey: .os) ?? "", osVersion: try fields.decodeIfPresent(String.self, forKey: .osVersion),
            osFeatures: try fields.decode([String].self, forKey: .osFeatures), variant: try fields.decodeIfPresent(String.self, forKey: .variant),
            config: try fields.decodeIfPresent(Execution.self, forKey: .config) ?? Execution(),
            rootfs: try fields.decodeIfPresent(RootFS.self, forKey: .rootfs) ?? RootFS(),
            history: try fields.decode([History].self, forKey: .history),
            unknownFields: try decoder.unknownFields { CodingKeys(rawValue: $0) != nil })
    }

    package func encode(to encoder: any Encoder) throws {
        var fields = encoder.container(keyedBy: CodingKeys.self)
        try fields.encodeIfPresent(created, forKey: .created)
        try fields.encodeIfPresent(author, forKey: .author)
        try fields.encode(architecture, forKey: .architecture)
        try fields.encode(os, forKey: .os)
        try fields.encodeIfPresent(osVersion, forKey: .osVersion)
        try fields.encode(osFeatures, forKey: .osFeatures)
        try fields.encodeIfPresent(variant, forKey: .variant)
        try fields.encode(config, forKey: .config)
        try fields.encode(rootfs, forKey: .rootfs)
        try fields.encode(history, forKey: .history)
        try encoder.encode(unknownFields: unknownFields)
    }
}
