/// One member of a tar archive, whatever dialect it was written in.
///
/// Names are bytes: an archive may carry any byte but NUL in them, and a layer must come out as it went in. They are exactly as the archive has
/// them (`./a`, `/a`, `a/../b`); whoever unpacks decides with `openat2` where they lead, never by looking at the string.
package struct TarEntry: Sendable {
    package enum Kind: UInt8, Sendable {
        case file, hardLink, symbolicLink, characterDevice, blockDevice, directory, fifo
    }

    package var kind: Kind
    package var path: [UInt8]
    /// Target of a hard or symbolic link.
    package var linkTarget: [UInt8] = []
    /// Permission bits with set-id and sticky: `mode & 0o7777`.
    package var mode: UInt32
    package var uid: UInt32 = 0
    package var gid: UInt32 = 0
    /// Bytes of content as a reader of the file sees it, holes included.
    package var size: Int64 = 0
    package var modified: TarTime
    package var deviceMajor: UInt32 = 0
    package var deviceMinor: UInt32 = 0
    package var xattrs: [ExtendedAttribute] = []

    package init(kind: Kind, path: [UInt8], mode: UInt32, modified: TarTime = TarTime(seconds: 0)) {
        self.kind = kind
        self.path = path
        self.mode = mode
        self.modified = modified
    }
}

/// Seconds and nanoseconds since 1970 in UTC; `nanoseconds` is in 0..<1e9 also before 1970.
package struct TarTime: Sendable, Hashable {
    package var seconds: Int64
    package var nanoseconds: Int32

    package init(seconds: Int64, nanoseconds: Int32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }
}

package struct ExtendedAttribute: Sendable, Equatable {
    /// With its class: `security.capability`, `user.mime`.
    package var name: [UInt8]
    package var value: [UInt8]

    package init(name: [UInt8], value: [UInt8]) {
        self.name = name
        self.value = value
    }
}

/// What an archive may ask of its reader. The archive is untrusted: every count and length in it is held against one of these before memory is
/// taken for it.
package struct TarLimits: Sendable {
    /// Members of one archive, extension headers not counted.
    package var entries = 10_000_000
    /// Bytes of one PAX header, GNU long name or sparse map.
    package var extensionBytes = 1 << 20
    /// Bytes of content in all members together, holes not counted; what a decompression bomb runs into.
    package var contentBytes: Int64 = 1 << 42
    /// Logical size of one sparse member.
    package var fileBytes: Int64 = 1 << 44

    package init() {}
}

/// Why an archive could not be read or written. `path` is the member in question, as text for the message.
package struct TarError: Error, Sendable, CustomStringConvertible {
    package enum Code: Sendable { case truncated, malformed, unsupported, limitExceeded, misuse }

    package let code: Code
    package let message: String

    package init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    package var description: String { "archive/tar: \(message)" }
}

/// Where an archive's bytes come from. Blocks; called on one thread at a time.
package protocol ByteSource: AnyObject {
    /// Fills the start of `buffer` and returns how many bytes; 0 is the end. `buffer` is never empty.
    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int
}

extension ByteSource {
    /// Reads to the end.
    package func drain() throws {
        try withUnsafeTemporaryAllocation(byteCount: 4096, alignment: 16) { buffer in
            while try read(into: buffer) > 0 {}
        }
    }
}

/// Where an archive's bytes go. Blocks; called on one thread at a time.
package protocol ByteSink: AnyObject {
    /// Takes all of `bytes`, which are only valid during the call.
    func write(_ bytes: UnsafeRawBufferPointer) throws
}
