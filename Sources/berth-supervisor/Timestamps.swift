import FoundationEssentials
import LinuxSystem
import SwiftProtobuf

/// Times between the database (nanoseconds since 1970), the wire and the log.
enum Timestamps {
    static func proto(_ nanoseconds: Int64) -> Google_Protobuf_Timestamp {
        var seconds = nanoseconds / 1_000_000_000
        var rest = nanoseconds % 1_000_000_000
        if rest < 0 { (seconds, rest) = (seconds - 1, rest + 1_000_000_000) }
        return Google_Protobuf_Timestamp(seconds: seconds, nanos: Int32(rest))
    }

    static func nanoseconds(_ time: Google_Protobuf_Timestamp) -> Int64 {
        let (product, overflow) = time.seconds.multipliedReportingOverflow(by: 1_000_000_000)
        return overflow ? (time.seconds < 0 ? .min : .max) : product.addingReportingOverflow(Int64(time.nanos)).partialValue
    }

    /// "2026-01-02T03:04:05.123456789Z"
    static func rfc3339(_ nanoseconds: Int64) -> String {
        LinuxSystem.Clock.rfc3339((Int(nanoseconds / 1_000_000_000), Int(nanoseconds % 1_000_000_000)))
    }
}
