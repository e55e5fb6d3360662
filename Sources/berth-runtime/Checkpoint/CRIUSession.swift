import BerthDefaults
import Glibc
import LinuxSystem

/// One job of CRIU: `criu swrk`, a child that takes one request over a socket, asks back by notifications, answers, and ends.
///
/// Spec: criu.org/RPC. The numbers are those of CRIU's rpc.proto.
struct CRIUSession: ~Copyable {
    enum Job: Int {
        case dump = 1, restore = 2, preDump = 4, notify = 6

        var name: String {
            switch self {
            case .dump: "DUMP"
            case .restore: "RESTORE"
            case .preDump: "PRE_DUMP"
            case .notify: "NOTIFY"
            }
        }
    }

    /// What CRIU says on its way: "post-restore", "setup-namespaces", "orphan-pts-master" …
    struct Notification {
        let script: String
        let pid: pid_t
        /// Owned by the receiver.
        let descriptors: [CInt]
    }

    private let socket: OwnedFD
    private let process: ChildProcess

    /// Where the program is: what the caller names, else in $PATH, else in the usual directories.
    static func program(_ given: String?) throws(RuntimeError) -> String {
        if let given, !given.isEmpty { return given }
        let path = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        for directory in path.fields(by: ":") where directory.isAbsolutePath && Files.isExecutable("\(directory)/criu") { return "\(directory)/criu" }
        throw RuntimeError(.unimplemented, "checkpoint and restore need CRIU: exec: \"criu\": executable file not found in $PATH")
    }

    /// CRIU's own descriptors of its images and its work files. It knows a directory by number alone, and looks at whoever made its socket for them, so
    /// that is itself: a directory opened elsewhere would not be of its mount namespace, and it mounts below it.
    private let directories: [Int]

    /// Starts CRIU with the caller's standard streams. `prepare` runs in the child before, and may go into other namespaces and cgroups.
    /// - Parameter inherited: descriptors CRIU gets under their own numbers.
    init(_ program: String, _ options: CheckpointOptions, inherited: [CInt], prepare: () throws(RuntimeError) -> Void) throws(RuntimeError) {
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let parentEnd = SyncChannel(pair.takeParent()), childEnd = SyncChannel(pair.takeChild())
        let child = try attempt { () throws(SystemError) in
            try Processes.clone(subject: "criu") {
                do throws(RuntimeError) {
                    try attempt { () throws(SystemError) in try ProcessAttributes.setParentDeathSignal(SIGKILL) }
                    try prepare()
                    throw try Self.becomeCRIU(program, options, inherited, childEnd)
                } catch { childEnd.fail(error) }
                Processes.leave(127)
            }
        }
        _ = consume childEnd
        guard let message = try attempt({ () throws(SystemError) in try parentEnd.receive() }) else { throw RuntimeError(.internalError, "criu was not started") }
        guard message.kind == .go, let fd = message.descriptors.first else { throw SyncChannel.failure(message.text) }
        socket = OwnedFD(adopting: fd)
        directories = message.text.fields(by: " ").compactMap { Int($0) }
        process = child
    }

    private static func becomeCRIU(
        _ program: String, _ options: CheckpointOptions, _ inherited: [CInt], _ channel: borrowing SyncChannel
    ) throws(RuntimeError) -> RuntimeError {
        try attempt { () throws(SystemError) in
            var kept: [CInt] = []
            for path in [options.imagePath] + (options.workPath.map { [$0] } ?? []) {
                kept.append(try Files.open(path, O_RDONLY | O_DIRECTORY).release())
            }
            let pair = try DescriptorPassing.pair()
            let far = pair.takeParent(), own = pair.takeChild().release()
            try channel.send(.go, kept.map { "\($0)" }.joined(separator: " "), descriptors: [far.rawValue])
            try Processes.closeOnExec(from: 3)
            for fd in inherited + kept + [own] { _ = fcntl(fd, F_SETFD, 0) }
            let environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
            return RuntimeError(Processes.execute(program, arguments: ["criu", "swrk", "\(own)"], environment: environment))
        }
    }

    /// Sends the job and answers notifications until it is done.
    /// - Throws: CRIU's refusal, with the line of its log that says why.
    func perform(
        _ job: Job, _ choices: CheckpointOptions, log: String, options: (inout ProtocolBufferWriter) -> Void, onNotification: (Notification) throws(RuntimeError) -> Void
    ) throws(RuntimeError) {
        var request = ProtocolBufferWriter()
        request.add(1, job.rawValue)
        request.nest(2) { message in
            message.add(1, directories[0])
            if directories.count > 1 { message.add(17, directories[1]) }
            message.add(9, 4)  // log_level
            message.add(10, log)
            message.add(12, true)  // notify_scripts
            message.add(50, true)  // orphan_pts_master
            choices.write(to: &message)
            options(&message)
        }
        try attempt { () throws(SystemError) in try Files.writeAll(request.bytes, to: socket, name: "criu") }
        while true {
            var message = try attempt { () throws(SystemError) in try DescriptorPassing.receive(from: socket, room: 65536, name: "criu") }
            let descriptors = message.takeDescriptors()
            guard !message.bytes.isEmpty else { throw failed(job, "it ended without an answer", choices, log) }
            guard let reply = ProtocolBufferReader(message.bytes[...]), let kind = reply.number(1) else { throw failed(job, "an answer that cannot be read", choices, log) }
            guard reply.flag(2) else {
                throw failed(Job(rawValue: Int(kind)) ?? job, "errno \(reply.number(7) ?? 0)\(reply.text(9).map { ", \($0)" } ?? "")", choices, log)
            }
            guard kind == Job.notify.rawValue else { break }
            let notification = reply.message(5)
            try onNotification(
                Notification(script: notification?.text(1) ?? "", pid: pid_t(truncatingIfNeeded: notification?.number(2) ?? 0), descriptors: descriptors))
            var answer = ProtocolBufferWriter()
            answer.add(1, Job.notify.rawValue)
            answer.add(3, true)
            try attempt { () throws(SystemError) in try Files.writeAll(answer.bytes, to: socket, name: "criu") }
        }
        try attempt { () throws(SystemError) in UnixSocket.shutDownWriting(socket) }
        let status = try attempt { () throws(SystemError) in try Processes.wait(for: process.pid) }
        // After a pre-dump CRIU waits for more, and is told that there is none.
        if status != .exited(0) && job != .preDump { throw failed(job, "it ended with status \(status.code)", choices, log) }
    }

    /// Makes sure that CRIU is gone; for the way out after an error.
    func end() {
        try? Processes.signal(SIGKILL, to: process.pidfd, name: "criu")
        _ = try? Processes.wait(for: process.pid)
    }

    private func failed(_ job: Job, _ how: String, _ choices: CheckpointOptions, _ log: String) -> RuntimeError {
        let path = "\(choices.logDirectory)/\(log)"
        // The first error is the cause, the last one says only that it failed; that it may not raise its own limit is none.
        let reason = (try? Files.readText(path))?.fields(by: "\n").first { $0.contains(text: "Error") && !$0.contains(text: "rlimit: Can't setup") }
        let how = how.fields(by: "\n").joined(separator: ", ")
        return RuntimeError(.internalError, "criu failed: type \(job.name) \(how)\(reason.map { ": \($0)" } ?? "") (log file: \(path))")
    }
}
