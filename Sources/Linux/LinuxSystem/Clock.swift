import Glibc

/// The two clocks: one for people, one for timers.
package enum Clock {
    /// Seconds and nanoseconds since 1970, UTC.
    package static func now() -> (seconds: Int, nanoseconds: Int) {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return (time.tv_sec, time.tv_nsec)
    }

    /// The date of a day counted from 1970-01-01, in the proleptic Gregorian calendar. gmtime_r(3) says the same, and reads /etc/localtime before it does.
    package static func date(ofDay day: Int) -> (year: Int, month: Int, day: Int) {
        // Eras of 400 years, whose years begin in March: the day that only some have is their last.
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }

    /// RFC 3339 in UTC, "2026-01-02T03:04:05.123456789Z".
    /// - Parameter shortened: with as many digits of the second as are not zero, as Go's RFC3339Nano writes it, and not always nine.
    package static func rfc3339(_ time: (seconds: Int, nanoseconds: Int), shortened: Bool = false) -> String {
        // Before 1970 a time may be told by two negative numbers.
        let seconds = time.nanoseconds < 0 ? time.seconds &- 1 : time.seconds
        let nanoseconds = time.nanoseconds < 0 ? time.nanoseconds + 1_000_000_000 : time.nanoseconds
        let second = (seconds % 86400 + 86400) % 86400
        let date = date(ofDay: (seconds &- second) / 86400)
        return String(unsafeUninitializedCapacity: 48) { buffer in
            var count = 0
            func put(_ byte: UInt8) {
                buffer[count] = byte
                count += 1
            }
            func put(_ number: Int, digits: Int, before: UInt8) {
                put(before)
                var rest = number
                for position in (count..<count + digits).reversed() {
                    buffer[position] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                }
                count += digits
            }
            // Years of more than four digits and those before year 0 have no RFC 3339; they are written as they are.
            let year = String(decimal: date.year)
            if date.year >= 0 { for _ in year.utf8.count..<max(4, year.utf8.count) { put(UInt8(ascii: "0")) } }
            for byte in year.utf8 { put(byte) }
            put(date.month, digits: 2, before: UInt8(ascii: "-"))
            put(date.day, digits: 2, before: UInt8(ascii: "-"))
            put(second / 3600, digits: 2, before: UInt8(ascii: "T"))
            put(second / 60 % 60, digits: 2, before: UInt8(ascii: ":"))
            put(second % 60, digits: 2, before: UInt8(ascii: ":"))
            if !shortened || nanoseconds > 0 { put(nanoseconds, digits: 9, before: UInt8(ascii: ".")) }
            if shortened && nanoseconds > 0 { while buffer[count - 1] == UInt8(ascii: "0") { count -= 1 } }
            put(UInt8(ascii: "Z"))
            return count
        }
    }

    /// Nanoseconds that only go forward, suspended time included.
    package static func monotonic() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
