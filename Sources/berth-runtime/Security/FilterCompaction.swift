/// A filter that answers what another one does, with fewer instructions.
///
/// libseccomp compares a call's number with every number of the profile, one by one in the leaves of a tree: 1259 instructions for Docker's on three architectures. Here runs of numbers with one
/// outcome are a range each, and the ranges a balanced tree whose leaves are shared: 330, and eight comparisons for any call. What depends on arguments is taken over as it is. The kernel checks and translates each
/// instruction when a filter is loaded, and asks it about every number: that is the longest call of a container's start, and takes a third of the time.
///
/// Layout:
///
///     load architecture
///     is it the first? → load number, tree of its ranges
///     is it the next? …
///     tree of the ranges for all others
///     the parts that look at arguments
enum FilterCompaction {
    /// An instruction whose place is known, or a jump to what stood at a place of the old program.
    private enum Item {
        case instruction(FilterInstruction)
        case part(at: Int)
    }

    /// Largest distance of a conditional jump.
    private static let reach = 255

    /// - Returns: `program` itself when there is something in it that is not known, or nothing to be gained.
    static func compact(_ program: [UInt64]) -> [UInt64] {
        guard let outline = FilterOutline(program), let parts = FilterOutline.reachable(outline.program, from: entries(outline)) else { return program }
        var items: [Item] = [.instruction(FilterInstruction(FilterInstruction.Code.load, 4))]
        for (architecture, ranges) in outline.known {
            let section = section(ranges)
            items.append(.instruction(FilterInstruction(FilterInstruction.Code.ifEqual, architecture, whenTrue: 1)))
            items.append(.instruction(FilterInstruction(FilterInstruction.Code.jump, UInt32(section.count))))
            items += section
        }
        items += section(outline.others)
        var place = [Int](repeating: 0, count: outline.program.count)
        for (index, position) in parts.enumerated() { place[position] = items.count + index }
        var result: [UInt64] = []
        result.reserveCapacity(items.count + parts.count)
        for item in items {
            switch item {
            case .instruction(let instruction): result.append(instruction.word)
            case .part(let position): result.append(FilterInstruction(FilterInstruction.Code.jump, UInt32(place[position] - result.count - 1)).word)
            }
        }
        for position in parts { result.append(moved(outline.program[position], from: position, place).word) }
        return result.count < program.count ? result : program
    }

    private static func entries(_ outline: FilterOutline) -> [Int] {
        (outline.known.flatMap(\.ranges) + outline.others).compactMap { if case .arguments(let position) = $0.outcome { position } else { nil } }
    }

    private static func section(_ ranges: [FilterOutline.Range]) -> [Item] {
        // Where the number does not matter it is not loaded.
        (ranges.count > 1 ? [.instruction(FilterInstruction(FilterInstruction.Code.load, 0))] : []) + tree(ranges[...])
    }

    /// A block; halves of it where that is too long for a conditional jump.
    private static func tree(_ ranges: ArraySlice<FilterOutline.Range>) -> [Item] {
        if let block = block(ranges) { return block }
        let middle = (ranges.startIndex + ranges.endIndex) / 2
        let below = tree(ranges[..<middle])
        return [
            .instruction(FilterInstruction(FilterInstruction.Code.ifNotLess, ranges[middle].first, whenFalse: 1)),
            .instruction(FilterInstruction(FilterInstruction.Code.jump, UInt32(below.count))),
        ] + below + tree(ranges[middle...])
    }

    /// One comparison for each border between two ranges, and behind all of them what they lead to, each outcome once. nil when a jump would not reach it.
    private static func block(_ ranges: ArraySlice<FilterOutline.Range>) -> [Item]? {
        var outcomes: [FilterOutline.Outcome] = []
        for range in ranges where !outcomes.contains(range.outcome) { outcomes.append(range.outcome) }
        let comparisons = ranges.count - 1
        guard comparisons + outcomes.count <= reach else { return nil }
        var items: [Item] = []
        /// Where the number is decided on: a comparison that is added, with all that follow from it, or the outcome.
        func place(of ranges: ArraySlice<FilterOutline.Range>) -> Int {
            if ranges.count == 1, let only = ranges.first { return comparisons + (outcomes.firstIndex(of: only.outcome) ?? 0) }
            let middle = (ranges.startIndex + ranges.endIndex) / 2
            let own = items.count
            items.append(.part(at: 0))  // until both ways are known
            let below = place(of: ranges[..<middle]), above = place(of: ranges[middle...])
            items[own] = .instruction(
                FilterInstruction(FilterInstruction.Code.ifNotLess, ranges[middle].first, whenTrue: UInt8(above - own - 1), whenFalse: UInt8(below - own - 1)))
            return own
        }
        _ = place(of: ranges)
        return items + outcomes.map { outcome in
            switch outcome {
            case .answer(let value): .instruction(FilterInstruction(FilterInstruction.Code.answer, value))
            case .arguments(let position): .part(at: position)
            }
        }
    }

    /// With its jumps as far as they lead now: never farther than before, since nothing is put between.
    private static func moved(_ old: FilterInstruction, from position: Int, _ place: [Int]) -> FilterInstruction {
        func distance(_ jump: Int) -> Int { place[position + 1 + jump] - place[position] - 1 }
        if old.code == FilterInstruction.Code.jump { return FilterInstruction(old.code, UInt32(distance(Int(old.value)))) }
        guard old.isCondition else { return old }
        return FilterInstruction(old.code, old.value, whenTrue: UInt8(distance(Int(old.whenTrue))), whenFalse: UInt8(distance(Int(old.whenFalse))))
    }
}
