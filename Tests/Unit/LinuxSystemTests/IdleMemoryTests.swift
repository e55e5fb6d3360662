import LinuxSystem
import Testing

@Suite struct IdleMemoryTests {
    private let maps = """
        00200000-02c53000 r-xp 00000000 fe:00 4207 /usr/local/bin/berthd
        02c53000-02d81000 r--p 02a53000 fe:00 4207 /usr/local/bin/berthd
        02d82000-052f0000 rw-p 02b82000 fe:00 4207 /usr/local/bin/berthd
        7f0000000000-7f0000021000 rw-p 00000000 00:00 0
        7f6fc0000000-7f6fc00f4000 r-xp 00000000 fe:00 99 /usr/lib/x86_64-linux-gnu/libsqlite3.so.0.8.6
        7ffc00000000-7ffc00002000 r-xp 00000000 00:00 0 [vdso]
        """

    @Test func `only the code of the program itself is given back, never pages that it may have written`() {
        #expect(MappedRange.code(of: "/usr/local/bin/berthd", in: maps) == [MappedRange(start: 0x200000, length: 0x2a53000)])
    }

    @Test func `a program whose name is not known keeps its pages`() {
        #expect(MappedRange.code(of: "", in: maps).isEmpty)
        #expect(MappedRange.code(of: "/usr/local/bin/berthd (deleted)", in: maps).isEmpty)
    }

    @Test func `lines that are none are passed over`() {
        #expect(MappedRange.code(of: "/x", in: "nonsense\n5-1 r-xp 0 0 0 /x\nzz-ff r-xp 0 0 0 /x\n\n").isEmpty)
    }

    @Test func `memory is given back once after work, not while it goes on and not again without new work`() {
        var memory = IdleMemory()
        let begin = IdleMemory.processorTime()
        #expect(memory.look(used: begin + 500_000_000) == false)
        #expect(memory.look(used: begin + 900_000_000) == false)
        #expect(memory.look(used: begin + 901_000_000) == true)
        #expect(memory.look() == false)
    }
}
