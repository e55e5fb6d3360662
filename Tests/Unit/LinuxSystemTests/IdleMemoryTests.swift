import Glibc
import LinuxSystem
import Testing

@Suite struct IdleMemoryTests {
    @Test func `only pages that the program cannot have written to are given back`() throws {
        let ranges = MappedRange.unwrittenProgram()
        #expect(!ranges.isEmpty)
        let mapped = String(decoding: try Files.readAll("/proc/self/maps"), as: UTF8.self).split(separator: "\n").compactMap { line -> (start: UInt, end: UInt, rights: Substring)? in
            let fields = line.split(separator: " ", maxSplits: 2)
            let bounds = fields[0].split(separator: "-")
            guard let start = UInt(bounds[0], radix: 16), let end = UInt(bounds[1], radix: 16) else { return nil }
            return (start, end, fields[1])
        }
        for range in ranges {
            let holder = mapped.first { $0.start <= range.start && range.start + UInt(range.length) <= $0.end }
            #expect(holder != nil)
            #expect(holder?.rights.contains("w") == false)
        }
    }

    @Test func `memory is given back once after work, not while it goes on and not again without new work`() {
        var memory = IdleMemory()
        let begin = IdleMemory.processorTime()
        #expect(memory.look(used: begin + 500_000_000) == false)
        #expect(memory.look(used: begin + 900_000_000) == false)
        #expect(memory.look(used: begin + 901_000_000) == true)
        #expect(memory.look() == false)
    }

    @Test func `a process that rests is looked at ever more rarely, at least every eight seconds, and one that works every second`() {
        var memory = IdleMemory()
        let begin = IdleMemory.processorTime()
        memory.look(used: begin)
        memory.look(used: begin)
        // Not less than what the look itself has seen.
        var used = IdleMemory.processorTime()
        var pauses: [Int] = []
        for _ in 0..<8 {
            memory.look(used: used)
            pauses.append(memory.pause)
            used += 100_000
        }
        #expect(pauses == pauses.sorted() && pauses.last == 8)
        memory.look(used: used + 500_000_000)
        #expect(memory.pause == 1)
    }
}
