@testable import berthd
import Testing

@Test(arguments: [
    (0, "0s"), (5, "5ns"), (1500, "1.5µs"), (300_000_000, "300ms"), (1_000_000_000, "1s"), (1_500_000_000, "1.5s"), (90_000_000_000, "1m30s"), (3_600_000_000_000, "1h0m0s"),
] as [(Int64, String)])
func `durations are printed as Go prints them, and read again`(nanoseconds: Int64, text: String) {
    #expect(GoDuration.text(.nanoseconds(nanoseconds)) == text)
    #expect(GoDuration.nanoseconds(text) == nanoseconds)
}
