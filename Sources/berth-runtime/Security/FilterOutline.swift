/// One instruction of classic BPF, of those that seccomp filters consist of (`struct sock_filter`).
struct FilterInstruction {
    /// What `code` can be here.
    enum Code {
        static let load: UInt16 = 0x20, and: UInt16 = 0x54, jump: UInt16 = 0x05, answer: UInt16 = 0x06
        static let ifEqual: UInt16 = 0x15, ifGreater: UInt16 = 0x25, ifNotLess: UInt16 = 0x35, ifAnyBit: UInt16 = 0x45
    }

    let code: UInt16
    let whenTrue: UInt8, whenFalse: UInt8
    let value: UInt32

    init(_ code: UInt16, _ value: UInt32, whenTrue: UInt8 = 0, whenFalse: UInt8 = 0) { (self.code, self.value, self.whenTrue, self.whenFalse) = (code, value, whenTrue, whenFalse) }

    /// As the kernel takes it: 16 bits of code, two jumps of 8 bits, 32 bits of value.
    init(_ word: UInt64) { self.init(UInt16(truncatingIfNeeded: word), UInt32(word >> 32), whenTrue: UInt8(truncatingIfNeeded: word >> 16), whenFalse: UInt8(truncatingIfNeeded: word >> 24)) }
    var word: UInt64 { UInt64(code) | UInt64(whenTrue) << 16 | UInt64(whenFalse) << 24 | UInt64(value) << 32 }

    var isCondition: Bool { code == Code.ifEqual || code == Code.ifGreater || code == Code.ifNotLess || code == Code.ifAnyBit }

    func holds(_ accumulator: UInt32) -> Bool {
        switch code {
        case Code.ifEqual: accumulator == value
        case Code.ifGreater: accumulator > value
        case Code.ifNotLess: accumulator >= value
        default: accumulator & value != 0
        }
    }
}

/// What a filter answers, as a function of a call's architecture and number: found out by running it.
struct FilterOutline {
    /// What is decided by architecture and number.
    enum Outcome: Equatable {
        case answer(UInt32)
        /// The arguments decide, by the part of the program that begins here.
        case arguments(at: Int)
    }

    /// Numbers from `first` on, to the next range or the last number there is.
    struct Range: Equatable {
        let first: UInt32
        let outcome: Outcome
    }

    /// Offsets in `struct seccomp_data`; the arguments, and the address of the call, are behind these two.
    private static let number: UInt32 = 0, architecture: UInt32 = 4

    let program: [FilterInstruction]
    /// By architecture as the kernel tells it.
    let known: [(architecture: UInt32, ranges: [Range])]
    /// On every architecture that is not named.
    let others: [Range]

    /// nil for a program with anything that filters of libseccomp do not have.
    init?(_ words: [UInt64]) {
        program = words.map(FilterInstruction.init)
        guard let constants = Self.constants(of: program) else { return nil }
        var foreign: UInt32 = 1
        while constants.architectures.contains(foreign) { foreign += 1 }
        let boundaries = constants.numbers.sorted()
        var known: [(UInt32, [Range])] = []
        for architecture in constants.architectures.sorted() {
            guard let ranges = Self.ranges(of: program, architecture, boundaries) else { return nil }
            known.append((architecture, ranges))
        }
        guard let others = Self.ranges(of: program, foreign, boundaries) else { return nil }
        (self.known, self.others) = (known, others)
    }

