/// A stretch of a sparse file that has content; what lies between two of them is a hole.
struct SparseSegment: Equatable {
    var offset: Int64
    var length: Int64
    var end: Int64 { offset + length }
}

/// The `GNU.sparse.*` records of a PAX header, in the three versions that GNU tar has written.
///
/// Format: GNU tar manual, "Storing Sparse Files". 0.0 repeats `offset` and `numbytes`, 0.1 has them in one `map`, 1.0 puts the map in front of the content.
struct PAXSparse {
    var name: [UInt8]?
    var realSize: Int64?
    /// 1.0: the map stands in the first blocks of the member's content.
    var mapIsInContent = false
    private(set) var segments: [SparseSegment] = []
    private var pendingOffset: Int64?
    private var major: Int64 = 0

    var isPresent: Bool { mapIsInContent || realSize != nil || !segments.isEmpty }

    mutating func take(_ key: Substring, _ value: UnsafeRawBufferPointer) throws {
        switch key {
        case "name":
            guard !value.contains(0) else { throw TarError(.malformed, "NUL in a name of a PAX header") }
            name = value.isEmpty ? nil : Array(value)
        case "size", "realsize": realSize = try number(value)
        case "major":
            major = try number(value)
            guard major <= 1 else { throw TarError(.unsupported, "sparse format \(major)") }
            mapIsInContent = major == 1
        case "minor":
            let minor = try number(value)
            guard major == 0 || minor == 0 else { throw TarError(.unsupported, "sparse format \(major).\(minor)") }
        case "offset": pendingOffset = try number(value)
        case "numbytes":
            guard let offset = pendingOffset else { throw TarError(.malformed, "sparse length without an offset") }
            pendingOffset = nil
            segments.append(SparseSegment(offset: offset, length: try number(value)))
        case "map":
            segments = []
            let numbers = try value.split(separator: UInt8(ascii: ",")).map { try number(UnsafeRawBufferPointer(rebasing: $0)) }
            guard numbers.count.isMultiple(of: 2) else { throw TarError(.malformed, "sparse map with an odd count") }
            for index in stride(from: 0, to: numbers.count, by: 2) {
                segments.append(SparseSegment(offset: numbers[index], length: numbers[index + 1]))
            }
        default: break  // numblocks: follows from the rest
        }
    }

    private func number(_ value: UnsafeRawBufferPointer) throws -> Int64 {
        guard let number = Int64(String(decoding: value, as: UTF8.self)), number >= 0 else { throw TarError(.malformed, "number in a sparse map") }
        return number
    }

    /// Checks that segments ascend without overlap inside a file of `size` bytes and hold `stored` bytes together.
    static func validate(_ segments: [SparseSegment], size: Int64, stored: Int64) throws {
        var position: Int64 = 0
        var sum: Int64 = 0
        for segment in segments {
            let (end, overflow) = segment.offset.addingReportingOverflow(segment.length)
            guard segment.offset >= position, segment.length >= 0, !overflow, end <= size else {
                throw TarError(.malformed, "sparse map out of order or beyond the file's size")
            }
            position = end
            sum += segment.length
        }
        guard sum == stored else { throw TarError(.malformed, "sparse map of \(sum) bytes over \(stored) bytes of content") }
    }
}
