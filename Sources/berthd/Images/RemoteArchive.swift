import AsyncHTTPClient
import BerthDefaults
import FoundationEssentials
import NIOCore
import NIOHTTP1
import Registry

/// A root filesystem's archive at an address, for `docker import URL`.
struct RemoteArchive: Sendable {
    let url: String
    /// Bytes, where the server says so.
    let size: Int64?
    /// What the server calls it, without directories.
    var fileName: String?
    /// When it was changed last, where the server says so.
    var modified: WallClock?
    private let body: HTTPClientResponse.Body

    private static let reasonLimit = 64 << 10
    private static let http = RegistryHTTP(idle: .seconds(60))

    /// Asks for the archive. Its bytes are read later.
    ///
    /// - Throws: dockerd's words with the server's status, by which `.notFound`, `.invalidArgument`, `.unauthenticated` and `.permissionDenied` are told apart.
    static func open(_ source: String) async throws -> RemoteArchive {
        let url = source.contains("://") ? source : "http://" + source
        let scheme = url.prefix { $0 != ":" }
        guard scheme == "http" || scheme == "https" else { throw DaemonError.internalError("Get \"\(url)\": unsupported protocol scheme \"\(scheme)\"") }
        guard url.dropFirst(scheme.count + 3).first.map({ $0 != "/" }) ?? false else { throw DaemonError.internalError("Get \"\(url)\": http: no Host in request URL") }
        let response: HTTPClientResponse
        do { response = try await http.client(followsRedirects: true).execute(HTTPClientRequest(url: url), deadline: .distantFuture) } catch {
            throw RegistryQueries.failure(RegistryErrors.failure(error, method: "Get", url: url))
        }
        guard response.status.code >= 400 else {
            return RemoteArchive(
                url: url, size: response.headers.first(name: "Content-Length").flatMap { Int64($0) }, fileName: response.headers.first(name: "Content-Disposition").flatMap { HTTPDates.fileName($0) },
                modified: response.headers.first(name: "Last-Modified").flatMap { HTTPDates.time($0) }, body: response.body)
        }
        let said = (try? await RegistryEndpoint.collect(response.body, limit: reasonLimit)).map { String(decoding: $0, as: UTF8.self).trimmed() } ?? ""
        let code: ErrorCode =
            switch response.status.code {
            case 404: .notFound
            case 400: .invalidArgument
            case 401: .unauthenticated
            case 403: .permissionDenied
            default: .internalError
            }
        throw DaemonError(code, "failed to GET \(url) with status \(response.status.code) \(response.status.reasonPhrase): \(said)")
    }

    /// Passes the bytes on, and says how far it is at most every megabyte.
    func read(progress: @escaping @Sendable (Int64) async throws -> Void) -> @Sendable () async throws -> Data? {
        let reader = Reader(body)
        return {
            guard let buffer = try await reader.next() else {
                try await progress(reader.count)
                return nil
            }
            if reader.count - reader.told >= 1 << 20 {
                reader.told = reader.count
                try await progress(reader.count)
            }
            return Data(buffer.readableBytesView)
        }
    }

    private final class Reader: @unchecked Sendable {
        // Safety: one reader, one call after the other.
        private var iterator: HTTPClientResponse.Body.AsyncIterator
        private(set) var count: Int64 = 0
        var told: Int64 = 0

        init(_ body: HTTPClientResponse.Body) { iterator = body.makeAsyncIterator() }

        func next() async throws -> ByteBuffer? {
            let buffer = try await iterator.next()
            count += Int64(buffer?.readableBytes ?? 0)
            return buffer
        }
    }
}

/// What headers of a download say.
enum HTTPDates {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// `Sun, 06 Nov 1994 08:49:37 GMT`. RFC 9110, section 5.6.7; the forms of old are not read.
    static func time(_ text: String) -> WallClock? {
        let words = text.split(separator: " ")
        guard words.count == 6, words[5] == "GMT", let month = months.firstIndex(where: { $0 == words[2] }) else { return nil }
        return WallClock(rfc3339: "\(words[3])-\(month < 9 ? "0" : "")\(month + 1)-\(words[1])T\(words[4])Z")
    }

    /// The file's name of `attachment; filename="x.tar"`. RFC 6266.
    static func fileName(_ disposition: String) -> String? {
        for part in disposition.split(separator: ";").dropFirst() {
            let pair = part.split(separator: "=", maxSplits: 1)
            guard pair.count == 2, pair[0].trimmed().lowercased() == "filename" else { continue }
            var name = pair[1].trimmed()
            if name.hasPrefix("\""), name.hasSuffix("\""), name.count > 1 { name = String(name.dropFirst().dropLast()) }
            let last = name.split(separator: "/", omittingEmptySubsequences: false).last.map(String.init) ?? ""
            return last.isEmpty || last == "." || last == ".." ? nil : last
        }
        return nil
    }
}
