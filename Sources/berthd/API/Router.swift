import NIOHTTP1

/// Finds the handler for a method and a path.
///
/// A pattern's segments are words, `{name}` for one segment and `{name...}` for one or more: image names contain slashes. Routes are kept by method and first
/// word, so that a lookup compares with a handful of patterns.
struct Router: Sendable {
    typealias Handler = @Sendable (HTTPRequest) async throws -> HTTPResponse

    private enum Segment: Sendable {
        case word(String)
        case one(String)
        case many(String)
    }

    private struct Route: Sendable {
        let segments: [Segment]
        let since: APIVersion
        let handler: Handler
    }

    private var routes: [String: [Route]] = [:]

    /// `since`: clients that speak an older version see no such page.
    mutating func add(_ method: HTTPMethod, _ pattern: String, since: APIVersion = .oldest, _ handler: @escaping Handler) {
        let segments = pattern.split(separator: "/").map { part -> Segment in
            guard part.hasPrefix("{"), part.hasSuffix("}") else { return .word(String(part)) }
            let name = part.dropFirst().dropLast()
            return name.hasSuffix("...") ? .many(String(name.dropLast(3))) : .one(String(name))
        }
        guard case .word(let first)? = segments.first else { preconditionFailure("a route begins with a word: \(pattern)") }
        routes[Self.key(method, first), default: []].append(Route(segments: segments, since: since, handler: handler))
    }

    /// - Returns: the handler and what the pattern's names matched, percent-decoded; nil when no page is there.
    func match(_ method: HTTPMethod, path: Substring, version: APIVersion) -> (Handler, [String: String])? {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true)
        guard let first = parts.first, let candidates = routes[Self.key(method, String(first))] else { return nil }
        for route in candidates where route.since <= version {
            if let parameters = Self.match(route.segments, parts) { return (route.handler, parameters) }
        }
        return nil
    }

    private static func key(_ method: HTTPMethod, _ first: String) -> String { "\(method.rawValue) \(first)" }

    private static func match(_ segments: [Segment], _ parts: [Substring]) -> [String: String]? {
        var parameters: [String: String] = [:]
        var index = 0
        for (position, segment) in segments.enumerated() {
            switch segment {
            case .word(let word):
                guard index < parts.count, parts[index] == word else { return nil }
                index += 1
            case .one(let name):
                guard index < parts.count else { return nil }
                parameters[name] = PercentCoding.decode(parts[index])
                index += 1
            case .many(let name):
                let end = parts.count - (segments.count - position - 1)
                guard end > index else { return nil }
                parameters[name] = parts[index..<end].map { PercentCoding.decode($0) }.joined(separator: "/")
                index = end
            }
        }
        return index == parts.count ? parameters : nil
    }
}
