import CLinux
package import Glibc

/// A name in a directory that is held open.
package struct RootedEntry: ~Copyable {
    package let directory: OwnedFD
    package let name: String
}

/// A directory that paths cannot leave: symlinks, absolute ones too, and ".." are resolved as if it were `/`.
///
/// Every path of an image, a spec's mount or device goes through here and yields a descriptor; nobody glues strings and hopes that nothing changes
/// between two look-ups. Magic links of /proc are refused.
///
/// Kernel: openat2(2) with RESOLVE_IN_ROOT, Linux 5.6.
package struct RootedPath: ~Copyable {
    package let directory: OwnedFD

    /// `directory` may be an O_PATH descriptor.
    package init(_ directory: consuming OwnedFD) { self.directory = directory }

    /// As `open`, but a link that leads out of the root is an error (EXDEV) instead of being followed below it.
    package borrowing func openBeneath(_ path: String, _ flags: CInt) throws(SystemError) -> OwnedFD {
        try openat2(path, flags, resolve: UInt64(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS))
    }

    /// Opens what `path` names inside the root. With O_PATH, symlinks at the end are followed unless O_NOFOLLOW says otherwise.
    package borrowing func open(_ path: String, _ flags: CInt, mode: mode_t = 0) throws(SystemError) -> OwnedFD {
        try openat2(path, flags, mode: mode, resolve: UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
    }

    /// The directory `path`, created with all its parents where it is missing. Dangling symlinks lead to what they name inside the root.
    package borrowing func makeDirectories(_ path: String, mode: mode_t = 0o755) throws(SystemError) -> OwnedFD {
        do throws(SystemError) { return try open(path, O_PATH | O_DIRECTORY) } catch {
            if error.errno != .noSuchFile { throw error }
        }
        return try create(path, last: .directory(mode))
    }

    /// The file `path`, created empty with its parents where it is missing; what exists, of any kind but a directory's, is opened with O_PATH.
    package borrowing func makeFile(_ path: String, mode: mode_t = 0o644) throws(SystemError) -> OwnedFD {
        do throws(SystemError) { return try open(path, O_PATH) } catch {
            if error.errno != .noSuchFile { throw error }
        }
        return try create(path, last: .file(mode))
    }

    /// The directory that holds the last component of `path`, created where missing, and that component's name.
    package borrowing func makeParent(of path: String) throws(SystemError) -> RootedEntry {
        var components = Self.components(path)
        guard let name = components.popLast(), name != ".." else { throw SystemError(call: "open", subject: path, errno: .invalid) }
        return RootedEntry(directory: try makeDirectories(Self.absolute(components)), name: name)
    }

    private enum Last {
        case directory(mode_t), file(mode_t)
    }

    /// Walks `path` component by component. Each step is one openat2 from the root without symlinks, so that a racing rename can only make the walk fail
    /// or end elsewhere *inside* the root.
    private borrowing func create(_ path: String, last: Last) throws(SystemError) -> OwnedFD {
        var resolved: [String] = []
        var remaining = Array(Self.components(path).reversed())
        var links = 0
        while let component = remaining.popLast() {
            if component == ".." { _ = resolved.popLast(); continue }
            if try step(component, below: resolved, kind: remaining.isEmpty ? last : .directory(0o755)) == .entered {
                resolved.append(component)
                continue
            }
            links += 1
            if links > 40 { throw SystemError(call: "openat2", subject: path, errno: .loop) }
            let target = try readLink(Self.absolute(resolved + [component]))
            if target.isAbsolutePath { resolved = [] }
            remaining += Self.components(target).reversed()
        }
        let flags = if case .directory = last { O_PATH | O_DIRECTORY } else { O_PATH }
        return try openat2(Self.absolute(resolved), flags, resolve: UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS))
    }

    private enum Step { case entered, symlink }

    /// Makes one component exist below `parents`; tells whether it is a symlink that has to be followed.
    private borrowing func step(_ name: String, below parents: [String], kind: Last) throws(SystemError) -> Step {
        let whole = Self.absolute(parents + [name])
        do throws(SystemError) {
            let found = try openat2(whole, O_PATH | O_NOFOLLOW, resolve: UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS))
            return try Files.status(of: found, name: whole).isSymlink ? .symlink : .entered
        } catch { if error.errno != .noSuchFile { throw error } }
        let parent = try openat2(Self.absolute(parents), O_PATH | O_DIRECTORY, resolve: UInt64(RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS))
        let dir = parent.rawValue
        do throws(SystemError) {
            switch kind {
            case .directory(let mode): try syscall("mkdir", on: whole) { mkdirat(dir, name, mode) }
            case .file(let mode):
                _ = OwnedFD(adopting: try syscall("open", on: whole) { Glibc.openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode) })
            }
        } catch { if error.errno != .fileExists { throw error } }
        return .entered
    }

    /// The text of a symlink inside the root.
    package borrowing func readLink(_ path: String) throws(SystemError) -> String {
        let link = try open(path, O_PATH | O_NOFOLLOW)
        let fd = link.rawValue
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, count in
            do throws(SystemError) {
                count = try buffer.withMemoryRebound(to: CChar.self) { (raw) throws(SystemError) in
                    try syscall("readlinkat", on: path) { readlinkat(fd, "", raw.baseAddress!, raw.count) }
                }
            } catch { failure = error }
        }
        if let failure { throw failure }
        return String(decoding: bytes, as: UTF8.self)
    }

    private borrowing func openat2(_ path: String, _ flags: CInt, mode: mode_t = 0, resolve: UInt64) throws(SystemError) -> OwnedFD {
        let dir = directory.rawValue
        var how = open_how(flags: UInt64(UInt32(bitPattern: flags | O_CLOEXEC)), mode: UInt64(mode), resolve: resolve)
        // EAGAIN: a rename or mount happened somewhere while ".." was resolved; the kernel asks to try again.
        for _ in 0..<128 {
            do throws(SystemError) { return OwnedFD(adopting: try syscall("openat2", on: path) { berth_openat2(dir, path, &how) }) } catch {
                if error.errno != .again { throw error }
            }
        }
        throw SystemError(call: "openat2", subject: path, errno: .again)
    }

    /// Components of a path, without empty ones and ".".
    package static func components(_ path: String) -> [String] { path.fields(by: "/").lazy.filter { $0 != "." }.map(String.init) }

    /// Whether `path`, by its letters, names something above where it starts.
    package static func leavesRoot(_ path: String) -> Bool {
        var depth = 0
        for component in components(path) {
            depth += component == ".." ? -1 : 1
            if depth < 0 { return true }
        }
        return false
    }

    /// Absolute, without empty components, ".", ".." and a slash at the end.
    private static func isClean(_ path: String) -> Bool {
        var length = 0, dots = 0, isFirst = true
        for byte in path.utf8 {
            if byte != UInt8(ascii: "/") {
                if isFirst { return false }
                (length, dots) = (length + 1, dots + (byte == UInt8(ascii: ".") ? 1 : 0))
                continue
            }
            if !isFirst && (length == 0 || (length == dots && length <= 2)) { return false }
            (length, dots, isFirst) = (0, 0, false)
        }
        return length > 0 && !(length == dots && length <= 2)
    }

    /// `path` made absolute and free of ".", ".." and double slashes, by its letters alone.
    package static func cleaned(_ path: String) -> String {
        if isClean(path) { return path }
        var kept: [String] = []
        for component in components(path) {
            if component == ".." { _ = kept.popLast() } else { kept.append(component) }
        }
        return absolute(kept)
    }

    /// The path of these components. The library's `joined` has Swift look through all conformances of the program when it is first called, 30 µs.
    private static func absolute(_ components: [String]) -> String {
        if components.isEmpty { return "/" }
        var path = ""
        for component in components {
            path += "/"
            path += component
        }
        return path
    }
}
