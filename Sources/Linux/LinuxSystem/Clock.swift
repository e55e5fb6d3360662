import Glibc

/// The two clocks: one for people, one for timers.
package enum Clock {
    /// Seconds and nanoseconds since 1970, UTC.
    package static func now() -> (seconds: Int, nanoseconds: Int) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return (time.tv_sec, time.tv_nsec)
    }

    /// Nanoseconds that only go forward, suspended time included.
    package static func monotonic() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
