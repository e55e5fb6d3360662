import LinuxSystem

/// A key of `linux.sysctl`: "net.ipv4.ip_forward", or with slashes where a part has dots in it. Spec: config-linux.md#sysctl; sysctl(8).
enum SysctlName {
    /// With dots, for comparing.
    static func dotted(_ name: String) -> String { replacing(UInt8(ascii: "/"), by: UInt8(ascii: "."), in: name) }

    /// Below /proc/sys.
    static func path(_ name: String) -> String {
        name.contains(byte: UInt8(ascii: "/")) ? name : replacing(UInt8(ascii: "."), by: UInt8(ascii: "/"), in: name)
    }

    // Bytes, and not `split` and `joined`: of these the general forms are used, which look up a dozen types in every program that is started.
    private static func replacing(_ old: UInt8, by new: UInt8, in name: String) -> String {
        var bytes = Array(name.utf8)
        for index in bytes.indices where bytes[index] == old { bytes[index] = new }
        return String(decoding: bytes, as: UTF8.self)
    }
}
