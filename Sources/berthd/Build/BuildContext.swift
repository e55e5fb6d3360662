import DockerAPI
import FoundationEssentials
import Glibc
import LinuxSystem
import NIOCore
import OCILayer

/// The files that a client sends along, unpacked into a directory of ours or, where they came packed, into a layer of the build.
struct BuildContext: Sendable {
    let files: ContainerFilesystem

    /// A Dockerfile larger than this is none.
    private static let dockerfileLimit = 4 << 20

    /// - Parameter directory: empty, and the caller's to remove.
    /// - Throws: what is wrong with the archive.
    static func receive(_ body: RequestBody, into directory: String, _ trees: BuildFiles) async throws -> BuildContext {
        let upload = try await StreamStart.read({ try await body.next() }, bytes: \.readableBytesView)
        if upload.packing != nil {
            return BuildContext(files: try await trees.unpacked { try await upload.next().map { Data($0.readableBytesView) } })
        }
        let files = try await trees.directory(directory)
        let source = BodySource()
        async let _ = source.pump { try await upload.next() }
        defer { source.finish() }
        try await files.perform {
            defer { source.finish() }
            do { try ArchiveExtractor(source, into: files, at: "/", options: .init(staysInside: true)).extract() } catch let error as TarError where error.code == .truncated {
                throw DaemonError.internalError("unexpected EOF")
            }
        }
        return BuildContext(files: files)
    }

    /// The Dockerfile's text, by the name the request gives; `dockerfile` serves where there is no `Dockerfile`.
    ///
    /// What `.dockerignore` leaves out of the two is taken out of the context: clients send both in any case.
    func dockerfile(named name: String) async throws -> (text: String, name: String) {
        let files = files
        return try await BlockingThread.run {
            var name = name
            guard !RootedPath.leavesRoot(name) else { throw DaemonError.internalError("forbidden path outside the build context: \(name) ()") }
            if name == "Dockerfile", (try? files.resolved("/Dockerfile")) == nil, (try? files.resolved("/dockerfile")) != nil { name = "dockerfile" }
            let text = try Self.read(name, in: files)
            try Self.removeIgnored([".dockerignore", name], in: files)
            return (text, name)
        }
    }

    private static func read(_ name: String, in files: ContainerFilesystem) throws -> String {
        do {
            let file = try files.root.open("/" + name, O_RDONLY | O_NONBLOCK | O_NOCTTY)
            guard try file.status(on: name).kind == .file else { throw DaemonError.internalError("read \(name): is a directory") }
            let bytes = try Files.readAll(file, name: name, limit: dockerfileLimit)
            guard !bytes.isEmpty else { throw DaemonError.invalid("the Dockerfile (\(name)) cannot be empty") }
            return String(decoding: bytes, as: UTF8.self)
        } catch let error as SystemError where error.errno == .noSuchFile || error.errno == .notDirectory {
            throw DaemonError.internalError("Cannot locate specified Dockerfile: \(name)")
        }
    }

    private static func removeIgnored(_ names: [String], in files: ContainerFilesystem) throws {
        let bytes: [UInt8]
        do throws(SystemError) {
            let file = try files.root.open("/.dockerignore", O_RDONLY | O_NONBLOCK | O_NOCTTY)
            bytes = try Files.readAll(file, name: ".dockerignore", limit: dockerfileLimit)
        } catch { if error.errno == .noSuchFile { return } else { throw error } }
        let patterns = try ignorePatterns(String(decoding: bytes, as: UTF8.self))
        for name in names where patterns.matches(name) {
            let path = RootedPath.components(name)
            guard let last = path.last, let parent = try? files.directory("/" + path.dropLast().joined(separator: "/")) else { continue }
            try FileTree.remove(CName(last), in: parent)
        }
    }

    private static func ignorePatterns(_ text: String) throws(DaemonError) -> IgnorePatterns {
        do throws(IgnorePatternError) { return try IgnorePatterns(file: text) } catch { throw .internalError("error reading .dockerignore: \(error)") }
    }
}
