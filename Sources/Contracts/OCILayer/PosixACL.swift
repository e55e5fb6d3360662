/// POSIX access control lists as star and GNU tar write them (text) and as the kernel wants them (the value of `system.posix_acl_access`).
///
/// Kernel: include/uapi/linux/posix_acl_xattr.h, version 2.
enum PosixACL {
    private static let undefinedID: UInt32 = 0xffff_ffff

    private struct Entry {
        var tag: UInt16
        var permissions: UInt16
        var id: UInt32
    }

    /// `user::rwx,user:lisa:r--:1000,group::r-x,mask::r-x,other::---`, by comma or line. A named entry needs a numeric id: GNU tar and star write it as
    /// the fourth part or in place of the name; names mean nothing outside the machine that wrote them. `nil` when it does not parse.
    static func attributeValue(ofText text: String) -> [UInt8]? {
        var entries: [Entry] = []
        for line in text.split(whereSeparator: { $0 == "," || $0 == "\n" }) {
            let parts = line.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count >= 2, entries.count < 4096 else { return nil }
            let qualifier = parts.count >= 3 ? parts[1] : ""
            guard let permissions = permissionBits(parts.count >= 3 ? parts[2] : parts[1]) else { return nil }
            var id = undefinedID
            if !qualifier.isEmpty {
                guard let number = UInt32(parts.count >= 4 ? parts[3] : qualifier), number != undefinedID else { return nil }
                id = number
            }
            let tag: UInt16
            switch (parts[0], qualifier.isEmpty) {
            case ("user", true), ("u", true): tag = 0x01
            case ("user", false), ("u", false): tag = 0x02
            case ("group", true), ("g", true): tag = 0x04
            case ("group", false), ("g", false): tag = 0x08
            case ("mask", true), ("m", true): tag = 0x10
            case ("other", true), ("o", true): tag = 0x20
            default: return nil
            }
            entries.append(Entry(tag: tag, permissions: permissions, id: id))
        }
        // The kernel refuses a list that is not sorted by tag and id.
        entries.sort { ($0.tag, $0.id) < ($1.tag, $1.id) }
        var value: [UInt8] = [2, 0, 0, 0]
        for entry in entries {
            for shift in [0, 8] as [UInt16] { value.append(UInt8(truncatingIfNeeded: entry.tag >> shift)) }
            for shift in [0, 8] as [UInt16] { value.append(UInt8(truncatingIfNeeded: entry.permissions >> shift)) }
            for shift in [0, 8, 16, 24] as [UInt32] { value.append(UInt8(truncatingIfNeeded: entry.id >> shift)) }
        }
        return value
    }

    private static func permissionBits(_ text: Substring) -> UInt16? {
        var bits: UInt16 = 0
        for character in text {
            switch character {
            case "r": bits |= 4
            case "w": bits |= 2
            case "x": bits |= 1
            case "-": break
            default: return nil
            }
        }
        return bits
    }
}
