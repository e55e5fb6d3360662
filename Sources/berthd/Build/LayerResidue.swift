import ContainerdAPI
import LinuxSystem
import OCISpec

/// The changes of a container's files as a layer, without what the engine itself has left there.
enum LayerResidue {
    /// An archive without members.
    static let emptyDiffID = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"

    /// - Returns: nil when nothing changed.
    static func changes(of record: ContainerRecord, _ images: ImageService, _ store: ImageStoreClient, lease: String) async throws -> ImageAssembler.Layer? {
        let layers = try RootfsLayers(try await store.snapshotMounts(record.id))
        if case .overlay(let overlay) = layers { try await BlockingThread.run { try clear(overlay) } } else {
            try await store.viewing(record.image.chainID, lease: lease) { below in
                let image = try RootfsLayers(below)
                try await BlockingThread.run { try clear(layers, below: image) }
            }
        }
        let layer = try await images.changes(of: record, store, lease: lease)
        return layer.diffID.description == emptyDiffID ? nil : layer
    }

    /// Takes the places of the engine's mounts out of the container's own layer: Docker has them in a layer between image and container.
    private static func clear(_ overlay: OverlayLayers) throws {
        guard let upper = overlay.upper, !overlay.lower.isEmpty else { return }
        let mount = try overlay.lower.count == 1 ? Files.open(overlay.lower[0]) : overlay.mountReadOnly(overlay.lower)
        let lower = try DirectoryFD(path: "/proc/self/fd/\(mount.rawValue)")
        let own = try DirectoryFD(path: upper)
        for path in deepestFirst { try clear(path, in: own, below: lower) }
    }

    /// The same where the container's files are all in one place.
    private static func clear(_ layers: RootfsLayers, below image: RootfsLayers) throws {
        let own = try layers.mount(writable: true), below = try image.mount(writable: false)
        let (upper, lower) = (try DirectoryFD(path: "/proc/self/fd/\(own.rawValue)"), try DirectoryFD(path: "/proc/self/fd/\(below.rawValue)"))
        for path in deepestFirst { try clear(path, in: upper, below: lower, isWholeTree: true) }
    }

    private static var deepestFirst: [String] { EngineMountPoints.all.sorted { RootedPath.components($0).count > RootedPath.components($1).count } }

    private static func clear(_ path: String, in upper: DirectoryFD, below lower: DirectoryFD, isWholeTree: Bool = false) throws(SystemError) {
        let name = CName(RootedPath.components(path).last ?? ".")
        guard let parent = try? parent(of: path, in: upper), let status = try parent.statusIfPresent(name) else { return }
        let old = (try? Self.parent(of: path, in: lower)).flatMap { try? $0.status(name) }
        if let old {
            if isWholeTree { return }
            // The directory was only taken up to make a place in it: it looks as before without.
            guard status.kind == .directory, old.kind == .directory, status.mode == old.mode, status.uid == old.uid, status.gid == old.gid else { return }
            guard try parent.xattr(name, CName("trusted.overlay.opaque")) == nil, try parent.directory(name).names().isEmpty else { return }
            try parent.removeDirectory(name)
        } else if EngineMountPoints.isOne(path, status) {
            if status.kind != .directory { return try parent.unlink(name) }
            if try parent.directory(name).names().isEmpty { try parent.removeDirectory(name) }
        }
    }

    /// Without following a link: a place of the engine that leads elsewhere is none.
    private static func parent(of path: String, in root: DirectoryFD) throws(SystemError) -> DirectoryFD {
        var directory = root
        for component in RootedPath.components(path).dropLast() { directory = try directory.directory(CName(component)) }
        return directory
    }
}
