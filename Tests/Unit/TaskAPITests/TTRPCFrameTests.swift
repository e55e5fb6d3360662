import TaskAPI
import Testing

@Suite struct TTRPCFrameTests {
    private func bytes(_ frames: [TTRPCFrame]) -> [UInt8] {
        var out: [UInt8] = []
        for frame in frames { frame.append(to: &out) }
        return out
    }

    @Test func `a header is ten big-endian bytes`() {
        let frame = TTRPCFrame(streamID: 0x0102_0304, kind: .request, flags: 1, payload: [9, 8, 7])
        #expect(bytes([frame]) == [0, 0, 0, 3, 1, 2, 3, 4, 1, 1, 9, 8, 7])
    }

    @Test(arguments: [1, 3, 7, 10, 11, 1000]) func `frames are found however the stream is cut`(piece: Int) throws {
        let frames = (0..<20).map { TTRPCFrame(streamID: UInt32($0 * 2 + 1), kind: .response, payload: Array(repeating: UInt8($0), count: $0 * 3)) }
        let stream = bytes(frames)
        var decoder = TTRPCFrameDecoder(), found: [TTRPCFrame] = []
        for start in stride(from: 0, to: stream.count, by: piece) {
            stream[start..<min(start + piece, stream.count)].withUnsafeBytes { decoder.append($0) }
            while let frame = try decoder.next() { found.append(frame) }
        }
        #expect(found == frames)
    }

    @Test func `a payload beyond four mebibytes ends the connection`() {
        var decoder = TTRPCFrameDecoder()
        [UInt8]([0, 0x40, 0, 1, 0, 0, 0, 1, 1, 0]).withUnsafeBytes { decoder.append($0) }
        #expect(throws: TTRPCFrameDecoder.Failure.tooLarge(0x40_0001)) { try decoder.next() }
    }

    @Test func `an unknown kind of frame ends the connection`() {
        var decoder = TTRPCFrameDecoder()
        [UInt8]([0, 0, 0, 0, 0, 0, 0, 1, 9, 0]).withUnsafeBytes { decoder.append($0) }
        #expect(throws: TTRPCFrameDecoder.Failure.unknownKind(9)) { try decoder.next() }
    }

    @Test func `a request keeps its metadata and timeout`() throws {
        let request = TTRPCRequest(service: "containerd.task.v3.Task", method: "State", payload: [1, 2], timeoutNanoseconds: -5, metadata: [("k", "v"), ("k", "w")])
        let copy = try TTRPCRequest(decoding: request.encoded())
        #expect(copy.service == request.service && copy.method == "State" && copy.payload == [1, 2] && copy.timeoutNanoseconds == -5)
        #expect(copy.metadata.map(\.value) == ["v", "w"])
    }

    @Test func `a failed response carries code and message`() throws {
        let response = try TTRPCResponse(decoding: TTRPCResponse(status: TTRPCStatus(.notFound, "process already finished: not found")).encoded())
        #expect(response.status == TTRPCStatus(.notFound, "process already finished: not found"))
        #expect(try TTRPCResponse(decoding: TTRPCResponse(payload: [5]).encoded()).status == nil)
    }
}
