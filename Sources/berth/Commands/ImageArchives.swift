import Glibc
import LinuxSystem

/// `save`, `load` and `import`.
enum ImageArchives {
    static let save = Command(
        name: "save", synopsis: "[OPTIONS] IMAGE [IMAGE...]", summary: "Save one or more images to a tar archive (streamed to STDOUT by default)",
        arguments: .atLeast(1),
        flags: [
            .string("output", "o", "Write to a file, instead of STDOUT"),
            .string("platform", "Save only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
        ], aliases: ["image save", "save"]
    ) { call in
        var query = call.arguments.map { ("names", $0) }
        if !call.string("platform").isEmpty { query.append(("platform", try platform(call))) }
        try ArchiveOutput.write(call, failing: "failed to save image") { try call.engine.open("GET", "/images/get", query: query) }
    }

    static let load = Command(
        name: "load", synopsis: "[OPTIONS]", summary: "Load an image from a tar archive or STDIN", arguments: .none,
        flags: [
            .string("input", "i", "Read from tar archive file, instead of STDIN"),
            .string("platform", "Load only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")"),
            .bool("quiet", "q", "Suppress the load output"),
        ], aliases: ["image load", "load"], run: loadArchive)

    static let importImage = Command(
        name: "import", synopsis: "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]", summary: "Import the contents from a tarball to create a filesystem image",
        arguments: .atLeast(1),
        flags: [
            .list("change", "c", "Apply Dockerfile instruction to the created image"), .string("message", "m", "Set commit message for imported image"),
            .string("platform", "Set platform if server is multi-platform capable"),
        ], aliases: ["image import", "import"], run: importArchive)

    private static func platform(_ call: Invocation) throws -> String {
        do { return try Platform(call.string("platform")).json.text } catch let failure as CommandFailure {
            throw CommandFailure("invalid platform: \(failure.message)")
        }
    }

    private static func loadArchive(_ call: Invocation) throws {
        let input = call.string("input")
        if input.isEmpty, LocalTerminal(descriptor: 0).exists { throw CommandFailure("requested load from stdin, but stdin is empty") }
        let next = try pieces(input)
        var query: [(String, String)] = []
        query.append(("quiet", call.bool("quiet") || !call.client.out.isTerminal ? "1" : "0"))
        if !call.string("platform").isEmpty { query.append(("platform", try platform(call))) }
        let response = try call.engine.open("POST", "/images/load", query: query, body: .stream(contentType: "application/x-tar", next))
        if response.header("content-type")?.hasPrefix("application/json") ?? false {
            try ImageTransfers.show(response, call)
        } else {
            while case let bytes = try response.read(), !bytes.isEmpty { try call.client.out.writeNow(bytes) }
        }
    }

    private static func importArchive(_ call: Invocation) throws {
        let source = call.arguments[0]
        var query: [(String, String)] = []
        var body = HTTPRequest.Body.none
        if source == "-" {
            query.append(("fromSrc", "-"))
            body = .stream(contentType: "text/plain", try pieces(""))
        } else if source.hasPrefix("http://") || source.hasPrefix("https://") {
            query.append(("fromSrc", source))
        } else {
            query.append(("fromSrc", "-"))
            body = .stream(contentType: "text/plain", try pieces(source))
        }
        if call.arguments.count > 1 {
            let reference = try ImageReference(call.arguments[1])
            query.append(("repo", reference.familiarName))
            if let tag = reference.tag { query.append(("tag", tag)) }
        }
        if !call.string("message").isEmpty { query.append(("message", call.string("message"))) }
        if !call.string("platform").isEmpty { query.append(("platform", call.string("platform").lowercased())) }
        query += call.list("change").map { ("changes", $0) }
        try ImageTransfers.show(try call.engine.open("POST", "/images/create", query: query, body: body), call)
    }

    /// Reads a file, or standard input for an empty path, piece by piece.
    static func pieces(_ path: String) throws -> () throws -> [UInt8] {
        if path.isEmpty { return { try LocalFile.read(0, limit: 1 << 18) } }
        let source: FileSource
        do { source = try FileSource(path) } catch { throw CommandFailure("open \(path): \(error.errno.goDescription)") }
        return { try source.next() }
    }
}

/// Keeps a file open for as long as somebody reads from it.
final class FileSource {
    private let file: OwnedFD
    init(_ path: String) throws(SystemError) { file = try LocalFile.open(path) }
    func next() throws -> [UInt8] { try LocalFile.read(file.rawValue, limit: 1 << 18) }
}

/// Archives that go to standard output or, complete or not at all, to a file.
enum ArchiveOutput {
    static func write(_ call: Invocation, failing: String, _ open: () throws -> HTTPResponse) throws {
        let path = call.string("output")
        if path.isEmpty {
            if call.client.out.isTerminal { throw CommandFailure("cowardly refusing to save to a terminal. Use the -o flag or redirect") }
            let response = try open()
            while case let bytes = try response.read(), !bytes.isEmpty { try call.client.out.writeNow(bytes) }
            return
        }
        let directory = path.contains("/") ? String(path[...(path.lastIndex(of: "/") ?? path.startIndex)]) : "."
        if LocalFile.kind(directory, following: true) != .directory {
            throw CommandFailure("\(failing): invalid output path: stat \(directory.count > 1 ? LocalFile.clean(directory) : directory): no such file or directory")
        }
        if LocalFile.kind(path, following: true) == .directory { throw CommandFailure("\(failing): invalid output path: cannot write to a directory") }
        let temporary = "\(path).\(getpid()).tmp"
        do {
            let response = try open()
            let file = try LocalFile.open(temporary, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            while case let bytes = try response.read(), !bytes.isEmpty {
                try bytes.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(file.rawValue, raw) }
            }
            try file.close(on: path)
            try syscall("rename", on: path) { rename(temporary, path) }
        } catch {
            unlink(temporary)
            throw error
        }
    }
}
