import TaskAPI
import Testing

@Suite struct TaskMessageTests {
    @Test func `a create request survives the wire`() throws {
        var options = RuntimeOptions()
        options.binaryName = "crun"
        options.systemdCgroup = true
        options.ioUID = 1000
        let request = CreateTaskRequest(
            id: "web", bundle: "/run/b", rootfs: [MountMessage(type: "overlay", source: "overlay", options: ["lowerdir=/a:/b", "ro"])],
            stdio: StdioAddresses(stdin: "", stdout: "/out", stderr: "/err", terminal: true),
            options: AnyMessage(typeURL: "type.googleapis.com/containerd.runc.v1.Options", value: options.encoded()))
        let copy = try CreateTaskRequest(decoding: request.encoded())
        #expect(copy.id == "web" && copy.bundle == "/run/b" && copy.rootfs == request.rootfs && copy.stdio == request.stdio)
        #expect(copy.options?.typeName == RuntimeOptions.typeName)
        #expect(try RuntimeOptions(decoding: copy.options?.value ?? []) == options)
    }

    /// containerd's Go client sends the second to every runtime whose name it does not know.
    @Test func `options are read from both messages that clients send`() throws {
        let create: [UInt8] = [8, 1, 64, 1, 74, 2, 47, 97, 80, 5, 88, 6, 98, 2, 47, 119, 106, 2, 47, 105]
        let options = try RuntimeOptions(AnyMessage(typeURL: "containerd.linux.runc.CreateOptions", value: create))
        #expect(options.noPivotRoot && options.noNewKeyring && options.shimCgroup == "/a" && options.ioUID == 5 && options.ioGID == 6)
        #expect(options.criuWorkPath == "/w" && options.criuImagePath == "/i")
        #expect(!RuntimeOptions.accepts(AnyMessage(typeURL: "containerd.linux.runc.RuncOptions", value: [])))

        let checkpoint = try CheckpointTaskOptions(AnyMessage(typeURL: "containerd.runc.v1.CheckpointOptions", value: [8, 1, 40, 1, 74, 2, 47, 119]))
        #expect(checkpoint.exits && checkpoint.fileLocks && !checkpoint.openTCP && checkpoint.workPath == "/w")
        let older = try CheckpointTaskOptions(AnyMessage(typeURL: "containerd.linux.runc.CheckpointOptions", value: [16, 1, 50, 1, 97, 66, 2, 47, 119]))
        #expect(!older.exits && older.openTCP && older.emptyNamespaces == ["a"] && older.workPath == "/w")
        #expect(throws: ProtobufError.self) { try CheckpointTaskOptions(AnyMessage(typeURL: "some.Other", value: [])) }
        #expect(try CheckpointTaskOptions(nil) == CheckpointTaskOptions())
    }

    /// Bytes as protoc writes them: the numbers are containerd's, not ours to choose.
    @Test func `field numbers are containerd's`() throws {
        #expect(DeleteResponse(pid: 7, exitStatus: 137, exitedAt: Timestamp(seconds: 1, nanoseconds: 2)).encoded() == [8, 7, 16, 137, 1, 26, 4, 8, 1, 16, 2])
        #expect(KillRequest(id: "a", execID: "b", signal: 9, all: true).encoded() == [10, 1, 97, 18, 1, 98, 24, 9, 32, 1])
        #expect(BootstrapResult(version: 3, address: "u").encoded() == [8, 3, 18, 1, 117, 26, 5, 116, 116, 114, 112, 99])
    }

    @Test func `an empty message is no bytes and is read from none`() throws {
        #expect(PidResponse(pid: 0).encoded().isEmpty)
        #expect(try ProcessRequest(decoding: []).id.isEmpty)
    }

    @Test func `a malformed message is refused`() {
        #expect(throws: ProtobufError.self) { try ProcessRequest(decoding: [0xff, 0xff]) }
    }

    @Test func `an event travels in its envelope`() throws {
        let event = TaskEvent.exit(container: "c", process: "e", pid: 4, status: 3, at: Timestamp(seconds: 5, nanoseconds: 6))
        let envelope = EventEnvelope(timestamp: Timestamp(seconds: 9, nanoseconds: 0), namespace: "moby", topic: event.topic, event: event.message())
        let copy = try EventEnvelope(decodingForwardRequest: envelope.forwardRequest())
        #expect(copy.topic == "/tasks/exit" && copy.namespace == "moby" && copy.event.typeURL == "containerd.events.TaskExit")
        #expect(copy.event.value == [10, 1, 99, 18, 1, 101, 24, 4, 32, 3, 42, 4, 8, 5, 16, 6])
    }

    @Test func `state keeps the stopped process's exit`() throws {
        let state = StateResponse(
            id: "c", bundle: "/b", pid: 3, status: .stopped, stdio: StdioAddresses(), exitStatus: 42, exitedAt: Timestamp(seconds: 8, nanoseconds: 1), execID: "x")
        let copy = try StateResponse(decoding: state.encoded())
        #expect(copy.status == .stopped && copy.exitStatus == 42 && copy.exitedAt == state.exitedAt && copy.execID == "x")
    }
}
