import AsyncHTTPClient
import BerthDefaults
import FoundationEssentials
import NIOCore
import NIOHTTP1

/// One repository that a search found, as the old index API tells it (`/v1/search`, the only search that registries ever had).
package struct RegistrySearchResult: Decodable, Sendable {
    package var name: String
    package var description: String?
    package var star_count: Int?
    package var is_official: Bool?
}

extension RegistryEndpoint {
    private struct Results: Decodable {
        var results: [RegistrySearchResult]?
    }

    private static let answerLimit = 4 << 20

    /// Searches the registry's repositories. The endpoint's host must have the path "/v1".
    /// - Parameter limit: the largest number of results that the registry is asked for.
    /// - Throws: internalError in dockerd's words where the registry has no search.
    package func search(_ term: String, limit: Int) async throws -> [RegistrySearchResult] {
        let response = try await send(Request(method: "GET", scope: "registry:catalog:search", patience: .seconds(60)), relative: "search", query: "q=\(RegistryAuthorization.escape(term))&n=\(limit)")
        let body = try await Self.collect(response.body, limit: Self.answerLimit)
        guard response.status == .ok else {
            let reason = response.status == .notFound ? ": \(host.authority) offers no search (/v1/search)" : ""
            throw CodedError(.internalError, "Unexpected status code \(response.status.code)\(reason)")
        }
        do { return try JSONDecoder().decode(Results.self, from: Data(body)).results ?? [] } catch {
            throw CodedError(.internalError, "error decoding registry search results: \(host.authority) sent no JSON object with a list \"results\"")
        }
    }
}
