import LinuxSystem
import Testing

@Suite struct ProgramArgumentsTests {
    @Test("the words from the stack are those that the library reads from procfs")
    func agree() {
        #expect(ProgramArguments.all == CommandLine.arguments)
        #expect(ProgramArguments.all.count > 0)
    }
}
