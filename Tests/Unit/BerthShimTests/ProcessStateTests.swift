import TaskAPI
import Testing

@testable import berth_shim

@Suite struct ProcessStateTests {
    private let record = ExitRecord(status: 7, time: Timestamp(seconds: 1, nanoseconds: 0))

    @Test func `an exit that overtakes the start is told after it`() {
        var state = ProcessState(phase: .created)
        #expect(state.beginStart())
        #expect(state.exited(record) == [])
        #expect(state.hasEnded && state.exit == nil)
        #expect(state.started() == [.publishStart, .publishExit(record)])
        #expect(state.phase == .stopped)
    }

    @Test func `an exit during creation is told when the creation has been`() {
        var state = ProcessState(phase: .creating)
        #expect(state.exited(record) == [])
        #expect(state.created() == [.publishExit(record)])
    }

    @Test func `a container killed before its start has an exit and no start`() {
        var state = ProcessState(phase: .creating)
        #expect(state.created() == [])
        #expect(state.exited(record) == [.publishExit(record)])
        #expect(!state.beginStart())
    }

    @Test func `an exit is told once`() {
        var state = ProcessState(phase: .created)
        _ = state.beginStart()
        _ = state.started()
        #expect(state.exited(record) == [.publishExit(record)])
        #expect(state.exited(record) == [])
    }

    @Test func `two starts at a time are one`() {
        var state = ProcessState(phase: .created)
        #expect(state.beginStart())
        #expect(!state.beginStart())
    }

    @Test func `a failed exec is over and a failed init start is not`() {
        var exec = ProcessState(phase: .created)
        _ = exec.beginStart()
        #expect(exec.startFailed(processExists: false, at: record.time) == [])
        #expect(exec.phase == .stopped && exec.exit?.status == 255)

        var initProcess = ProcessState(phase: .created)
        _ = initProcess.beginStart()
        #expect(initProcess.startFailed(processExists: true, at: record.time) == [])
        #expect(initProcess.phase == .created && initProcess.exit == nil)
    }
}
