import BerthDefaults
import Glibc
import LinuxSystem

/// Where the engine listens: a unix socket, or TCP without TLS.
enum EngineHost {
    case unix(path: String)
    case tcp(host: String, port: String, base: String)

    /// Chooses by `-H`, then DOCKER_HOST, then Berth's own socket, then Docker's when only that one is there.
    static func choose(flag: String?, environment: String?) throws -> EngineHost {
        if let given = flag ?? environment, !given.isEmpty { return try parse(given) }
        if access(Defaults.daemonSocket, F_OK) != 0, access("/var/run/docker.sock", F_OK) == 0 { return .unix(path: "/var/run/docker.sock") }
        return .unix(path: Defaults.daemonSocket)
    }

    static func parse(_ text: String) throws -> EngineHost {
        let trimmed = text.trimmingBlanks()
        let parts = trimmed.split(separator: "://", maxSplits: 1)
        let (scheme, rest) = trimmed.contains("://") ? (String(trimmed.prefix(while: { $0 != ":" })), parts.count == 2 ? String(parts[1]) : "") : ("tcp", trimmed)
        switch scheme {
        case "unix": return .unix(path: rest.isEmpty ? "/var/run/docker.sock" : rest)
        case "tcp", "http":
            let slash = rest.firstIndex(of: "/") ?? rest.endIndex
            let base = String(rest[slash...])
            let (host, port) = try splitHostPort(String(rest[..<slash]), in: text)
            return .tcp(host: host.isEmpty ? "localhost" : host, port: port.isEmpty ? "2375" : port, base: base == "/" ? "" : base)
        case "https": throw CommandFailure("unable to connect to \(text): this build of the client has no TLS; use a unix socket, or tcp:// without TLS")
        case "ssh": throw CommandFailure("unable to connect to \(text): ssh:// is not supported; forward the engine's socket with `ssh -L` and use -H unix://PATH")
        case "fd": throw CommandFailure("unable to parse docker host `\(text)`: fd:// is for the daemon")
        case "npipe": throw CommandFailure("protocol not available")
        default: throw CommandFailure("Failed to initialize: unable to resolve docker endpoint: invalid bind address format: \(text)")
        }
    }

    private static func splitHostPort(_ text: String, in whole: String) throws -> (String, String) {
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { throw CommandFailure("unable to parse docker host `\(whole)`") }
            let rest = text[text.index(after: close)...]
            return (String(text[text.index(after: text.startIndex)..<close]), String(rest.drop { $0 == ":" }))
        }
        guard let colon = text.lastIndex(of: ":") else { return (text, "") }
        let port = String(text[text.index(after: colon)...])
        guard UInt16(port) != nil else { throw CommandFailure("Invalid bind address format: \(whole)") }
        return (String(text[..<colon]), port)
    }

    func connect() throws -> SocketConnection {
        do {
            switch self {
            case .unix(let path): return try SocketConnection.connect(unixPath: path)
            case .tcp(let host, let port, _): return try SocketConnection.connect(host: host, port: port)
            }
        } catch {
            if case .unix(let path) = self, error.errno == .accessDenied {
                throw CommandFailure(
                    "permission denied while trying to connect to the Docker daemon socket at unix://\(path): connect: permission denied")
            }
            throw ConnectionFailed(host: description)
        }
    }

    /// What goes into the Host header; the daemon ignores it on a unix socket.
    var httpHost: String {
        switch self {
        case .unix: "api.moby.localhost"
        case .tcp(let host, let port, _): "\(host.contains(":") ? "[\(host)]" : host):\(port)"
        }
    }

    /// In front of every path of the API.
    var basePath: String { if case .tcp(_, _, let base) = self { base } else { "" } }

    var description: String {
        switch self {
        case .unix(let path): "unix://\(path)"
        case .tcp: "tcp://\(httpHost)\(basePath)"
        }
    }
}

/// Nobody listens there. Some commands go on without an engine, so this is told apart from other failures.
struct ConnectionFailed: Error {
    let host: String
    var message: String { "Cannot connect to the Docker daemon at \(host). Is the docker daemon running?" }
}

extension String {
    /// Without blanks, tabs and line ends at both sides.
    func trimmingBlanks() -> String {
        let blanks: Set<Character> = [" ", "\t", "\n", "\r", "\r\n"]
        guard let first = firstIndex(where: { !blanks.contains($0) }), let last = lastIndex(where: { !blanks.contains($0) }) else { return "" }
        return String(self[first...last])
    }
}
