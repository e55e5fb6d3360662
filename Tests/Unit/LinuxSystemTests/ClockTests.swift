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
}
