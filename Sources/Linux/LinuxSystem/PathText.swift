import Glibc

// Paths are read byte by byte, as the kernel does: for the library's `hasPrefix`, `split` and `lastIndex` a slash with a combining mark behind it is another character, no slash. See also `fields(by:)`.

extension String {
    package var isAbsolutePath: Bool { utf8.first == UInt8(ascii: "/") }

    package func begins(with start: String) -> Bool {
        var text = self, start = start
        return text.withUTF8 { text in
            start.withUTF8 { start in
                guard start.count <= text.count else { return false }
                guard let place = text.baseAddress, let wanted = start.baseAddress else { return true }
                return memcmp(place, wanted, start.count) == 0
            }
        }
    }

    /// Without the first `count` bytes of its UTF-8.
    package func dropping(bytes count: Int) -> String { String(Substring(utf8.dropFirst(count))) }

    package var lastSlash: Index? { utf8.lastIndex(of: UInt8(ascii: "/")) }

    /// What stands before the last slash, empty without one.
    package var parentPath: String { String(self[..<(lastSlash ?? startIndex)]) }

    /// What stands behind the last slash.
    package var lastComponent: Substring { lastSlash.map { self[utf8.index(after: $0)...] } ?? self[...] }
}

extension Substring {
    package var isAbsolutePath: Bool { utf8.first == UInt8(ascii: "/") }

    package var lastSlash: Index? { utf8.lastIndex(of: UInt8(ascii: "/")) }
}
