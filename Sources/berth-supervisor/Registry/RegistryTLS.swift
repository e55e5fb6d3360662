import BerthDefaults
import NIOSSL

/// What a TLS connection to a registry trusts and shows: files, read when the first connection is made.
struct RegistryTLS: Sendable, Hashable {
    struct ClientPair: Sendable, Hashable {
        /// PEM files; without a key the certificate's file holds both.
        var certificate: String
        var key: String
    }

    /// PEM files trusted beside the system's authorities.
    var authorities: [String] = []
    var clientPairs: [ClientPair] = []
    var skipsVerification = false

    var isEmpty: Bool { self == RegistryTLS() }

    /// - Parameter showsCertificate: false for the hosts that a registry redirects to.
    /// - Throws: failedPrecondition that names the file that cannot be used.
    func configuration(showsCertificate: Bool) throws(StorageError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if skipsVerification { configuration.certificateVerification = .none }
        var trusted: [NIOSSLCertificate] = []
        for path in authorities {
            do { trusted += try NIOSSLCertificate.fromPEMFile(path) } catch {
                throw StorageError(.failedPrecondition, "cannot use the certificate authority in \(path): \(error)")
            }
        }
        if !trusted.isEmpty { configuration.additionalTrustRoots = [.certificates(trusted)] }
        // One pair is shown: which of several a server would take is not known before it asked.
        if showsCertificate, let pair = clientPairs.first {
            do {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(pair.certificate).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: pair.key, format: .pem))
            } catch {
                throw StorageError(.failedPrecondition, "cannot use the client certificate \(pair.certificate) with the key \(pair.key): \(error)")
            }
        }
        return configuration
    }
}
