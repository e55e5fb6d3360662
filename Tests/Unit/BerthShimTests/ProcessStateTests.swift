import TaskAPI
import Testing

@testable import berth_shim

@Suite struct ProcessStateTests {
    private let record = ExitRecord(status: 7, time: Timestamp(seconds: 1, nanoseconds: 0))

    @Test func `an exit that overtakes the start is told after it`() {
        var state = ProcessState(phase: .created)
        let answer1 = state.beginStart()
        #expect(answer1)
        let answer2 = state.exited(record)
        #expect(answer2 == [])
        #expect(state.hasEnded && state.exit == nil)
        let answer3 = state.started()
        #expect(answer3 == [.publishStart, .publishExit(record)])
        #expect(state.phase == .stopped)
    }

    @Test func `an exit during creation is told when the creation has been`() {
        var state = ProcessState(phase: .creating)
        let answer4 = state.exited(record)
        #expect(answer4 == [])
        let answer5 = state.created()
        #expect(answer5 == [.publishExit(record)])
    }

    @Test func `a container killed before its start has an exit and no start`() {
        var state = ProcessState(phase: .creating)
        let answer6 = state.created()
        #expect(answer6 == [])
        let answer7 = state.exited(record)
        #expect(answer7 == [.publishExit(record)])
        let answer8 = state.beginStart()
        #expect(!answer8)
    }

    @Test func `an exit is told once`() {
        var state = ProcessState(phase: .created)
        _ = state.beginStart()
        _ = state.started()
        let answer9 = state.exited(record)
        #expect(answer9 == [.publishExit(record)])
        let answer10 = state.exited(record)
        #expect(answer10 == [])
    }

    @Test func `two starts at a time are one`() {
        var state = ProcessState(phase: .created)
        let answer11 = state.beginStart()
        #expect(answer11)
        let answer12 = state.beginStart()
        #expect(!answer12)
    }

    @Test func `a failed exec is over and a failed init start is not`() {
        var exec = ProcessState(phase: .created)
        _ = exec.beginStart()
        let answer13 = exec.startFailed(processExists: false, at: record.time)
        #expect(answer13 == [])
        #expect(exec.phase == .stopped && exec.exit?.status == 255)

        var initProcess = ProcessState(phase: .created)
        _ = initProcess.beginStart()
        let answer14 = initProcess.startFailed(processExists: true, at: record.time)
        #expect(answer14 == [])
        #expect(initProcess.phase == .created && initProcess.exit == nil)
    }
}
