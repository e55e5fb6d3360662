import SwiftProtobuf
import BerthDefaults
import ContainerdAPI
import GRDB
import OCISpec

/// The rows of `images`, as the messages of containerd's API: a name and the digest it stands for. All functions run inside the caller's transaction.
enum ImageRecords {
    private static let columns = "name, media_type, digest, size, annotations, labels, created, updated"

    static func find(_ name: String, in namespace: String, _ db: Database) throws -> Images_Image? {
        try Row.fetchOne(db, sql: "SELECT \(columns) FROM images WHERE namespace = ? AND name = ?", arguments: [namespace, name]).map(image)
    }

    static func get(_ name: String, in namespace: String, _ db: Database) throws -> Images_Image {
        guard let found = try find(name, in: namespace, db) else { throw SupervisorError(.notFound, "image \"\(name)\": not found") }
        return found
    }

    static func list(in namespace: String, _ db: Database) throws -> [Images_Image] {
        try Row.fetchAll(db, sql: "SELECT \(columns) FROM images WHERE namespace = ? ORDER BY name", arguments: [namespace]).map(image)
    }

    static func create(_ image: Images_Image, in namespace: String, _ db: Database) throws -> Images_Image {
        try validate(image)
        try MetadataDatabase.ensureNamespace(namespace, db)
        guard try find(image.name, in: namespace, db) == nil else {
            throw SupervisorError(.alreadyExists, "image \"\(image.name)\": already exists")
        }
        var created = image
        created.createdAt = Timestamps.proto(Clock.now)
        created.updatedAt = created.createdAt
        try store(created, in: namespace, db)
        return created
    }

    /// - Parameter paths: a field mask; empty replaces target and labels.
    static func update(_ change: Images_Image, paths: [String], in namespace: String, _ db: Database) throws -> Images_Image {
        var updated = try get(change.name, in: namespace, db)
        for path in paths.isEmpty ? ["target", "labels"] : paths {
            if path.hasPrefix("labels.") {
                let key = String(path.dropFirst("labels.".count))
                updated.labels[key] = change.labels[key].flatMap { $0.isEmpty ? nil : $0 }
            } else if path.hasPrefix("annotations.") {
                let key = String(path.dropFirst("annotations.".count))
                updated.target.annotations[key] = change.target.annotations[key]
            } else {
                switch path {
                case "labels": updated.labels = change.labels.filter { !$0.value.isEmpty }
                case "target": updated.target = change.target
                case "annotations": updated.target.annotations = change.target.annotations
                default: throw SupervisorError(.invalidArgument, "cannot update \"\(path)\" field on image \"\(change.name)\": invalid argument")
                }
            }
        }
        try validate(updated)
        updated.updatedAt = Timestamps.proto(Clock.now)
        try store(updated, in: namespace, db)
        return updated
    }

    /// The name stands for a new target from now on, whether it was there or not.
    static func createOrReplace(_ image: Images_Image, in namespace: String, _ db: Database) throws -> Images_Image {
        if try find(image.name, in: namespace, db) == nil { return try create(image, in: namespace, db) }
        return try update(image, paths: ["target", "labels"], in: namespace, db)
    }

    /// - Parameter target: deletes only when the name still stands for this digest; empty for any.
    static func delete(_ name: String, target: String = "", in namespace: String, _ db: Database) throws {
        let found = try get(name, in: namespace, db)
        guard target.isEmpty || found.target.digest == target else {
            throw SupervisorError(.notFound, "image \"\(name)\" has target \(found.target.digest), not \(target): not found")
        }
        try db.execute(sql: "DELETE FROM images WHERE namespace = ? AND name = ?", arguments: [namespace, name])
    }

    static func validate(_ image: Images_Image) throws(SupervisorError) {
        guard !image.name.isEmpty else { throw SupervisorError(.invalidArgument, "image name must not be empty: invalid argument") }
        try Labels.validate(image.labels)
        guard (try? Digest(parsing: image.target.digest)) != nil else {
            throw SupervisorError(.invalidArgument, "image target digest \"\(image.target.digest)\" is not a digest: invalid argument")
        }
        guard image.target.size >= 0 else {
            throw SupervisorError(.invalidArgument, "image target size \(image.target.size) must be positive: invalid argument")
        }
        guard !image.target.mediaType.isEmpty else {
            throw SupervisorError(.invalidArgument, "image target media type must be set: invalid argument")
        }
    }

    private static func store(_ image: Images_Image, in namespace: String, _ db: Database) throws {
        try db.execute(
            sql: "INSERT OR REPLACE INTO images (namespace, \(columns)) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                namespace, image.name, image.target.mediaType, image.target.digest, image.target.size, Labels.encode(image.target.annotations),
                Labels.encode(image.labels), Timestamps.nanoseconds(image.createdAt), Timestamps.nanoseconds(image.updatedAt),
            ])
    }

    private static func image(_ row: Row) -> Images_Image {
        .with {
            $0.name = row[0]
            $0.target.mediaType = row[1]
            $0.target.digest = row[2]
            $0.target.size = row[3]
            $0.target.annotations = Labels.decode(row[4])
            $0.labels = Labels.decode(row[5])
            $0.createdAt = Timestamps.proto(row[6])
            $0.updatedAt = Timestamps.proto(row[7])
        }
    }
}
