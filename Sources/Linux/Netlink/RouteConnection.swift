import CLinux
import Glibc
package import LinuxSystem

/// Requests to rtnetlink in one network namespace: batches with an acknowledgement for each message, and dumps.
package final class RouteConnection {
    private let transport: any NetlinkTransport
    private var sequence: UInt32 = 0

    package init(transport: any NetlinkTransport) { self.transport = transport }

    /// Opens a socket in the calling thread's network namespace.
    package convenience init() throws(SystemError) { self.init(transport: try NetlinkSocket()) }

    /// Sends all requests in one system call and waits until each is answered.
    ///
    /// The kernel works them off in order and goes on after a failure: a batch is not atomic, and the caller undoes what it wants undone.
    /// - Throws: the first failure, with the link and, where the kernel says so, the attribute.
    package func perform(_ requests: [NetlinkRequest]) throws(SystemError) {
        _ = try exchange(requests)
    }

    /// Sends one request whose answer is a message, such as RTM_GETLINK for one link.
    package func query(_ request: NetlinkRequest) throws(SystemError) -> NetlinkMessage {
        guard let answer = try exchange([request]).first else {
            throw SystemError(call: "\(request.name)", subject: request.subject, errno: Errno(rawValue: ENODATA))
        }
        return answer
    }

    private func exchange(_ requests: [NetlinkRequest]) throws(SystemError) -> [NetlinkMessage] {
        guard !requests.isEmpty else { return [] }
        let first = sequence &+ 1
        var bytes: [UInt8] = []
        for request in requests {
            sequence &+= 1
            bytes += request.encoded(sequence: sequence, extraFlags: Int(NLM_F_REQUEST | NLM_F_ACK))
        }
        try transport.send(bytes)
        var answers: [NetlinkMessage] = []
        var failure: SystemError?
        var outstanding = requests.count
        while outstanding > 0 {
            for message in NetlinkMessage.split(try transport.receive()) {
                let position = Int(message.sequence &- first)
                guard position < requests.count else { continue }
                guard message.type == UInt16(NLMSG_ERROR) else {
                    answers.append(message)
                    continue
                }
                outstanding -= 1
                if let error = Self.error(in: message, for: requests[position]), failure == nil { failure = error }
            }
        }
        if let failure { throw failure }
        return answers
    }

    /// All messages of a dump. A dump that a change interrupted is asked again, up to five times: the last answer is then the best there is.
    package func dump(_ request: NetlinkRequest) throws(SystemError) -> [NetlinkMessage] {
        var result: [NetlinkMessage] = []
        for _ in 0..<5 {
            sequence &+= 1
            try transport.send(request.encoded(sequence: sequence, extraFlags: Int(NLM_F_REQUEST | NLM_F_DUMP)))
            result = []
            var interrupted = false
            var done = false
            while !done {
                for message in NetlinkMessage.split(try transport.receive()) where message.sequence == sequence {
                    if message.flags & UInt16(NLM_F_DUMP_INTR) != 0 { interrupted = true }
                    switch Int32(message.type) {
                    case NLMSG_ERROR:
                        if let error = Self.error(in: message, for: request) { throw error }
                        done = true
                    case NLMSG_DONE: done = true
                    default: result.append(message)
                    }
                }
            }
            if !interrupted { break }
        }
        return result
    }

    /// The failure that an NLMSG_ERROR message tells, nil for an acknowledgement.
    static func error(in message: NetlinkMessage, for request: NetlinkRequest) -> SystemError? {
        guard message.body.count >= 4 else { return nil }
        let code = message.body.load(Int32.self, at: 0)
        if code == 0 { return nil }
        var subject = request.subject
        if message.flags & UInt16(NLM_F_ACK_TLVS) != 0 {
            // Behind the code come the request's header (all of the request without NLM_F_CAPPED), then the attributes.
            var skip = 4 + NetlinkRequest.headerSize
            if message.flags & UInt16(NLM_F_CAPPED) == 0, message.body.count >= 8 { skip = 4 + Int(message.body.load(UInt32.self, at: 4)) }
            let attributes = message.attributes(after: skip)
            if let offset = attributes[.errorOffset, as: UInt32.self], let name = request.attributeName(at: Int(offset)) { subject += ", \(name)" }
            if let text = attributes[text: .errorText], !text.isEmpty { subject += ": \(text)" }
        }
        return SystemError(call: "\(request.name)", subject: subject, errno: Errno(rawValue: -code))
    }
}

extension NetlinkAttribute {
    static let errorText = NetlinkAttribute("NLMSGERR_ATTR_MSG", 1)
    static let errorOffset = NetlinkAttribute("NLMSGERR_ATTR_OFFS", 2)
}