    /// The first numbers after which an answer may be another, and the architectures that are told apart. Jumps lead forward only, so that one walk finds every instruction
    /// with whatever may be loaded there.
    private static func constants(of program: [FilterInstruction]) -> (numbers: Set<UInt32>, architectures: Set<UInt32>)? {
        var numbers: Set<UInt32> = [0], architectures: Set<UInt32> = []
        // By instruction: whether it is reached with the number, with the architecture, with nothing loaded.
        var reached = [(number: Bool, architecture: Bool, nothing: Bool)](repeating: (false, false, false), count: program.count)
        guard !program.isEmpty else { return nil }
        reached[0].nothing = true
        for (position, instruction) in program.enumerated() {
            let state = reached[position]
            guard state.number || state.architecture || state.nothing else { continue }
            func pass(_ state: (number: Bool, architecture: Bool, nothing: Bool), to target: Int) -> Bool {
                guard target < program.count else { return false }
                let old = reached[target]
                reached[target] = (old.number || state.number, old.architecture || state.architecture, old.nothing || state.nothing)
                return true
            }
            switch instruction.code {
            case FilterInstruction.Code.answer: continue
            case FilterInstruction.Code.load:
                if instruction.value != number && instruction.value != architecture { continue }
                guard pass((instruction.value == number, instruction.value == architecture, false), to: position + 1) else { return nil }
            case FilterInstruction.Code.jump: guard pass(state, to: position + 1 + Int(instruction.value)) else { return nil }
            case FilterInstruction.Code.ifEqual, FilterInstruction.Code.ifGreater, FilterInstruction.Code.ifNotLess:
                if state.nothing || state.architecture && instruction.code != FilterInstruction.Code.ifEqual { return nil }
                if state.architecture { architectures.insert(instruction.value) }
                if state.number {
                    if instruction.code != FilterInstruction.Code.ifGreater { numbers.insert(instruction.value) }
                    if instruction.code != FilterInstruction.Code.ifNotLess, instruction.value < UInt32.max { numbers.insert(instruction.value + 1) }
                }
                guard pass(state, to: position + 1 + Int(instruction.whenTrue)), pass(state, to: position + 1 + Int(instruction.whenFalse)) else { return nil }
            default: return nil
            }
        }
        return (numbers, architectures)
    }

    private static func ranges(of program: [FilterInstruction], _ architecture: UInt32, _ boundaries: [UInt32]) -> [Range]? {
        var ranges: [Range] = []
        for first in boundaries {
            guard let outcome = run(program, architecture, first) else { return nil }
            if ranges.last?.outcome != outcome { ranges.append(Range(first: first, outcome: outcome)) }
        }
        return ranges
    }

    private static func run(_ program: [FilterInstruction], _ architecture: UInt32, _ number: UInt32) -> Outcome? {
        var position = 0
        var accumulator: UInt32 = 0
        while position < program.count {
            let instruction = program[position]
            switch instruction.code {
            case FilterInstruction.Code.answer: return .answer(instruction.value)
            case FilterInstruction.Code.load:
                switch instruction.value {
                case Self.number: accumulator = number
                case Self.architecture: accumulator = architecture
                default: return dependsOnArgumentsAlone(program, from: position) ? .arguments(at: position) : nil
                }
                position += 1
            case FilterInstruction.Code.jump: position += 1 + Int(instruction.value)
            default:
                guard instruction.isCondition else { return nil }
                position += 1 + Int(instruction.holds(accumulator) ? instruction.whenTrue : instruction.whenFalse)
            }
        }
        return nil
    }

    /// Whether number and architecture are not asked for again.
    private static func dependsOnArgumentsAlone(_ program: [FilterInstruction], from start: Int) -> Bool {
        guard let reached = reachable(program, from: [start]) else { return false }
        return reached.allSatisfy { position in
            let instruction = program[position]
            return instruction.code != FilterInstruction.Code.load || instruction.value > architecture
        }
    }

    /// Every instruction that can be executed from one of `starts` on, in their order; nil when there is one that is not known.
    static func reachable(_ program: [FilterInstruction], from starts: [Int]) -> [Int]? {
        var isReached = [Bool](repeating: false, count: program.count)
        for start in starts { isReached[start] = true }
        for position in program.indices where isReached[position] {
            let instruction = program[position]
            let targets: [Int]
            switch instruction.code {
            case FilterInstruction.Code.answer: targets = []
            case FilterInstruction.Code.jump: targets = [position + 1 + Int(instruction.value)]
            case FilterInstruction.Code.load, FilterInstruction.Code.and: targets = [position + 1]
            default:
                guard instruction.isCondition else { return nil }
                targets = [position + 1 + Int(instruction.whenTrue), position + 1 + Int(instruction.whenFalse)]
            }
            for target in targets {
                guard target < program.count else { return nil }
                isReached[target] = true
            }
        }
        return program.indices.filter { isReached[$0] }
    }
}
