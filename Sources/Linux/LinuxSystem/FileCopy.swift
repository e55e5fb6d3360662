internal import CLinux
import Glibc

extension OwnedFD {
    /// Gives `target`, an empty file, the content of this one: the same blocks where the file system can share them (btrfs, xfs with reflink), otherwise a
    /// copy inside of the kernel that leaves holes holes.
    ///
    /// Kernel: FICLONE, copy_file_range(2), lseek(2) with SEEK_DATA.
    package borrowing func copyContent(to target: borrowing OwnedFD, on subject: @autoclosure () -> String) throws(SystemError) {
        let from = rawValue, to = target.rawValue
        if berth_clone_file(to, from) == 0 { return }
        let size = try status(on: subject()).size
        var offset: Int64 = 0
        while offset < size {
            guard let (start, end) = try nextData(from: offset, size: size, on: subject()) else { break }
            try copyRange(start..<end, to: target, on: subject())
            offset = end
        }
        try target.setSize(size, on: subject())
    }

    /// Where bytes begin at or after `offset`, and where the next hole begins; nil when only a hole is left.
    private borrowing func nextData(from offset: Int64, size: Int64, on subject: @autoclosure () -> String) throws(SystemError) -> (Int64, Int64)? {
        let raw = rawValue
        let start: Int64
        do throws(SystemError) { start = try syscall("lseek", on: subject()) { berth_seek_data(raw, offset) } } catch {
            if error.errno.rawValue == ENXIO { return nil }
            // A file system that does not know of holes.
            if error.errno == .invalid { return (offset, size) }
            throw error
        }
        let end = try syscall("lseek", on: subject()) { berth_seek_hole(raw, start) }
        return (start, min(end, size))
    }

    private borrowing func copyRange(_ range: Range<Int64>, to target: borrowing OwnedFD, on subject: @autoclosure () -> String) throws(SystemError) {
        let from = rawValue, to = target.rawValue
        var offset = range.lowerBound
        while offset < range.upperBound {
            let wanted = Int(min(range.upperBound - offset, 1 << 30))
            let count: Int64
            do throws(SystemError) { count = try syscall("copy_file_range", on: subject()) { berth_copy_range(from, offset, to, offset, wanted) } } catch {
                guard [EXDEV, EOPNOTSUPP, EINVAL, ENOSYS].contains(error.errno.rawValue) else { throw error }
                return try copyByHand(offset..<range.upperBound, to: target, on: subject())
            }
            // Became shorter meanwhile.
            if count == 0 { return }
            offset += count
        }
    }

    private borrowing func copyByHand(_ range: Range<Int64>, to target: borrowing OwnedFD, on subject: @autoclosure () -> String) throws(SystemError) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = range.lowerBound
        while offset < range.upperBound {
            let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(Int64(buffer.count), range.upperBound - offset))])
            let count = try readSome(into: part, at: offset, on: subject())
            if count == 0 { return }
            try target.writeAll(UnsafeRawBufferPointer(rebasing: part[..<count]), at: offset, on: subject())
            offset += Int64(count)
        }
    }
}
