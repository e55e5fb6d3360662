import DockerAPI
import Glibc
import LinuxSystem

/// `cp`.
enum CopyCommand {
    static let command = Command(
        name: "cp", synopsis: "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t{path} [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
        summary: "Copy files/folders between a container and the local filesystem", arguments: .exactly(2),
        flags: [
            .bool("archive", "a", "Archive mode (copy all uid/gid information)"), .bool("follow-link", "L", "Always follow symbol link in SRC_PATH"),
            .bool("quiet", "q", "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached"),
        ], aliases: ["container cp", "cp"],
        details:
            "Copy files/folders between a container and the local filesystem\n\nUse '-' as the source to read a tar archive from stdin\nand extract it to a directory destination in a container.\nUse '-' as the destination to stream a tar archive of a\ncontainer source to stdout.",
        run: run)

    private static func run(_ call: Invocation) throws {
        if call.arguments[0].isEmpty { throw CommandFailure("source can not be empty") }
        if call.arguments[1].isEmpty { throw CommandFailure("destination can not be empty") }
        let (source, target) = (split(call.arguments[0]), split(call.arguments[1]))
        switch (source.container, target.container) {
        case (let container?, nil): try copyOut(call, container, source.path, to: target.path)
        case (nil, let container?): try copyIn(call, source.path, container, target.path)
        case (_?, _?): throw CommandFailure("copying between containers is not supported")
        case (nil, nil): throw CommandFailure("must specify at least one container source")
        }
    }

    /// `CONTAINER:PATH`; a path that starts with a slash or a dot is local even with a colon in it.
    private static func split(_ argument: String) -> (container: String?, path: String) {
        let parts = argument.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        if argument.hasPrefix("/") || parts.count == 1 || parts[0].hasPrefix(".") || parts[0].isEmpty { return (nil, argument) }
        return (parts[0], parts[1])
    }

    // MARK: From a container

    private static func copyOut(_ call: Invocation, _ container: String, _ path: String, to target: String) throws {
        let engine = try call.engine
        var path = path
        var rename: String?
        if target != "-" { try checkTarget(target) }
        if call.bool("follow-link"), let stat = try? PathStatus.ask(engine, container, path), stat.isLink {
            rename = CopyPath(path).base
            path = stat.linkTarget.hasPrefix("/") ? stat.linkTarget : LocalFile.clean("\(CopyPath(path).directory)/\(stat.linkTarget)")
        }
        let response = try engine.open("GET", "/containers/\(percentEncoded(container))/archive", query: [("path", path)])
        if target == "-" {
            while case let bytes = try response.read(), !bytes.isEmpty { try call.client.out.writeNow(bytes) }
            return
        }
        let status = try PathStatus(response.header("x-docker-container-path-stat") ?? "")
        let source = CopyPath(path)
        let absolute = CopyPath.absolute(target)
        let place = try placement(isDirectory: status.isDirectory, base: source.base, rename: rename, target: absolute, localKind(absolute))
        let extraction = try ArchiveExtraction(into: place.directory, keepsOwners: call.bool("archive"))
        let copied = try extraction.run(ResponseSource(response), replacing: source.base, with: place.name)
        if !call.bool("quiet"), call.client.out.isTerminal { call.printError("Successfully copied \(Sizes.human(Double(copied), precision: 3)) to \(absolute)") }
    }

    private static func localKind(_ path: String) -> (exists: Bool, isDirectory: Bool) {
        let kind = LocalFile.kind(path, following: true)
        return (kind != nil, kind == .directory)
    }

    private static func checkTarget(_ target: String) throws {
        let parent = CopyPath(LocalFile.clean(target)).directory
        if LocalFile.kind(parent, following: true) == nil { throw CommandFailure("invalid output path: directory \(GoText.quoted(LocalFile.absolute(parent))) does not exist") }
        if LocalFile.kind(target, following: true) == .other {
            throw CommandFailure("invalid output path: \(GoText.quoted(LocalFile.absolute(target))) must be a directory or a regular file: got a device")
        }
    }

    // MARK: Into a container

