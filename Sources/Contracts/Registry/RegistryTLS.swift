import BerthDefaults
import NIOSSL

/// What a TLS connection to a registry trusts and shows: files, read when the first connection is made.
package struct RegistryTLS: Sendable, Hashable {
    package struct ClientPair: Sendable, Hashable {
        /// PEM files; without a key the certificate's file holds both.
        package var certificate: String
        package var key: String
    }

    /// PEM files trusted beside the system's authorities.
    package var authorities: [String] = []
    package var clientPairs: [ClientPair] = []
    package var skipsVerification = false

    package var isEmpty: Bool { self == RegistryTLS() }

    /// - Parameter showsCertificate: false for the hosts that a registry redirects to.
    /// - Throws: failedPrecondition that names the file that cannot be used.
    func configuration(showsCertificate: Bool) throws(CodedError) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        if skipsVerification { configuration.certificateVerification = .none }
        var trusted: [NIOSSLCertificate] = []
        for path in authorities {
            do { trusted += try NIOSSLCertificate.fromPEMFile(path) } catch {
                throw CodedError(.failedPrecondition, "cannot use the certificate authority in \(path): \(error)")
            }
        }
        if !trusted.isEmpty { configuration.additionalTrustRoots = [.certificates(trusted)] }
        // One pair is shown: which of several a server would take is not known before it asked.
        if showsCertificate, let pair = clientPairs.first {
            do {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(pair.certificate).map { .certificate($0) }
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: pair.key, format: .pem))
            } catch {
                throw CodedError(.failedPrecondition, "cannot use the client certificate \(pair.certificate) with the key \(pair.key): \(error)")
            }
        }
        return configuration
    }
}
