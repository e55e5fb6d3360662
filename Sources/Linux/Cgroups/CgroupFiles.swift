import Glibc
import LinuxSystem

/// Reading and writing the small files of a cgroup. Nothing is created by opening: a controller that is not there is an ENOENT.
enum CgroupFiles {
    /// Writes a value in one call. Errors name the file and the value.
    static func write(_ value: String, to path: String) throws(CgroupError) {
        do throws(SystemError) {
            let file = try Files.open(path, O_WRONLY)
            try write(value, to: file, path: path)
        } catch {
            throw .kernel(error)
        }
    }

    /// For several values one after the other into the same file.
    static func write(_ value: String, to file: borrowing OwnedFD, path: String) throws(SystemError) {
        let bytes = Array(value.utf8)
        let written = try Files.writeOnce(bytes, to: file, name: "\(shown(value)) to \(path)")
        // The kernel takes such a value as a whole or not at all.
        if written != bytes.count {
            throw SystemError(call: "write", subject: "\(path) (\(written) of \(bytes.count) bytes)", errno: .invalid)
        }
    }

    private static func shown(_ value: String) -> String {
        value.utf8.count > 200 ? String(value.prefix(200)).debugDescription + "…" : value.debugDescription
    }

    static func read(_ path: String) throws(CgroupError) -> String {
        do throws(SystemError) { return try Files.readText(path) } catch { throw .kernel(error) }
    }

    /// The content without the line feed, or nil if the file cannot be read.
    static func value(_ path: String) -> String? {
        guard var bytes = try? Files.readAll(path) else { return nil }
        if bytes.last == UInt8(ascii: "\n") { bytes.removeLast() }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// A number; "max" and what does not fit are `UInt64.max`.
    static func number(_ path: String) -> UInt64? {
        guard let text = value(path) else { return nil }
        if text == "max" { return .max }
        return UInt64(text)
    }

    /// Lines of "key value".
    static func keyed(_ path: String) -> [(key: String, value: UInt64)] {
        guard let text = try? Files.readText(path) else { return [] }
        return text.fields(by: "\n").compactMap { line in
            let parts = line.fields(by: " ")
            guard parts.count == 2, let number = UInt64(parts[1]) else { return nil }
            return (String(parts[0]), number)
        }
    }

    /// Process ids, one per line. Those of processes outside the caller's pid namespace read as 0 and are left out.
    static func pids(_ path: String) throws(CgroupError) -> [Int32] {
        try read(path).fields(by: "\n").compactMap { pid_t($0) }.filter { $0 > 0 }
    }

    static func exists(_ path: String) -> Bool { path.withCString { access($0, F_OK) } == 0 }

    /// Directories below one, by name.
    static func children(of path: String) -> [String] {
        // A cgroup's link count tells nothing on v2, so every entry is looked at; its files are regular ones.
        guard let directory = path.withCString({ opendir($0) }) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            guard entry.pointee.d_type == UInt8(DT_DIR) else { continue }
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(terminated: $0) } }
            if name != "." && name != ".." { names.append(name) }
        }
        return names
    }
}
