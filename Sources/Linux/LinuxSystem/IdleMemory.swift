import CLinux
package import Glibc

/// Gives back what a daemon holds and does not use while it rests.
///
/// Two things keep a process large after its work is done: free memory inside malloc's arenas, and the pages of its own program that are mapped because something near them was once used
/// (the kernel maps sixteen at a time). The first is returned by malloc_trim(3). The second is unmapped by madvise(2) with MADV_DONTNEED: the pages are clean and stay in the page cache, from
/// where they come back with a minor fault, so a daemon that wakes up pays some hundred microseconds once.
///
/// `look` is called about once a second by a thread that has nothing else to do. It acts when the process has worked since the last time and works no more.
package struct IdleMemory {
    /// Processor time in a second below which a process rests, nanoseconds.
    private static let restingNanoseconds: UInt64 = 5_000_000
    /// Processor time after which there may be something to give back, nanoseconds.
    private static let worthwhileNanoseconds: UInt64 = 10_000_000

    private let program: [MappedRange]
    private var lastSeen: UInt64 = 0
    private var lastGiven: UInt64 = 0

    /// Finds the program's code. Where that is not readable, only malloc's memory is given back.
    package init() {
        let path = (try? Files.readLink("/proc/self/exe")) ?? ""
        let maps = (try? Files.readAll("/proc/self/maps")) ?? []
        program = MappedRange.code(of: path, in: String(decoding: maps, as: UTF8.self))
    }

    /// - Parameter used: processor time of the process until now, nanoseconds.
    /// - Returns: whether it gave anything back.
    @discardableResult
    package mutating func look(used: UInt64 = Self.processorTime()) -> Bool {
        let rests = used - lastSeen < Self.restingNanoseconds
        lastSeen = used
        guard rests, used - lastGiven > Self.worthwhileNanoseconds else { return false }
        malloc_trim(0)
        for range in program { madvise(UnsafeMutableRawPointer(bitPattern: range.start), range.length, MADV_DONTNEED) }
        lastGiven = Self.processorTime()
        lastSeen = lastGiven
        return true
    }

    package static func processorTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Waits for one of `signals` (blocked in every thread) for as long as it takes, and gives memory back meanwhile.
    /// - Returns: the signal's number.
    package mutating func rest(untilOneOf signals: sigset_t) -> CInt {
        var signals = signals
        var second = timespec(tv_sec: 1, tv_nsec: 0)
        while true {
            let number = sigtimedwait(&signals, nil, &second)
            if number > 0 { return number }
            look()
        }
    }
}

/// A part of a process's address space, bytes.
package struct MappedRange: Equatable, Sendable {
    package let start: UInt
    package let length: Int

    package init(start: UInt, length: Int) {
        self.start = start
        self.length = length
    }

    /// What `maps` (the text of /proc/PID/maps) shows of the file `path` as readable, executable and never writable: pages that are the file's to the letter. Read-only data is left alone where
    /// the linker has put it into pages that were written to before they were protected.
    package static func code(of path: String, in maps: String) -> [MappedRange] {
        guard !path.isEmpty else { return [] }
        var ranges: [MappedRange] = []
        for line in maps.split(separator: "\n") {
            let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
            guard fields.count == 6, fields[1] == "r-xp", fields[5].drop(while: { $0 == " " }) == path[...] else { continue }
            let bounds = fields[0].split(separator: "-")
            guard bounds.count == 2, let start = UInt(bounds[0], radix: 16), let end = UInt(bounds[1], radix: 16), start < end else { continue }
            ranges.append(MappedRange(start: start, length: Int(end - start)))
        }
        return ranges
    }
}
