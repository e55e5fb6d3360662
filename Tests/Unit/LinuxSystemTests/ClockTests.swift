import Glibc
import LinuxSystem
import Testing

@Suite struct ClockTests {
    @Test func `a day has the date that the C library says`() {
        for day in stride(from: -800_000, through: 2_940_000, by: 59) + [-719_468, -1, 0, 59, 11_016, 11_017, 47_540, 47_541] {
            var seconds = day * 86400
            var parts = tm()
            gmtime_r(&seconds, &parts)
            let date = Clock.date(ofDay: day)
            #expect((date.year, date.month, date.day) == (Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)), "day \(day)")
        }
    }

    @Test(arguments: [
        (1_767_323_045, 123_456_789, "2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456789Z"), (1_767_323_045, 120_000_000, "2026-01-02T03:04:05.120000000Z", "2026-01-02T03:04:05.12Z"),
        (1_767_323_045, 0, "2026-01-02T03:04:05.000000000Z", "2026-01-02T03:04:05Z"), (1_767_323_045, 5, "2026-01-02T03:04:05.000000005Z", "2026-01-02T03:04:05.000000005Z"),
        (-1, 0, "1969-12-31T23:59:59.000000000Z", "1969-12-31T23:59:59Z"), (0, -1, "1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999Z"),
        (-62_135_596_800, 0, "0001-01-01T00:00:00.000000000Z", "0001-01-01T00:00:00Z"), (253_402_300_800, 0, "10000-01-01T00:00:00.000000000Z", "10000-01-01T00:00:00Z"),
    ])
    func `a time is written with nine digits of its second, or as Go writes it`(seconds: Int, nanoseconds: Int, whole: String, shortened: String) {
        #expect(Clock.rfc3339((seconds, nanoseconds)) == whole)
        #expect(Clock.rfc3339((seconds, nanoseconds), shortened: true) == shortened)
    }

    @Test(arguments: [Int.min, .max]) func `a time that no clock shows ends nothing`(seconds: Int) { #expect(Clock.rfc3339((seconds, -1)).hasSuffix("Z")) }
}
