import NIOCore

/// A connection after the upgrade: raw bytes in both directions. The channel's pipeline holds nothing of HTTP any more and does not read by itself;
/// whoever takes it over puts its own handlers in and starts reading.
struct HijackedConnection: Sendable {
    let channel: any Channel
}
