import LinuxSystem

/// What the program is called, in its help and before its messages: the last part of the path its caller executed, so that a link of another name
/// (`runc`, for tooling that looks for that word) speaks under that name.
enum ProgramName {
    static let own: String = {
        let path = ProgramArguments.vector.pointee.map { String(terminated: $0) } ?? ""
        let name = String(path.lastComponent)
        return name.isEmpty || name.contains(byte: UInt8(ascii: "\n")) ? "berth-runtime" : name
    }()
}
