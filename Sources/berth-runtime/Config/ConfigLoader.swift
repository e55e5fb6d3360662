import BerthDefaults
import Glibc
import JSONCodec
import LinuxSystem
import OCISpec

/// Reads the documents the runtime is given.
enum ConfigLoader {
    /// Largest config.json that is looked at. Real ones have 10 KB.
    static let limitBytes = 16 << 20

    static func path(inBundle bundle: String) -> String { "\(bundle)/config.json" }

    /// config.json of a bundle, which the container's directory keeps as it is.
    static func read(bundle: String) throws(RuntimeError) -> [UInt8] {
        do throws(SystemError) { return try Files.readAll(path(inBundle: bundle), limit: limitBytes, expecting: 16 << 10) } catch {
            if error.errno == .noSuchFile { throw RuntimeError(.notFound, "JSON specification file config.json not found in \(bundle)") }
            throw RuntimeError(error)
        }
    }

    static func load<Document: JSONReadable>(_ path: String) throws(RuntimeError) -> Document {
        try decode(try attempt { () throws(SystemError) in try Files.readAll(path, limit: limitBytes) }, name: path)
    }

    static func decode<Document: JSONReadable>(_ bytes: [UInt8], name: String) throws(RuntimeError) -> Document {
        do throws(JSONError) { return try JSON.read(from: bytes) } catch { throw RuntimeError(.invalidArgument, "\(name): \(error)") }
    }

    static func encode(_ document: some Encodable, indented: Bool = false) throws(RuntimeError) -> [UInt8] {
        do throws(JSONError) { return try JSON.encode(document, layout: indented ? .indented("  ") : .compact) } catch {
            throw RuntimeError(.internalError, "\(error)")
        }
    }

    /// `path` as seen from the working directory, cleaned by its letters.
    static func absolute(_ path: String, from base: String? = nil) throws(RuntimeError) -> String {
        if path.isAbsolutePath { return RootedPath.cleaned(path) }
        let directory: String
        if let base { directory = base } else { directory = try attempt { () throws(SystemError) in try Files.currentDirectory() } }
        return RootedPath.cleaned("\(directory)/\(path)")
    }
}
