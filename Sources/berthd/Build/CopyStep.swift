import ContainerdAPI
import DockerAPI
import FoundationEssentials
import Glibc
import LinuxSystem
import OCILayer
import OCISpec

extension BuildRun {
    /// What an instruction copies.
    private struct Source: Sendable {
        var tree: SourceTree
        var item: SourceTree.Item
        /// It came from an address: never unpacked.
        var isFetched = false
        /// ADD found it to be a packed archive; its files.
        var unpacked: ContainerFilesystem?
    }

    /// ADD and COPY: puts files into a layer on the image.
    func copy(_ copy: Instruction.Copy, in stage: inout BuildStage) async throws {
        let sources = try await sources(of: copy)
        if sources.count > 1, !copy.destination.hasSuffix("/") {
            throw DaemonError.internalError("When using \(copy.keyword) with more than one source file, the destination must be a directory and end with a /")
        }
        let digests = sources.map(\.item.digest)
        let digest = digests.count == 1 ? digests[0] : "multi:" + TreeDigest.of(list: digests)
        let chown = copy.chown.isEmpty ? "" : "--chown=\(copy.chown) "
        let step = stage.noting("\(copy.keyword) \(chown)\(digest) in \(copy.destination) ", isOneWord: true)
        if try await useCache(step, in: &stage) { return }
        let layer = try await makeLayer(on: stage.image) { files in try await self.write(copy, copy.isAdd ? self.unpacked(sources) : sources, stage.config.WorkingDir ?? "", into: files) }
        try await makeImage(step, layer: layer, in: &stage)
    }

    /// A new layer with what `body` writes; nil when that was nothing.
    private func makeLayer(on image: BuildImage, _ body: (ContainerFilesystem) async throws -> Void) async throws -> ImageAssembler.Layer? {
        let client = images.client
        let key = ImageStoreClient.temporaryKey("build-\(Identifier.random(digits: 16))")
        let mounts = try await client.prepare(key: key, parent: image.resolved.chainID, lease: files.lease)
        do {
            // Unmounted before the layer is looked at.
            try await body(try await files.open(try RootfsLayers(mounts), writable: true))
            let layer = try await images.layer(of: mounts, above: image.resolved.chainID, client, lease: files.lease)
            guard layer.diffID.description != LayerResidue.emptyDiffID, let chainID = ChainID.all(image.config.rootfs.diffIDs + [layer.diffID]).last else {
                try await client.removeSnapshot(key)
                return nil
            }
            try await client.commitSnapshot(key: key, name: chainID.description, lease: files.lease)
            return layer
        } catch {
            try? await client.removeSnapshot(key)
            throw error
        }
    }

    // MARK: Sources

    private func sources(of copy: Instruction.Copy) async throws -> [Source] {
        let tree = try await tree(of: copy)
        var found: [Source] = []
        do {
            for source in copy.sources {
                if source.hasPrefix("http://") || source.hasPrefix("https://") {
                    guard copy.isAdd else { throw DaemonError.internalError("source can't be a URL for COPY") }
                    found.append(try await fetch(source, for: copy.destination))
                } else {
                    guard let tree else { throw DaemonError.internalError("missing build context") }
                    found += try await BlockingThread.run { try tree.items(source) }.map { Source(tree: tree, item: $0) }
                }
            }
            if found.isEmpty { throw DaemonError.internalError("no source files were specified") }
        } catch let error as DaemonError { throw DaemonError(error.code, "\(copy.keyword) failed: \(error.message)") }
        return found
    }

    private func tree(of copy: Instruction.Copy) async throws -> SourceTree? {
        guard !copy.from.isEmpty else { return context.map { SourceTree(files: $0.files, isContext: true) } }
        let image: BuildImage
        do {
            if let stage = try stages.find(copy.from) { image = stage } else { image = try await sources.image(copy.from, platform: options.platform) }
        } catch let error as DaemonError { throw DaemonError(error.code, "invalid from flag value \(copy.from): \(error.message)") }
        let chainID = image.resolved.chainID
        if openLayers[chainID] == nil { openLayers[chainID] = try await files.layer(chainID) }
        return openLayers[chainID].map { SourceTree(files: $0, isContext: false) }
    }

    /// Puts what an address leads to into a directory of its own.
    private func fetch(_ url: String, for destination: String) async throws -> Source {
        let archive = try await RemoteArchive.open(url)
        let path = url.drop { $0 != "/" }.drop { $0 == "/" }.prefix { $0 != "?" && $0 != "#" }.drop { $0 != "/" }
        let last = path.hasSuffix("/") ? "" : path.split(separator: "/").last.map { PercentCoding.decode($0) } ?? ""
        let name = last.isEmpty || last == "." || last == ".." || last.contains("/") ? archive.fileName ?? "" : last
        if name.isEmpty, destination.hasSuffix("/") { throw DaemonError.internalError("cannot determine filename for source \(url)") }
        let place = "\(directory)/fetched-\(Identifier.random(digits: 16))"
        try Files.makeDirectory(place, mode: 0o700)
        let (output, size) = (output, archive.size)
        let next = archive.read { count in try await output.emit(.progress("Downloading", current: count, total: size)) }
        let fileName = name.isEmpty ? "__unnamed__" : name
        try await cancellation.during {
            let folder = try DirectoryFD(path: place)
            let file = try folder.createFile(CName(fileName))
            var offset: Int64 = 0
            while let piece = try await next() {
                let start = offset
                try Array(piece).withUnsafeBytes { try file.writeAll($0, at: start, on: fileName) }
                offset += Int64(piece.count)
            }
            try file.close(on: fileName)
            try folder.setModified(CName(fileName), seconds: archive.modified?.seconds ?? 0, nanoseconds: 0)
        }
        try await output.write("\n")
        let tree = SourceTree(files: try await files.directory(place), isContext: true)
        return Source(tree: tree, item: try await BlockingThread.run { try tree.items(fileName)[0] }, isFetched: true)
    }

