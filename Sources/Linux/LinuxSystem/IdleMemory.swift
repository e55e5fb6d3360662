import CLinux
package import Glibc

/// Gives back what a daemon holds and does not use while it rests.
///
/// Two things keep a process large after its work is done: free memory inside malloc's arenas, and the pages of its own program that are mapped because something near them was once used
/// (the kernel maps sixteen at a time). The first is returned by malloc_trim(3). The second is unmapped by madvise(2) with MADV_DONTNEED: the pages are clean and stay in the page cache, from
/// where they come back with a minor fault, so a daemon that wakes up pays some hundred microseconds once.
///
/// `look` is called by a thread that has nothing else to do: once a second while the process works, ever more rarely while it rests. It acts when the process has worked since the last time and
/// works no more.
package struct IdleMemory {
    /// Processor time in a second below which a process rests, nanoseconds.
    private static let restingNanoseconds: UInt64 = 5_000_000
    /// Processor time after which there may be something to give back, nanoseconds.
    private static let worthwhileNanoseconds: UInt64 = 10_000_000

    /// Between two looks, seconds: while the process works, and at most when it has rested for long. A look wakes a processor for some twenty microseconds, and what a process did after a rest is
    /// given back only after the look that was due.
    private static let shortestPause = 1
    private static let longestPause = 8

    private let program: [MappedRange]
    private var lastSeen: UInt64 = 0
    private var lastGiven: UInt64 = 0
    /// Until the next look, seconds.
    package private(set) var pause = Self.shortestPause

    package init() { program = MappedRange.unwrittenProgram() }

    /// - Parameter used: processor time of the process until now, nanoseconds.
    /// - Returns: whether it gave anything back.
    @discardableResult
    package mutating func look(used: UInt64 = Self.processorTime()) -> Bool {
        let rests = used - lastSeen < Self.restingNanoseconds
        lastSeen = used
        guard rests, used - lastGiven > Self.worthwhileNanoseconds else {
            pause = rests ? min(pause * 2, Self.longestPause) : Self.shortestPause
            return false
        }
        malloc_trim(0)
        for range in program { madvise(UnsafeMutableRawPointer(bitPattern: range.start), range.length, MADV_DONTNEED) }
        lastGiven = Self.processorTime()
        lastSeen = lastGiven
        pause = Self.shortestPause
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
        while true {
            var timeout = timespec(tv_sec: pause, tv_nsec: 0)
            let number = sigtimedwait(&signals, nil, &timeout)
            if number > 0 { return number }
            look()
        }
    }
}

/// A part of this process's address space, bytes.
package struct MappedRange: Sendable {
    package let start: UInt
    package let length: Int

    /// The parts of this program that are its file's to the letter: the loaded segments without the right to write (elf(5)). What the dynamic linker writes to before it protects it belongs to
    /// a writable segment and is not among them.
    package static func unwrittenProgram() -> [MappedRange] {
        guard let program = ProgramHeaders() else { return [] }
        let base = program.base
        let page = UInt(sysconf(CInt(_SC_PAGESIZE)))
        return program.segments.compactMap { segment in
            guard segment.p_type == UInt32(PT_LOAD), segment.p_flags & UInt32(PF_W) == 0 else { return nil }
            // Only whole pages: the last one may be shared with the next segment.
            let start = (base + UInt(segment.p_vaddr) + page - 1) & ~(page - 1)
            let end = (base + UInt(segment.p_vaddr) + UInt(segment.p_filesz)) & ~(page - 1)
            return start < end ? MappedRange(start: start, length: Int(end - start)) : nil
        }
    }
}