    private static func copyIn(_ call: Invocation, _ source: String, _ container: String, _ path: String) throws {
        let engine = try call.engine
        var target = path
        var status = try? PathStatus.ask(engine, container, target)
        if let link = status, link.isLink {
            target = link.linkTarget.hasPrefix("/") ? link.linkTarget : LocalFile.clean("\(CopyPath(target).directory)/\(link.linkTarget)")
            status = try? PathStatus.ask(engine, container, target)
        }
        if let status, status.isSpecial {
            throw CommandFailure("destination \"\(container):\(path)\" must be a directory or a regular file: got a device")
        }
        let exists = (exists: status != nil, isDirectory: status?.isDirectory ?? false)
        var directory = target
        let body: HTTPRequest.Body
        var size: Int64 = 0
        if source == "-" {
            if !exists.isDirectory { throw CommandFailure("destination \"\(container):\(path)\" must be a directory") }
            body = .stream(contentType: "application/x-tar", try ImageArchives.pieces(""))
        } else {
            let archive = try ArchiveCreation(CopyPath.absolute(source), followsLink: call.bool("follow-link"))
            let place = try placement(isDirectory: archive.isDirectory, base: archive.base, rename: nil, target: target, exists)
            directory = place.directory
            body = .produced(contentType: "application/x-tar") { sink in size = try archive.write(to: sink, as: place.name ?? archive.base) }
        }
        var query = [("path", directory), ("noOverwriteDirNonDir", "true")]
        if call.bool("archive") { query.append(("copyUIDGID", "true")) }
        try engine.call("PUT", "/containers/\(percentEncoded(container))/archive", query: query, body: body)
        if !call.bool("quiet"), call.client.out.isTerminal {
            call.printError("Successfully copied \(Sizes.human(Double(size), precision: 3)) to \(container):\(target)")
        }
    }

    /// Where the archive is unpacked, and the name its top gets when it is not its own: into a directory, over a file, or as something new.
    private static func placement(
        isDirectory: Bool, base: String, rename: String?, target: String, _ found: (exists: Bool, isDirectory: Bool)
    ) throws -> (directory: String, name: String?) {
        let path = CopyPath(target)
        if found.isDirectory { return (target, rename) }
        if found.exists, isDirectory { throw CommandFailure("cannot copy directory") }
        if !found.exists, !isDirectory, target.hasSuffix("/") || target.hasSuffix("/.") { throw CommandFailure("no such directory") }
        return (path.directory, path.base)
    }
}

/// A path in its directory and its last part; a `.` or a slash at the end is kept in sight, since it asks for the content of a directory.
struct CopyPath {
    let directory: String
    let base: String

    init(_ path: String) {
        var clean = LocalFile.clean(path.isEmpty ? "." : path)
        if path.hasSuffix("/.") || path == "." { clean = clean == "/" ? "/." : clean + "/." }
        let slash = clean.lastIndex(of: "/")
        base = slash.map { String(clean[clean.index(after: $0)...]) } ?? clean
        let head = slash.map { String(clean[..<$0]) } ?? "."
        directory = head.isEmpty ? "/" : head
    }

    /// Absolute, with a trailing `/` or `/.` kept.
    static func absolute(_ path: String) -> String {
        let clean = LocalFile.absolute(path)
        if clean == "/" { return clean }
        return path.hasSuffix("/.") || path == "." ? clean + "/." : path.hasSuffix("/") ? clean + "/" : clean
    }
}

/// What the engine says about a path in a container (`X-Docker-Container-Path-Stat`); modes are Go's.
struct PathStatus {
    let linkTarget: String
    private let mode: UInt32

    static func ask(_ engine: EngineClient, _ container: String, _ path: String) throws -> PathStatus {
        let response = try engine.open("HEAD", "/containers/\(percentEncoded(container))/archive", query: [("path", path)])
        engine.release(response)
        return try PathStatus(response.header("x-docker-container-path-stat") ?? "")
    }

    init(_ header: String) throws {
        guard let bytes = Base64.decode(header), let stat = try? JSONParser.parse(bytes) else {
            throw CommandFailure("unable to decode container path stat header")
        }
        linkTarget = stat.string("linkTarget")
        mode = UInt32(truncatingIfNeeded: stat.int("mode"))
    }

    var isDirectory: Bool { mode & 1 << 31 != 0 }
    var isLink: Bool { mode & 1 << 27 != 0 }
    /// Devices, pipes, sockets.
    var isSpecial: Bool { mode & (1 << 26 | 1 << 25 | 1 << 24 | 1 << 21) != 0 }
}