    /// Local archives that are packed, taken apart.
    private func unpacked(_ sources: [Source]) async throws -> [Source] {
        var result = sources
        for (index, source) in sources.enumerated() where !source.isFetched && !source.item.isDirectory {
            let item = source.item, tree = source.tree.files
            let head = try await BlockingThread.run { try LocalArchive.head(of: item, in: tree) }
            guard ArchivePacking(head) != nil else { continue }
            do { result[index].unpacked = try await files.unpacked(BuildFiles.reader(try LocalArchive.open(item, in: tree))) } catch is BuildFiles.NoArchive {
                // Taken as it is.
            }
        }
        return result
    }

    // MARK: Writing

    private func write(_ copy: Instruction.Copy, _ sources: [Source], _ workingDirectory: String, into files: ContainerFilesystem) async throws {
        let owner: TreeMerge.Owner?
        do { owner = try copy.chown.isEmpty ? (copy.from.isEmpty ? .init() : nil) : Chown.owner(copy.chown, in: files) } catch let error as DaemonError {
            throw DaemonError.internalError("unable to convert uid/gid chown string to host mapping: \(error.message)")
        }
        let destination = CopyDestination(copy.destination, workingDirectory: workingDirectory)
        let isAdd = copy.isAdd
        try await files.perform {
            do {
                for source in sources {
                    if let unpacked = source.unpacked { try destination.put(unpacked, into: files) } else if isAdd, !source.isFetched, !source.item.isDirectory, try LocalArchive.isTar(source.item, in: source.tree.files) {
                        try destination.unpack(try LocalArchive.open(source.item, in: source.tree.files), into: files)
                    } else {
                        try destination.put(source.item, of: source.tree.files, owner: owner, into: files)
                    }
                }
            } catch let error as SystemError {
                throw DaemonError.internalError("failed to copy files: \(error.call) \(error.subject): \(error.errno.goDescription)")
            }
        }
    }
}

/// Where ADD and COPY put things.
struct CopyDestination: Sendable {
    /// Absolute, with the slash that it was written with at its end.
    let path: String

    init(_ written: String, workingDirectory: String) {
        let absolute = RootedPath.cleaned(written.isAbsolutePath ? written : "\(workingDirectory)/\(written)")
        path = written.hasSuffix("/") && absolute != "/" ? absolute + "/" : absolute
    }

    /// A file, or what is in a directory. Blocks.
    func put(_ item: SourceTree.Item, of source: ContainerFilesystem, owner: TreeMerge.Owner?, into files: ContainerFilesystem) throws {
        let place = try files.target(ofLink: path)
        let merge = TreeMerge(owner: owner)
        if item.isDirectory { return try merge.copyChildren(of: try source.directory(item.path), into: try files.makeDirectories(place, owner: owner ?? .init())) }
        let isDirectory = (try? files.status(place))?.kind == .directory
        let whole = isDirectory || path.hasSuffix("/") ? "\(place)/\(RootedPath.components(item.name).last ?? "")" : place
        guard let name = RootedPath.components(whole).last, let last = RootedPath.components(item.path).last else { return }
        let target = try files.makeDirectories(FileService.parent(of: whole), owner: owner ?? .init())
        try merge.copy(CName(last), from: try source.directory(FileService.parent(of: item.path)), to: CName(name), in: target)
    }

    /// The files of an archive, with the owners that it says.
    func put(_ archive: ContainerFilesystem, into files: ContainerFilesystem) throws {
        try TreeMerge(owner: nil).copyChildren(of: try archive.directory("/"), into: try files.makeDirectories(try files.target(ofLink: path), owner: .init()))
    }

    func unpack(_ archive: consuming OwnedFD, into files: ContainerFilesystem) throws {
        let place = try files.target(ofLink: path)
        _ = try files.makeDirectories(place, owner: .init())
        try ArchiveExtractor(FileByteSource(archive), into: files, at: place, options: .init()).extract()
    }
}

/// `--chown=user[:group]` by the image's own files.
enum Chown {
    /// - Throws: in Docker's words for a name that the image does not know.
    static func owner(_ text: String, in files: ContainerFilesystem) throws -> TreeMerge.Owner {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let database = try UserDatabase(root: files.root.directory)
        let (user, group) = (parts[0], parts.count > 1 ? parts[1] : parts[0])
        guard let uid = number(user) ?? database.users.first(where: { $0.name == user })?.uid else { throw DaemonError.internalError("can't find uid for user \(user): no such user: \(user)") }
        guard let gid = number(group) ?? database.groups.first(where: { $0.name == group })?.gid else {
            throw DaemonError.internalError("can't find gid for group \(group): no such group: \(group)")
        }
        return .init(uid: uid, gid: gid)
    }

    private static func number(_ text: String) -> UInt32? { UInt32(text).flatMap { $0 <= UserDatabase.highestID ? $0 : nil } }
}
