import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import LinuxSystem
import OCILayer
import OCISpec
import SwiftProtobuf

/// Checkpoints of tasks as content, and content as the directory that a shim restores from: CRIU's images in one archive, the container's specification
/// beside it. The client makes an image of the two.
///
/// Spec: containerd, core/images/mediatypes.go.
struct TaskCheckpoints: Sendable {
    static let imagesType = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
    static let specType = "application/vnd.containerd.container.checkpoint.config.v1+proto"

    let content: ContentStore
    let directories: CheckpointDirectories

    /// What a client says about paths of its own, in either of the messages that containerd's client sends.
    static func imagePath(atCheckpoint options: Google_Protobuf_Any) throws -> String {
        try path(options, of: Runc_CheckpointOptions.self, \.imagePath) ?? path(options, of: LinuxRunc_CheckpointOptions.self, \.imagePath) ?? ""
    }

    static func imagePath(atCreate options: Google_Protobuf_Any) throws -> String {
        try path(options, of: Runc_Options.self, \.criuImagePath) ?? path(options, of: LinuxRunc_CreateOptions.self, \.criuImagePath) ?? ""
    }

    private static func path<M: Message>(_ options: Google_Protobuf_Any, of type: M.Type, _ field: KeyPath<M, String>) throws -> String? {
        guard let message = AnyMessages.unpack(options, as: type) else { return nil }
        let path = message[keyPath: field]
        guard path.isEmpty || path.isAbsolutePath else { throw SupervisorError(.invalidArgument, "image path \"\(path)\" is not absolute: invalid argument") }
        return path
    }

    /// Makes content of a directory of images and of the container's specification. Blocks.
    func store(_ directory: String, spec: Google_Protobuf_Any, of key: TaskKey, lease: String?) throws -> [Types_Descriptor] {
        let images = try write("checkpoint-images", key, lease) { writer in
            let buffered = BufferedSink(IngestSink(writer))
            // With nothing below, what the directory adds is all of it.
            try LayerDiffer(buffered).write(try DirectoryFD(path: directory))
            try buffered.flush()
        }
        let bytes: [UInt8] = try spec.serializedBytes()
        let config = try write("checkpoint-spec", key, lease) { writer in try bytes.withUnsafeBytes { try writer.write($0) } }
        return [
            .with { ($0.mediaType, $0.digest, $0.size) = (Self.imagesType, images.digest.description, images.size) },
            .with { ($0.mediaType, $0.digest, $0.size) = (Self.specType, config.digest.description, config.size) },
        ]
    }

    private func write(_ what: String, _ key: TaskKey, _ lease: String?, _ body: (IngestWriter) throws -> Void) throws -> (digest: Digest, size: Int64) {
        let writer = try content.writer("berth-\(what)-\(key.id)-\(UInt64.random(in: 0 ... .max))", in: key.namespace, lease: lease)
        do {
            try body(writer)
            let (digest, size) = (writer.digest, writer.offset)
            do { try writer.commit() } catch let error as StorageError where error.code == .alreadyExists {}
            return (digest, size)
        } catch {
            writer.discard()
            throw error
        }
    }

    /// The directory of images for a task that is to be restored. Blocks.
    func unpack(_ checkpoint: Types_Descriptor, for key: TaskKey) throws -> String {
        guard checkpoint.mediaType == Self.imagesType else {
            throw SupervisorError(.invalidArgument, "unsupported checkpoint type \"\(checkpoint.mediaType)\": invalid argument")
        }
        let (blob, _) = try content.open(try ContentService.digest(checkpoint.digest), in: key.namespace)
        let path = try directories.make(for: key)
        do {
            _ = try LayerApplier(try decompressed(BlobSource(blob)), into: try DirectoryFD(path: path), on: .nothing).apply()
            return path
        } catch {
            directories.remove(path)
            throw error
        }
    }
}
