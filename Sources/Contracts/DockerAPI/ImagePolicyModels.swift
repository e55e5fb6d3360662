/// GET and POST /images/policy: a page of Berth's own, no other engine has it.
package struct ImagePolicyReport: Codable, Sendable, Equatable {
    package struct Use: Codable, Sendable, Equatable {
        /// What images take, each layer once.
        package var ImageBytes: Int64 = 0
        /// Of the file system that holds the data root.
        package var UsedBytes: Int64 = 0
        package var TotalBytes: Int64 = 0
        package init() {}
    }

    /// An image that the policy chose, in the order in which they go.
    package struct Image: Codable, Sendable, Equatable {
        package var Id = ""
        package var RepoTags: [String] = []
        package var LastUsed = ""
        /// Bytes that go with it after those before it have gone.
        package var Bytes: Int64 = 0
        package init() {}
    }

    /// "85%" or bytes; empty when the policy is off.
    package var High = ""
    package var Low = ""
    package var MinimumAge = ""
    package var Pins: [String] = []
    package var DryRun = true
    package var Before = Use()
    package var After = Use()
    package var IsOverHigh = false
    /// Images that stay, and why.
    package var InUse = 0
    package var Pinned = 0
    package var Young = 0
    /// What is missing to the low watermark when everything that may go has gone.
    package var MissingBytes: Int64 = 0
    package var Images: [Image] = []
    package var Deleted: [ImageDeleteItem] = []

    package init() {}
}
