package struct Volume: Codable, Sendable, Equatable {
    package struct Usage: Codable, Sendable, Equatable {
        /// -1 when unknown.
        package var RefCount: Int64
        package var Size: Int64
        package init(RefCount: Int64, Size: Int64) {
            self.RefCount = RefCount
            self.Size = Size
        }
    }

    package var CreatedAt: String?
    package var Driver: String?
    @Nullable package var Labels: [String: String]?
    package var Mountpoint: String?
    package var Name: String = ""
    @Nullable package var Options: [String: String]?
    package var Scope: String?
    package var Status: [String: String]?
    package var UsageData: Usage?

    package init() {}
}

package struct VolumeListResponse: Codable, Sendable, Equatable {
    @Nullable package var Volumes: [Volume]?
    @Nullable package var Warnings: [String]?
    package init(Volumes: [Volume], Warnings: [String]? = nil) {
        self.Volumes = Volumes
        self.Warnings = Warnings
    }
}

package struct VolumeCreateRequest: Codable, Sendable, Equatable {
    package var Name: String?
    package var Driver: String?
    package var DriverOpts: [String: String]?
    package var Labels: [String: String]?
    package var ClusterVolumeSpec: EmptyObject?
    package init() {}
}

package struct VolumesPruneReport: Codable, Sendable, Equatable {
    @Nullable package var VolumesDeleted: [String]?
    package var SpaceReclaimed: UInt64?
    package init(VolumesDeleted: [String]?, SpaceReclaimed: UInt64) {
        self.VolumesDeleted = VolumesDeleted
        self.SpaceReclaimed = SpaceReclaimed
    }
}
