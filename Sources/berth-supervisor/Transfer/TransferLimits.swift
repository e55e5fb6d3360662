import OCILayer

/// What transfers may take and ask for; `[transfer]` in the configuration file.
struct TransferLimits: Sendable, Equatable {
    /// Blobs at a time, of all transfers together; dockerd's defaults.
    var concurrentDownloads = 3
    var concurrentUploads = 5
    /// A registry that sends nothing, or less than a few kilobytes, for so long has failed.
    var idleSeconds = 60
    /// Bytes of files in one unpacked layer: what a decompression bomb runs into when it meets no full disk before.
    var layerBytes = TarLimits().contentBytes
    /// Files in one layer.
    var layerEntries = TarLimits().entries

    var archive: TarLimits {
        var limits = TarLimits()
        limits.contentBytes = layerBytes
        limits.entries = layerEntries
        return limits
    }
}
