import Glibc

/// A moment in nanoseconds since 1970, read from and written in the forms Docker uses.
struct Timestamp {
    let seconds: Int64
    let nanoseconds: Int64

    static func now() -> Timestamp {
        var value = timespec()
        clock_gettime(CLOCK_REALTIME, &value)
        return Timestamp(seconds: Int64(value.tv_sec), nanoseconds: Int64(value.tv_nsec))
    }

    func nanoseconds(since other: Timestamp) -> Int64 {
        let (seconds, overflow) = (self.seconds - other.seconds).multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (self.seconds > other.seconds ? .max : .min) : seconds + nanoseconds - other.nanoseconds
    }

    /// From RFC 3339 such as `2026-01-02T03:04:05.678901234Z`.
    init?(rfc3339 text: String) {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int64? {
            guard range.upperBound <= bytes.count else { return nil }
            return Int64(String(decoding: bytes[range], as: UTF8.self))
        }
        guard bytes.count >= 20, bytes[10] | 0x20 == UInt8(ascii: "t"), let year = number(0..<4), let month = number(5..<7), let day = number(8..<10),
            let hour = number(11..<13), let minute = number(14..<16), let second = number(17..<19)
        else { return nil }
        var index = 19
        var fraction: Int64 = 0
        if bytes[index] == UInt8(ascii: ".") {
            index += 1
            var scale: Int64 = 100_000_000
            while index < bytes.count, (48...57).contains(bytes[index]) {
                fraction += Int64(bytes[index] - 48) * scale
                scale /= 10
                index += 1
            }
        }
        guard index < bytes.count else { return nil }
        var offset: Int64 = 0
        if bytes[index] | 0x20 != UInt8(ascii: "z") {
            guard index + 6 <= bytes.count, let hours = number(index + 1..<index + 3), let minutes = number(index + 4..<index + 6) else { return nil }
            offset = (hours * 60 + minutes) * 60 * (bytes[index] == UInt8(ascii: "-") ? -1 : 1)
        }
        self.init(seconds: Timestamp.days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset, nanoseconds: fraction)
    }

    init(seconds: Int64, nanoseconds: Int64 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    /// Days since 1970-01-01 of a date in the Gregorian calendar.
    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// The local calendar's parts, and the zone's offset and name.
    private var local: tm {
        var result = tm()
        var time = time_t(seconds)
        localtime_r(&time, &result)
        return result
    }

    private func formatted(_ format: String, _ parts: tm) -> String {
        var parts = parts
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { buffer in
            guard let base = buffer.baseAddress, strftime(base, buffer.count, format, &parts) > 0 else { return "" }
            return String(cString: base)
        }
    }

    /// The same digits on the clock, read as local time.
    var interpretedAsLocal: Timestamp {
        var parts = tm()
        var time = time_t(seconds)
        gmtime_r(&time, &parts)
        parts.tm_isdst = -1
        return Timestamp(seconds: Int64(mktime(&parts)), nanoseconds: nanoseconds)
    }

    /// As Go prints a time: `2026-01-02 03:04:05 +0000 UTC`.
    var goString: String { formatted("%Y-%m-%d %H:%M:%S %z %Z", local) }

    /// The same with its fraction, in UTC: how Go prints a time that came as RFC 3339.
    var goStringUTC: String {
        var parts = tm()
        var time = time_t(seconds)
        gmtime_r(&time, &parts)
        var fraction = String(nanoseconds)
        fraction = String(repeating: "0", count: 9 - fraction.count) + fraction
        while fraction.last == "0" { fraction.removeLast() }
        return formatted("%Y-%m-%d %H:%M:%S", parts) + (fraction.isEmpty ? "" : ".\(fraction)") + " +0000 UTC"
    }

    /// `2026-01-02T03:04:05Z` in the local zone, seconds only.
    var rfc3339: String { formatted("%Y-%m-%dT%H:%M:%S", local) + zone }

    /// With all nine digits, as events show it.
    var rfc3339Nano: String {
        let digits = String(nanoseconds)
        return formatted("%Y-%m-%dT%H:%M:%S", local) + "." + String(repeating: "0", count: 9 - digits.count) + digits + zone
    }

    private var zone: String {
        if local.tm_gmtoff == 0 { return "Z" }
        let text = formatted("%z", local)
        return text.prefix(3) + ":" + text.suffix(2)
    }

    /// As Go's ANSIC layout in UTC: `Mon Jan  2 15:04:05 2006`.
    var ansiCUTC: String {
        var parts = tm()
        var time = time_t(seconds)
        gmtime_r(&time, &parts)
        return formatted("%a %b %e %H:%M:%S %Y", parts)
    }
}
