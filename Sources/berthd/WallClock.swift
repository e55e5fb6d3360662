import Glibc
import LinuxSystem

/// A moment as the API writes it.
struct WallClock: Sendable, Hashable, Comparable, Codable {
    /// Since 1970, UTC.
    var seconds: Int64
    var nanoseconds: Int32

    static func now() -> WallClock {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return WallClock(seconds: Int64(time.tv_sec), nanoseconds: Int32(time.tv_nsec))
    }

    /// Between the years 1824 and 2116; a clock beyond them must not end the daemon, nor the difference of two such times.
    var nanosecondsSinceEpoch: Int64 {
        let bound: Int64 = 4_600_000_000
        return min(max(seconds, -bound), bound) * 1_000_000_000 + Int64(nanoseconds)
    }

    init(seconds: Int64, nanoseconds: Int32) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    init(nanosecondsSinceEpoch total: Int64) {
        seconds = total / 1_000_000_000
        nanoseconds = Int32(total % 1_000_000_000)
    }

    /// What Go's zero time looks like: it did not happen.
    static let never = "0001-01-01T00:00:00Z"

    /// RFC 3339 in UTC with as many digits of a second as are not zero, as Go's RFC3339Nano writes it.
    var rfc3339: String { Clock.rfc3339((Int(seconds), Int(nanoseconds)), shortened: true) }

    /// RFC 3339 with exactly nine digits.
    var fixedRFC3339: String { Clock.rfc3339((Int(seconds), Int(nanoseconds))) }

    /// Reads RFC 3339 with any number of digits of a second, in UTC or with an offset; the time may be cut off after the day or the minute. nil for anything else.
    init?(rfc3339 text: some StringProtocol) {
        let bytes = Array(text.utf8)
        func number(_ range: Range<Int>) -> Int? {
            guard range.upperBound <= bytes.count else { return nil }
            var value = 0
            for byte in bytes[range] {
                guard byte >= 0x30, byte <= 0x39 else { return nil }
                value = value * 10 + Int(byte - 0x30)
            }
            return value
        }
        func at(_ index: Int, _ character: Character) -> Bool { index < bytes.count && bytes[index] == character.asciiValue }
        guard let year = number(0..<4), at(4, "-"), let month = number(5..<7), at(7, "-"), let day = number(8..<10), (1...12).contains(month), (1...31).contains(day) else { return nil }
        var total = Self.days(year: year, month: month, day: day) * 86400
        var nanoseconds = 0
        var index = 10
        if index < bytes.count {
            guard at(10, "T") || at(10, " "), let hour = number(11..<13), at(13, ":"), let minute = number(14..<16), hour < 24, minute < 60 else { return nil }
            total += Int64(hour * 3600 + minute * 60)
            index = 16
            if at(16, ":") {
                guard let second = number(17..<19), second < 61 else { return nil }
                total += Int64(second)
                index = 19
                if at(19, ".") {
                    index = 20
                    var scale = 100_000_000
                    while index < bytes.count, bytes[index] >= 0x30, bytes[index] <= 0x39 {
                        nanoseconds += Int(bytes[index] - 0x30) * scale
                        scale /= 10
                        index += 1
                    }
                }
            }
            if at(index, "Z") {
                index += 1
            } else if at(index, "+") || at(index, "-") {
                guard let hours = number(index + 1..<index + 3), at(index + 3, ":"), let minutes = number(index + 4..<index + 6) else { return nil }
                total -= Int64((hours * 60 + minutes) * 60) * (at(index, "+") ? 1 : -1)
                index += 6
            }
            guard index == bytes.count else { return nil }
        }
        self.init(seconds: total, nanoseconds: Int32(nanoseconds))
    }

    static func < (left: WallClock, right: WallClock) -> Bool { (left.seconds, left.nanoseconds) < (right.seconds, right.nanoseconds) }

    private static func floorDivide(_ value: Int64, _ by: Int64) -> Int64 { value >= 0 ? value / by : -((-value + by - 1) / by) }

    /// Days since 1970-01-01 in the proleptic Gregorian calendar, counted in eras of 400 years that begin in March.
    private static func days(year: Int, month: Int, day: Int) -> Int64 {
        let year = Int64(month <= 2 ? year - 1 : year)
        let era = floorDivide(year, 400)
        let yearOfEra = year - era * 400
        let dayOfYear = Int64((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1)
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
