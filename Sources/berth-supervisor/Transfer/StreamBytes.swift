import BerthDefaults
import ContainerdAPI
import FoundationEssentials
import LinuxSystem
import OCILayer
import SwiftProtobuf
import Synchronization

/// The bytes that a client sends on a stream, for a thread that reads them. The client may send as much as it was granted; more is granted as the
/// reader takes, so that at most a window waits here.
///
/// Spec: containerd, docs/transfer.md, "Binary streams".
final class IncomingBytes: ByteSource, Sendable {
    static let window: Int32 = 4 << 20

    private struct State {
        var parts: [Data] = []
        var position = 0
        var taken: Int32 = 0
        var result: Result<Void, any Error>?
    }

    private let state = Monitor(State())
    private let credits: AsyncStream<Int32>.Continuation
    private let pump: Task<Void, Never>
    let counter = ByteCounter()

    init(_ stream: ClientStream) {
        let (queue, continuation) = AsyncStream.makeStream(of: Int32.self)
        credits = continuation
        let state = state
        pump = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    for await credit in queue {
                        do { try await stream.send(TransferTypes_WindowUpdate.with { $0.update = credit }) } catch { return }
                    }
                }
                group.addTask {
                    do {
                        while let message = try await stream.receive() {
                            // A part without bytes is no end: Go's pipes hand on even empty writes.
                            guard let data = AnyMessages.unpack(message, as: TransferTypes_Data.self), !data.data.isEmpty else { continue }
                            state.update { $0.parts.append(data.data) }
                        }
                        state.update { $0.result = .success(()) }
                    } catch {
                        state.update { $0.result = .failure(error) }
                    }
                    continuation.finish()
                }
            }
        }
        continuation.yield(Self.window)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        let (count, credit) = try state.wait { state -> (Int, Int32)? in
            if let part = state.parts.first {
                let count = min(buffer.count, part.count - state.position)
                part.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[state.position..<(state.position + count)])) }
                state.position += count
                if state.position == part.count {
                    state.parts.removeFirst()
                    state.position = 0
                }
                state.taken += Int32(count)
                guard state.taken >= Self.window / 2 else { return (count, 0) }
                defer { state.taken = 0 }
                return (count, state.taken)
            }
            if let result = state.result {
                try result.get()
                return (0, 0)
            }
            return nil
        }
        if credit > 0 { credits.yield(credit) }
        counter.add(Int64(count))
        return count
    }

    /// Ends the reading, from any thread: a reader that waits gets the error.
    func abort(_ error: any Error) {
        state.update { if $0.result == nil { $0.result = .failure(error) } }
        credits.finish()
        pump.cancel()
    }
}

/// Bytes for a client, written by a thread: sent as far as the client has granted, the thread waits for the rest.
final class OutgoingBytes: ByteSink, Sendable {
    private static let limit = 1 << 20
    private static let message = 256 << 10

    private struct State {
        var parts: [[UInt8]] = []
        var bytes = 0
        var failure: (any Error)?
        var isFinished = false
    }

    private let state = Monitor(State())
    private let wakeups: AsyncStream<Void>.Continuation
    private let sender: Task<Void, any Error>
    private let receiver: Task<Void, Never>

    init(_ stream: ClientStream) {
        let (queue, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        wakeups = continuation
        let state = state
        let granted = ByteCounter()
        receiver = Task {
            do {
                while let message = try await stream.receive() {
                    guard let update = AnyMessages.unpack(message, as: TransferTypes_WindowUpdate.self), update.update > 0 else { continue }
                    granted.add(Int64(update.update))
                    continuation.yield()
                }
            } catch {}
            // A client that half-closes can still read what it has granted, but will grant no more.
            state.update { if !$0.isFinished, $0.failure == nil, granted.current <= 0 { $0.failure = StorageError(.cancelled, "client closed the stream") } }
            continuation.yield()
        }
        sender = Task {
            do {
                for await _ in queue {
                    while true {
                        let room = min(granted.current, Int64(Self.message))
                        if let failure = state.update({ $0.failure }) { throw failure }
                        let next: [UInt8]?? = state.update { state in
                            guard let part = state.parts.first else { return state.isFinished ? .some(nil) : nil }
                            guard room > 0 else { return nil }
                            if part.count <= Int(room) {
                                state.parts.removeFirst()
                                state.bytes -= part.count
                                return part
                            }
                            state.parts[0] = Array(part[Int(room)...])
                            state.bytes -= Int(room)
                            return Array(part[..<Int(room)])
                        }
                        guard let next else { break }
                        guard let part = next else { return }
                        granted.add(-Int64(part.count))
                        try await stream.send(TransferTypes_Data.with { $0.data = Data(part) })
                    }
                }
            } catch {
                state.update { if $0.failure == nil { $0.failure = error } }
                throw error
            }
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer) throws {
        var rest = bytes
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest[..<min(rest.count, Self.message)])
            try state.wait { state -> Void? in
                if let failure = state.failure { throw failure }
                guard state.bytes < Self.limit else { return nil }
                state.parts.append(Array(part))
                state.bytes += part.count
                return ()
            }
            wakeups.yield()
            rest = UnsafeRawBufferPointer(rebasing: rest[part.count...])
        }
    }

    /// Returns when the client has everything.
    func finish() async throws {
        state.update { $0.isFinished = true }
        wakeups.yield()
        do { try await sender.value } catch {
            receiver.cancel()
            throw error
        }
        wakeups.finish()
        receiver.cancel()
    }

    func abort(_ error: any Error) {
        state.update { if $0.failure == nil { $0.failure = error } }
        wakeups.yield()
        wakeups.finish()
        receiver.cancel()
    }
}
