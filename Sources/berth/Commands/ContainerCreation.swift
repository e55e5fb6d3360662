import Glibc
import LinuxSystem

/// `POST /containers/create`, with what goes around it: pulling a missing image, warnings, the file for the id.
struct ContainerCreation {
    private let call: Invocation

    init(_ call: Invocation) { self.call = call }

    /// Returns the new container's id.
    func create(_ request: ContainerRequest) throws -> String {
        let engine = try call.engine
        let idFile = try IDFile(call.string("cidfile"))
        // An image may also be named by its id, which is no reference
        let reference = try? ImageReference(request.image)
        if reference == nil, !isID(request.image) { _ = try ImageReference(request.image) }
        if call.string("pull") == "always", let reference { try pull(reference) }
        warn(request)
        var query: [(String, String)] = []
        if !call.string("name").isEmpty { query.append(("name", call.string("name"))) }
        if !call.string("platform").isEmpty { query.append(("platform", call.string("platform"))) }
        let reply: JSONValue
        do {
            reply = try engine.json("POST", "/containers/create", query: query, body: .json(request.body))
        } catch let failure as EngineFailure where failure.status == 404 && call.string("pull") == "missing" && reference != nil && isMissingImage(failure) {
            guard let reference else { throw failure }
            if !call.bool("quiet") {
                call.printError("Unable to find image '\(reference.familiar + (reference.isNameOnly ? ":latest" : ""))' locally")
            }
            try pull(reference)
            reply = try engine.json("POST", "/containers/create", query: query, body: .json(request.body))
        }
        for warning in reply.strings("Warnings") { call.printError("WARNING: \(warning)") }
        let id = reply.string("Id")
        try idFile?.write(id)
        return id
    }

    /// A 404 may also mean a missing network or volume; the image's name is then not in it.
    private func isMissingImage(_ failure: EngineFailure) -> Bool {
        failure.reason.lowercased().hasPrefix("no such image")
    }

    private func isID(_ text: String) -> Bool {
        let bare = text.hasPrefix("sha256:") ? text.dropFirst(7) : Substring(text)
        return bare.count == 64 && bare.allSatisfy(\.isHexDigit)
    }

    private func pull(_ reference: ImageReference) throws {
        var query = [("fromImage", reference.domain + "/" + reference.path), ("tag", reference.digest ?? reference.tag ?? "latest")]
        if !call.string("platform").isEmpty { query.append(("platform", call.string("platform"))) }
        let headers = RegistryCredentials.header(for: reference.domain, config: call.client.config)
        let engine = try call.engine
        let response = try engine.open("POST", "/images/create", query: query, headers: headers)
        let terminal = LocalTerminal(descriptor: 2)
        let client = call.client
        let isQuiet = call.bool("quiet")
        var display = ProgressDisplay(isTerminal: terminal.exists, width: terminal.size.width) { if !isQuiet { client.err($0) } }
        try display.show(response)
        engine.release(response)
    }

    private func warn(_ request: ContainerRequest) {
        if call.bool("oom-kill-disable"), call.int("memory") == 0 {
            call.printError("WARNING: Disabling the OOM killer on containers without setting a '-m/--memory' limit may be dangerous.")
        }
        for server in call.list("dns") where server.hasPrefix("127.") || server == "::1" {
            call.printError("WARNING: Localhost DNS setting (--dns=\(server)) may fail in containers.")
        }
    }
}

/// The file of `--cidfile`: must not exist before, and does not stay when no container came of it.
final class IDFile {
    private let path: String
    private var written = false

    init?(_ path: String) throws {
        if path.isEmpty { return nil }
        self.path = path
        if LocalFile.kind(path, following: true) != nil {
            throw CommandFailure("container ID file found, make sure the other container isn't running or delete \(path)")
        }
        do { try LocalFile.write([], to: path, mode: 0o644) } catch {
            throw CommandFailure("failed to create the container ID file: open \(path): \(error.errno.goDescription)")
        }
    }

    func write(_ id: String) throws {
        do { try LocalFile.write(Array(id.utf8), to: path, mode: 0o644) } catch {
            throw CommandFailure("failed to write the container ID to the file: \(error)")
        }
        written = true
    }

    deinit { if !written { unlink(path) } }
}
