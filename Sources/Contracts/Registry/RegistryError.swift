import AsyncHTTPClient
package import BerthDefaults
import FoundationEssentials
import NIOCore
import NIOPosix
import NIOSSL
package import OCISpec

/// What a registry says in the body of a refusal. Spec: distribution-spec, "Error Codes".
package struct RegistryErrorBody: Decodable, Sendable {
    package struct Item: Decodable, Sendable {
        package var code: String
        package var message: String?
    }

    package var errors: [Item]

    /// "manifest unknown: manifest unknown": the code in words, then what the registry adds.
    package static func text(_ body: [UInt8]) -> (code: String, text: String)? {
        guard let first = (try? JSONDecoder().decode(RegistryErrorBody.self, from: Data(body)))?.errors.first else { return nil }
        let words = first.code.lowercased().split(separator: "_").joined(separator: " ")
        return (first.code, "\(words): \(first.message ?? words)")
    }
}

/// The sentences in which users know a registry's refusals and a network's failures. `docs/errors.md` lists them.
package enum RegistryErrors {
    /// A refused request.
    /// - Parameter what: "GET https://host/v2/…", for statuses that have no sentence of their own.
    package static func refusal(_ status: UInt, body: [UInt8], what: String, reference: ImageReference) -> CodedError {
        let said = RegistryErrorBody.text(body)
        let cause = said.map { ": \($0.text)" } ?? ""
        switch (status, said?.code) {
        case (_, "MANIFEST_UNKNOWN"):
            return CodedError(.notFound, "manifest for \(reference.familiar) not found\(cause)")
        case (404, nil) where what.contains("/manifests/"):
            return CodedError(.notFound, "manifest for \(reference.familiar) not found: manifest unknown: manifest unknown")
        case (404, "NAME_UNKNOWN"): return CodedError(.notFound, "repository \(reference.familiarName) not found\(cause)")
        case (404, _): return CodedError(.notFound, said?.text ?? "\(what): not found")
        case (401, _) where said?.code != "DENIED":
            return CodedError(.unauthenticated, said?.text ?? "unauthorized: authentication required")
        case (401, _), (403, _):
            let reason = said?.text ?? "denied: requested access to the resource is denied"
            return CodedError(.permissionDenied, "pull access denied for \(reference.familiarName), repository does not exist or may require 'docker login': \(reason)")
        case (429, _):
            return CodedError(.resourceExhausted, said?.text ?? "toomanyrequests: rate limit of the registry exceeded")
        default:
            let text = said?.text ?? String(decoding: body.prefix(256).filter { $0 >= 0x20 && $0 < 0x7f }, as: UTF8.self)
            let code: ErrorCode = status >= 500 ? .unavailable : .internalError
            return CodedError(code, "received unexpected HTTP status: \(status) \(HTTPStatusText.of(status))\(text.isEmpty ? "" : ": \(text)") (\(what))")
        }
    }

    /// The same for an upload, where "pull" would be the wrong word.
    package static func pushRefusal(_ status: UInt, body: [UInt8], what: String, reference: ImageReference) -> CodedError {
        let said = RegistryErrorBody.text(body)
        if status == 401 || status == 403 {
            let reason = said?.text ?? "denied: requested access to the resource is denied"
            return CodedError(status == 401 ? .unauthenticated : .permissionDenied, reason)
        }
        let text = said?.text ?? String(decoding: body.prefix(256).filter { $0 >= 0x20 && $0 < 0x7f }, as: UTF8.self)
        return CodedError(
            status >= 500 ? .unavailable : .internalError,
            "received unexpected HTTP status: \(status) \(HTTPStatusText.of(status))\(text.isEmpty ? "" : ": \(text)") (\(what))")
    }

    /// A request that got no answer.
    /// - Parameters:
    ///   - method: "Get".
    ///   - url: without credentials.
    package static func failure(_ error: any Error, method: String, url: String) -> CodedError {
        if let error = error as? CodedError { return error }
        if error is CancellationError { return CodedError(.cancelled, "context canceled") }
        return CodedError(.unavailable, "\(method) \"\(url)\": \(reason(error, url: url))")
    }

    private static func reason(_ error: any Error, url: String) -> String {
        let authority = url.split(separator: "/", maxSplits: 2, omittingEmptySubsequences: true).dropFirst().first.map(String.init) ?? url
        switch error {
        case let error as HTTPClientError:
            switch error {
            case .connectTimeout: return "dial tcp \(authority): i/o timeout"
            case .readTimeout, .deadlineExceeded: return "net/http: request canceled (timeout while waiting for the registry)"
            case .tlsHandshakeTimeout: return "net/http: TLS handshake timeout"
            case .remoteConnectionClosed: return "EOF"
            case .cancelled, .requestStreamCancelled: return "context canceled"
            default: return "\(error)"
            }
        case let error as NIOConnectionError:
            if error.connectionErrors.isEmpty { return "dial tcp: lookup \(error.host): no such host" }
            for attempt in error.connectionErrors {
                if let io = attempt.error as? IOError {
                    return "dial tcp \(text(attempt.target)): connect: \(errnoText(io.errnoCode))"
                }
            }
            return "dial tcp \(authority): \(error.connectionErrors[0].error)"
        case let error as IOError where [104, 32].contains(error.errnoCode): return "read tcp \(authority): \(errnoText(error.errnoCode))"
        case let error as IOError: return "dial tcp \(authority): connect: \(errnoText(error.errnoCode))"
        case let error as NIOSSLError:
            let text = "\(error)"
            if text.contains("CERTIFICATE_VERIFY_FAILED") { return "tls: failed to verify certificate: x509: certificate signed by unknown authority" }
            return "tls: \(text)"
        case is NIOSSLExtraError: return "tls: failed to verify certificate: x509: certificate is not valid for \(authority)"
        default: return "\(error)"
        }
    }

    private static func text(_ address: SocketAddress) -> String {
        "\(address.ipAddress ?? "?"):\(address.port ?? 0)"
    }

    private static func errnoText(_ code: CInt) -> String {
        switch code {
        case 111: "connection refused"
        case 110: "connection timed out"
        case 113: "no route to host"
        case 101: "network is unreachable"
        case 104: "connection reset by peer"
        case 32: "broken pipe"
        default: "errno \(code)"
        }
    }
}

/// The reason phrases of statuses that registries answer with.
package enum HTTPStatusText {
    package static func of(_ status: UInt) -> String {
        switch status {
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 403: "Forbidden"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 413: "Request Entity Too Large"
        case 429: "Too Many Requests"
        case 416: "Requested Range Not Satisfiable"
        case 500: "Internal Server Error"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        default: ""
        }
    }
}
