import OCISpec
import Testing

@testable import berth_runtime

@Suite struct UpdateTests {
    private typealias Resources = RuntimeSpec.Linux.Resources

    @Test(arguments: [
        ("512", 512), ("1k", 1024), ("1KiB", 1024), ("64m", 64 << 20), ("1.5G", 3 << 29), ("2 tb", 2 << 40), ("0", 0), ("", nil), ("k", nil), ("-5", nil),
        ("1x", nil), ("1.", nil), (".5k", nil), ("1e3", nil), ("99999999p", nil),
    ] as [(String, Int64?)])
    func `sizes are read as people write them`(text: String, bytes: Int64?) {
        #expect(ByteSize.parse(text) == bytes)
    }

    @Test(arguments: [("5s", 5000), ("1m30s", 90_000), ("100ms", 100), ("1us", 1), ("0s", 0), ("5", nil), ("s", nil), ("", nil), ("9999999h", nil)] as [(String, CInt?)])
    func `durations are read as Go writes them`(text: String, milliseconds: CInt?) {
        #expect(Interval.milliseconds(text) == milliseconds)
    }

    @Test func `what is not named stays`() {
        let before = Resources(memory: .init(limit: 5, swap: 9), cpu: .init(shares: 2, quota: 10, period: 20), pids: .init(limit: 3))
        let after = before.updated(by: Resources(memory: .init(limit: 7), cpu: .init(period: 30)))
        #expect(after == Resources(memory: .init(limit: 7, swap: 9), cpu: .init(shares: 2, quota: 10, period: 30), pids: .init(limit: 3)))
    }

    @Test func `pairs are written together`() {
        let all = Resources(memory: .init(limit: 7, swap: 9), cpu: .init(shares: 2, quota: 10, period: 30))
        let written = Resources(memory: .init(limit: 7), cpu: .init(period: 30)).completed(from: all)
        #expect(written == Resources(memory: .init(limit: 7, swap: 9), cpu: .init(quota: 10, period: 30)))
    }

    @Test func `lifting the memory limit lifts that of swap`() {
        #expect(Resources(memory: .init(limit: 7, swap: 9)).updated(by: Resources(memory: .init(limit: -1))).memory?.swap == -1)
    }

    @Test func `a device's new rate replaces its old one`() {
        let before = Resources(blockIO: .init(throttleReadBpsDevice: [.init(major: 8, minor: 0, rate: 1), .init(major: 8, minor: 16, rate: 2)]))
        let after = before.updated(by: Resources(blockIO: .init(throttleReadBpsDevice: [.init(major: 8, minor: 0, rate: 3)])))
        #expect(after.blockIO?.throttleReadBpsDevice == [.init(major: 8, minor: 16, rate: 2), .init(major: 8, minor: 0, rate: 3)])
    }
}
