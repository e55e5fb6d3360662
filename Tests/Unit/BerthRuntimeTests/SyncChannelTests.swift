import BerthDefaults
import LinuxSystem
import Testing

@testable import berth_runtime

@Suite struct SyncChannelTests {
    /// The kernel tells such an end before what was sent: ECONNRESET, once.
    @Test func `a failure is heard of a side that has left a message unread`() throws {
        let pair = try DescriptorPassing.pair()
        let ours = SyncChannel(pair.takeParent())
        try fail("no such file", over: SyncChannel(pair.takeChild())) { () throws in try ours.send(.network) }
        let message = try ours.receive()
        let text = if let message { message.text } else { "nothing" }
        #expect(text.hasSuffix("\0no such file"))
        let isOver = try ours.receive() == nil
        #expect(isOver)
    }

    private func fail(_ text: String, over channel: consuming SyncChannel, after: () throws -> Void) throws {
        try after()
        channel.fail(RuntimeError(.notFound, text))
    }
}
