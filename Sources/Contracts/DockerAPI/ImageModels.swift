/// An OCI descriptor as the Engine API shows it (OCI image-spec, descriptor.md).
package struct Descriptor: Codable, Sendable, Equatable {
    package struct Platform: Codable, Sendable, Equatable {
        package var architecture: String?
        package var os: String?
        package var `os.version`: String?
        package var variant: String?
        package init() {}
    }

    package var mediaType: String?
    package var digest: String?
    package var size: Int64?
    package var urls: [String]?
    package var annotations: [String: String]?
    package var platform: Platform?

    package init() {}
}

/// One element of GET /images/json.
package struct ImageSummary: Codable, Sendable, Equatable {
    package struct Manifest: Codable, Sendable, Equatable {
        package struct Sizes: Codable, Sendable, Equatable {
            package var Content: Int64?
            package var Total: Int64?
            package init() {}
        }
        package struct ImageData: Codable, Sendable, Equatable {
            package struct Unpacked: Codable, Sendable, Equatable {
                package var Unpacked: Int64?
                package init() {}
            }
            package var Platform: Descriptor.Platform?
            package var Containers: [String]?
            package var Size: Unpacked?
            package init() {}
        }
        /// Which manifest an attestation speaks of.
        package struct Attestation: Codable, Sendable, Equatable {
            package var For: String
            package init(For: String) { self.For = For }
        }
        package var ID: String?
        package var Descriptor: Descriptor?
        package var Available: Bool?
        package var Size: Sizes?
        /// image attestation unknown
        package var Kind: String?
        package var ImageData: ImageData?
        package var AttestationData: Attestation?
        package init() {}
    }

    /// -1 when not counted.
    package var Containers: Int64?
    package var Created: Int64?
    package var Id: String = ""
    @Nullable package var Labels: [String: String]?
    package var ParentId: String?
    package var Descriptor: Descriptor?
    package var Manifests: [Manifest]?
    @Nullable package var RepoDigests: [String]?
    @Nullable package var RepoTags: [String]?
    /// -1 when not computed.
    package var SharedSize: Int64?
    package var Size: Int64?
    /// Up to API 1.43.
    package var VirtualSize: Int64?

    package init() {}
}

/// GET /images/{name}/json.
package struct ImageInspect: Codable, Sendable, Equatable {
    package struct RootFSInfo: Codable, Sendable, Equatable {
        package var `Type`: String?
        package var Layers: [String]?
        package init() {}
    }
    package struct MetadataInfo: Codable, Sendable, Equatable {
        package var LastTagTime: String?
        package init() {}
    }

    package var Id: String = ""
    package var RepoTags: [String]?
    package var RepoDigests: [String]?
    package var Parent: String?
    package var Comment: String?
    package var Created: String?
    package var DockerVersion: String?
    package var Author: String?
    package var Config: ContainerConfig?
    package var Architecture: String?
    package var Variant: String?
    package var Os: String?
    package var OsVersion: String?
    package var Size: Int64?
    package var VirtualSize: Int64?
    package var GraphDriver: DriverData?
    package var RootFS: RootFSInfo?
    package var Metadata: MetadataInfo?
    package var Descriptor: Descriptor?
    package var Manifests: [ImageSummary.Manifest]?

    package init() {}
}

/// One element of GET /images/{name}/history.
package struct ImageHistoryItem: Codable, Sendable, Equatable {
    package var Id: String?
    package var Created: Int64?
    package var CreatedBy: String?
    @Nullable package var Tags: [String]?
    package var Size: Int64?
    package var Comment: String?

    package init() {}
}

/// One element of DELETE /images/{name}: one of the two is set.
package struct ImageDeleteItem: Codable, Sendable, Equatable {
    package var Untagged: String?
    package var Deleted: String?
    package init(Untagged: String? = nil, Deleted: String? = nil) {
        self.Untagged = Untagged
        self.Deleted = Deleted
    }
}

package struct ImagesPruneReport: Codable, Sendable, Equatable {
    @Nullable package var ImagesDeleted: [ImageDeleteItem]?
    package var SpaceReclaimed: UInt64?
    package init(ImagesDeleted: [ImageDeleteItem]?, SpaceReclaimed: UInt64) {
        self.ImagesDeleted = ImagesDeleted
        self.SpaceReclaimed = SpaceReclaimed
    }
}

/// POST /build/prune.
package struct BuildPruneReport: Codable, Sendable, Equatable {
    @Nullable package var CachesDeleted: [String]?
    package var SpaceReclaimed: UInt64?
    package init(CachesDeleted: [String]?, SpaceReclaimed: UInt64) {
        self.CachesDeleted = CachesDeleted
        self.SpaceReclaimed = SpaceReclaimed
    }
}

/// One line of a progress stream: pull, push, load, build.
package struct ProgressMessage: Codable, Sendable, Equatable {
    package struct Detail: Codable, Sendable, Equatable {
        package var current: Int64?
        package var total: Int64?
        package var start: Int64?
        package var hidecounts: Bool?
        package var units: String?
        package init(current: Int64? = nil, total: Int64? = nil) {
            self.current = current
            self.total = total
        }
    }
    package struct ErrorDetail: Codable, Sendable, Equatable {
        package var code: Int?
        package var message: String?
        package init(code: Int? = nil, message: String) {
            self.code = code
            self.message = message
        }
    }
    /// Digests of a push, the ID of a build.
    package struct Auxiliary: Codable, Sendable, Equatable {
        package var Tag: String?
        package var Digest: String?
        package var Size: Int64?
        package var ID: String?
        package init() {}
    }

    package var stream: String?
    package var status: String?
    package var progressDetail: Detail?
    /// The bar as text; clients that draw themselves ignore it.
    package var progress: String?
    package var id: String?
    package var errorDetail: ErrorDetail?
    package var error: String?
    package var aux: Auxiliary?

    package init() {}
}

/// The header `X-Registry-Auth`, base64url of this object.
package struct AuthConfig: Codable, Sendable, Equatable {
    package var username: String?
    package var password: String?
    package var auth: String?
    package var email: String?
    package var serveraddress: String?
    package var identitytoken: String?
    package var registrytoken: String?
    package init() {}
}

package struct AuthResponse: Codable, Sendable, Equatable {
    package var IdentityToken: String?
    package var Status: String?
    package init(Status: String, IdentityToken: String? = nil) {
        self.Status = Status
        self.IdentityToken = IdentityToken
    }
}

/// One element of GET /images/search.
package struct SearchResult: Codable, Sendable, Equatable {
    package var star_count: Int
    package var is_official: Bool
    package var name: String
    /// Always false: registries stopped telling it.
    package var is_automated = false
    package var description: String

    package init(name: String, description: String, stars: Int, isOfficial: Bool) {
        (self.name, self.description, star_count, is_official) = (name, description, stars, isOfficial)
    }
}

/// GET /distribution/{name}/json.
package struct DistributionInspect: Codable, Sendable, Equatable {
    package var Descriptor: Descriptor?
    @Nullable package var Platforms: [Descriptor.Platform]?
    package init() {}
}
