import Glibc
import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

import Synchronization

/// Listens on the `-H` addresses: `unix://PATH`, `tcp://HOST:PORT` (with TLS when configured) and `fd://[NAME]` for sockets that systemd has opened.
///
/// The sockets are opened before anything else of the daemon, so that a wrong address or certificate fails the start and leaves nothing running; clients
/// that connect meanwhile wait in the kernel's queue until `serve`.
final class HTTPServer: Sendable {
    private struct State {
        var api: EngineAPI?
        var channels: [any Channel] = []
    }

    private let group: MultiThreadedEventLoopGroup
    private let config: DaemonConfig
    private let state = Mutex(State())

    init(group: MultiThreadedEventLoopGroup, config: DaemonConfig) {
        self.group = group
        self.config = config
    }

    /// Opens every address.
    ///
    /// - Throws: `DaemonError` that names the address.
    func listen() async throws {
        for host in config.hosts {
            do {
                let opened = try await listen(on: host)
                state.withLock { $0.channels += opened }
            } catch {
                await close()
                if let error = error as? DaemonError { throw error }
                throw DaemonError.internalError("cannot listen on \(host): \(error)")
            }
        }
    }

    /// Takes the clients in.
    func serve(_ api: EngineAPI) async throws {
        let channels = state.withLock { state in
            state.api = api
            return state.channels
        }
        for channel in channels {
            try await channel.setOption(.autoRead, value: true).get()
            channel.read()
        }
    }

    /// No further clients. A socket of systemd's stays where it is.
    func close() async {
        let channels = state.withLock { state in
            defer { state.channels = [] }
            return state.channels
        }
        for channel in channels {
            let path = config.hosts.contains { $0.hasPrefix("unix://") } ? channel.localAddress?.pathname : nil
            try? await channel.close().get()
            if let path, config.hosts.contains("unix://" + path) { unlink(path) }
        }
    }

    private func listen(on host: String) async throws -> [any Channel] {
        let parts = host.split(separator: "://", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { throw DaemonError.invalid("invalid address \(host): unix://PATH, tcp://HOST:PORT or fd:// expected") }
        let address = String(parts[1])
        switch parts[0] {
        case "unix": return [try await listenUnix(address.isEmpty ? "/var/run/docker.sock" : address)]
        case "tcp": return [try await listenTCP(address)]
        case "fd": return try await listenDescriptors(named: address)
        default: throw DaemonError.invalid("invalid address \(host): the protocol \(parts[0]) is not supported")
        }
    }

    private func bootstrap(tls: NIOSSLContext? = nil) -> ServerBootstrap {
        ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.autoRead, value: false)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let api = self.state.withLock({ $0.api }) else { throw ChannelError.ioOnClosedChannel }
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    let encoder = HTTPResponseEncoder()
                    let decoder = ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes))
                    try pipeline.addHandlers([encoder, decoder, HTTPConnectionHandler(api: api, encoder: encoder, decoder: decoder)])
                }
            }
    }

    /// A socket that only the owner and the group may open. One that a dead daemon left behind is replaced, one that somebody serves is not.
    private func listenUnix(_ path: String) async throws -> any Channel {
        guard path.utf8.count <= 103 else { throw DaemonError.invalid("the socket path \(path) is longer than 103 bytes") }
        var status = stat()
        if lstat(path, &status) == 0 {
            guard status.st_mode & S_IFMT == S_IFSOCK else { throw DaemonError.conflict("\(path) exists and is not a socket") }
            if (try? await ClientBootstrap(group: group).connect(unixDomainSocketPath: path).get()).map({ $0.close(promise: nil) }) != nil {
                throw DaemonError.conflict("another daemon listens on \(path)")
            }
            unlink(path)
        }
        try Files.makeDirectories(path.parentPath, mode: 0o711)
        // The mask keeps others out in the moment between bind and chmod.
        let mask = umask(0o177)
        defer { umask(mask) }
        let channel = try await bootstrap().bind(unixDomainSocketPath: path).get()
        try setGroup(of: path)
        return channel
    }

    private func setGroup(of path: String) throws {
        guard !config.group.isEmpty else { return }
        if let gid = GroupFile.gid(named: config.group) {
            try syscall("chown", on: path) { chown(path, 0, gid) }
            try syscall("chmod", on: path) { chmod(path, 0o660) }
        } else if config.group != "docker" {
            throw DaemonError.invalid("--group \(config.group): group not found")
        }
    }

    private func listenTCP(_ address: String) async throws -> any Channel {
        guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]), (0...65535).contains(port) else {
            throw DaemonError.invalid("invalid address tcp://\(address): HOST:PORT expected")
        }
        var host = String(address[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") { host = String(host.dropFirst().dropLast()) }
        let tls = try tlsContext()
        if tls == nil { Log.warning("binding to tcp://\(address) without TLS gives root on this machine to everybody who can reach it") }
        return try await bootstrap(tls: tls).bind(host: host.isEmpty ? "0.0.0.0" : host, port: port).get()
    }

    private func tlsContext() throws -> NIOSSLContext? {
        guard config.tls || config.tlsVerify else { return nil }
        do {
            var tls = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMFile(config.tlsCert).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(file: config.tlsKey, format: .pem)))
            tls.minimumTLSVersion = .tlsv12
            if config.tlsVerify {
                tls.trustRoots = .file(config.tlsCACert)
                // Clients are known by their certificate, not by a host name.
                tls.certificateVerification = .noHostnameVerification
            }
            return try NIOSSLContext(configuration: tls)
        } catch {
            throw DaemonError.invalid("TLS: cannot use --tlscert \(config.tlsCert), --tlskey \(config.tlsKey), --tlscacert \(config.tlsCACert): \(error)")
        }
    }

    /// sd_listen_fds(3): descriptors from 3 on, when LISTEN_PID is this process.
    private func listenDescriptors(named wanted: String) async throws -> [any Channel] {
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        guard let pid = variable("LISTEN_PID").flatMap({ pid_t($0) }), pid == getpid(), let count = variable("LISTEN_FDS").flatMap({ Int32($0) }), count > 0 else {
            throw DaemonError.invalid("no sockets found via socket activation: make sure the service was started by systemd")
        }
        let names = (variable("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        var channels: [any Channel] = []
        for index in 0..<count {
            let descriptor = 3 + index
            let name = Int(index) < names.count ? names[Int(index)] : ""
            guard wanted.isEmpty || wanted == "*" || wanted == name || wanted == String(descriptor) else { continue }
            try syscall("fcntl", on: "descriptor \(descriptor)") { fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
            channels.append(try await bootstrap().withBoundSocket(descriptor).get())
        }
        guard !channels.isEmpty else { throw DaemonError.invalid("no socket with the name \(wanted) found via socket activation") }
        return channels
    }
}

/// `/etc/group`, read directly: no NSS in a self-contained program.
enum GroupFile {
    static func gid(named name: String) -> gid_t? {
        guard let text = try? Files.readText("/etc/group") else { return nil }
        for line in text.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count >= 3, fields[0] == name { return gid_t(fields[2]) }
        }
        return nil
    }
}
