import DockerAPI
import Glibc
import LinuxSystem
import Netlink

/// Gives the host's ports to containers: which, on which addresses, and holds them.
///
/// Sockets are opened here (some ten microseconds each); the rules are the packet filter's business.
struct PortPublisher: Sendable {
    /// What a container wants for one of its ports.
    struct Request: Sendable {
        var port: ContainerPort
        /// Addresses of the host that get the same port number.
        var hostAddresses: [IPAddress]
        /// nil: any free port.
        var range: PortRange?
        /// Addresses among them whose connections a `PortRelay` carries: IPv6 to a container that has none.
        var relayed: Set<IPAddress> = []
    }

    /// One port of a container, published.
    struct Publication: Sendable {
        var port: ContainerPort
        var hostAddresses: [IPAddress]
        var hostPort: UInt16
        /// One for each address; missing after a restart of the daemon during which another program took the port.
        var reservations: [HostPortReservation]
    }

    enum Failure: Error {
        /// Another container has it.
        case allocated(IPAddress, UInt16)
        /// A program on the host has it, or the address is not the host's.
        case bind(IPAddress, UInt16, PortProtocol, SystemError)
        case allAllocated
    }

    private struct Key: Hashable {
        var proto: PortProtocol
        var port: UInt16
    }

    private var taken: [Key: [IPAddress]] = [:]
    /// Where the next search for any free port begins, so that a port is not used again at once.
    private var nextEphemeral: UInt16?

    /// Publishes all or nothing.
    ///
    /// - Parameter tolerant: after a restart: a port that another program has taken meanwhile stays published, only unguarded.
    mutating func publish(_ requests: [Request], tolerant: Bool = false) throws(Failure) -> [Publication] {
        var done: [Publication] = []
        do throws(Failure) {
            for request in requests { done.append(try publish(request, tolerant: tolerant)) }
        } catch {
            release(done)
            throw error
        }
        return done
    }

    mutating func release(_ publications: [Publication]) {
        for publication in publications {
            let key = Key(proto: publication.port.proto, port: publication.hostPort)
            taken[key]?.removeAll { publication.hostAddresses.contains($0) }
            if taken[key]?.isEmpty == true { taken[key] = nil }
        }
    }

    private mutating func publish(_ request: Request, tolerant: Bool) throws(Failure) -> Publication {
        if let range = request.range, range.count == 1 { return try claim(request, port: range.first, tolerant: tolerant) }
        let range = request.range ?? Self.ephemeralRange()
        var candidate = range.first
        if request.range == nil, let next = nextEphemeral, range.first <= next, next <= range.last { candidate = next }
        for _ in 0..<range.count {
            defer { candidate = candidate == range.last ? range.first : candidate + 1 }
            do throws(Failure) {
                let publication = try claim(request, port: candidate, tolerant: tolerant)
                if request.range == nil { nextEphemeral = candidate == range.last ? range.first : candidate + 1 }
                return publication
            } catch {
                // In a range a port that somebody else has is simply not the one; another failure would repeat itself for every port.
                if case .bind(_, _, _, let cause) = error, cause.errno.rawValue != EADDRINUSE { throw error }
            }
        }
        throw .allAllocated
    }

    private mutating func claim(_ request: Request, port: UInt16, tolerant: Bool) throws(Failure) -> Publication {
        let key = Key(proto: request.port.proto, port: port)
        for address in request.hostAddresses {
            if let other = taken[key]?.first(where: { $0.family == address.family && ($0 == address || $0.isUnspecified || address.isUnspecified) }) {
                throw .allocated(address.isUnspecified ? address : other.isUnspecified ? address : other, port)
            }
        }
        var reservations: [HostPortReservation] = []
        for address in request.hostAddresses {
            do throws(SystemError) {
                reservations.append(try HostPortReservation(request.port.proto, address, port: port, isRelayed: request.relayed.contains(address)))
            } catch {
                // A host without IPv6 publishes on IPv4 alone.
                if address == .any6 && request.hostAddresses.count > 1 && error.errno.rawValue != EADDRINUSE { continue }
                if !tolerant { throw .bind(address, port, request.port.proto, error) }
            }
        }
        let addresses = tolerant ? request.hostAddresses : reservations.map(\.address)
        taken[key, default: []] += addresses
        return Publication(port: request.port, hostAddresses: addresses, hostPort: port, reservations: reservations)
    }

    /// The kernel's range for outgoing connections, which dockerd uses as well.
    private static func ephemeralRange() -> PortRange {
        let words = Sysctl.read("net/ipv4/ip_local_port_range")?.split { $0 == "\t" || $0 == " " } ?? []
        if words.count == 2, let range = PortRange("\(words[0])-\(words[1])") { return range }
        return PortRange("32768-60999")!
    }
}

extension PortPublisher.Failure {
    /// In dockerd's words.
    var message: String {
        switch self {
        case .allocated(let address, let port): "Bind for \(Self.endpoint(address, port)) failed: port is already allocated"
        case .bind(let address, let port, let proto, let cause): "failed to bind host port \(Self.endpoint(address, port))/\(proto.rawValue): \(cause.errno.goDescription)"
        case .allAllocated: "all ports are allocated"
        }
    }

    private static func endpoint(_ address: IPAddress, _ port: UInt16) -> String { address.family == .v6 ? "[\(address)]:\(port)" : "\(address):\(port)" }
}
