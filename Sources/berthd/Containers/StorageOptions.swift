/// `--storage-opt`: what a container asks of its storage driver.
enum StorageOptions {
    /// Bytes that the container's own files may take; nil for no limit.
    static func size(_ options: [String: String]?) throws(DaemonError) -> Int64? {
        var size: Int64?
        for (name, value) in (options ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard name.lowercased() == "size" else { throw .invalid("unknown option \(name)") }
            guard let bytes = ByteSize.parse(value) else { throw .invalid("invalid size: '\(value)'") }
            guard bytes > 0 else { throw .invalid("--storage-opt size must be more than 0, not '\(value)'") }
            size = bytes
        }
        return size
    }
}
