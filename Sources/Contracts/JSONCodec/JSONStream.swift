/// A document that is being written while the types that make it up go over their fields: no tree, no copy, one buffer.
///
/// Every value that is being encoded has a level on a stack; the containers that a type gets are handles of its level. What a type hands on with `encode` is
/// complete when that call returns, so its text stands where it belongs. Only what stays open beside others (nested containers and super encoders) has a
/// buffer of its own, a stream in the stream, which is put in when the level around it ends.
final class JSONStream {
    /// A value that is being encoded.
    private struct Level {
        enum Kind { case empty, scalar, object, array }

        var kind = Kind.empty
        /// Of its first byte in the output.
        let start: Int
        /// Members or elements that were begun.
        var count = 0
        /// Of the latest member.
        var name = ""
        /// The text of each member, only for dictionaries: their order changes with every run.
        var sorted: [(name: String, start: Int)]?
    }

    @exclusivity(unchecked) private(set) var writer: JSONWriter
    /// Of a container that could not be made: its making cannot throw.
    @exclusivity(unchecked) private var failure: EncodingError?
    @exclusivity(unchecked) private var levels: [Level] = []
    /// Streams in this one, and where in the output they belong.
    @exclusivity(unchecked) private var inner: [(position: Int, stream: JSONStream)] = []
    /// The stream around this one, which outlives it, and the level there that it belongs to.
    private unowned let outer: JSONStream?
    private let outerLevel: Int
    private let layout: JSON.Layout
    /// Levels around this stream, for the indentation.
    private let depth: Int
    private let dictionaryKey: ObjectIdentifier?

    init(layout: JSON.Layout, dictionaryKey: ObjectIdentifier?, outer: JSONStream? = nil, level: Int = -1) {
        writer = JSONWriter(layout: layout, capacity: outer == nil ? 1024 : 64)
        self.layout = layout
        self.dictionaryKey = dictionaryKey
        self.outer = outer
        outerLevel = level
        depth = (outer?.depth ?? 0) + level + 1
        levels.append(Level(start: 0))
    }

    /// How the value at this level is reached: for messages.
    func path(_ level: Int) -> [any CodingKey] {
        var path = outer?.path(outerLevel + 1) ?? []
        for level in levels.prefix(level) {
            switch level.kind {
            case .object: path.append(PathKey(stringValue: level.name))
            case .array: path.append(PathKey(intValue: max(0, level.count - 1)))
            default: break
            }
        }
        return path
    }

    // MARK: Values

    func write<Value: Encodable>(_ value: Value, at level: Int) throws {
        // The commonest ones without their own way through three containers.
        if Value.self == String.self, let text = value as? String {
            try scalar(at: level) { $0.write(text) }
        } else if Value.self == [String].self, let texts = value as? [String] {
            openArray(level)
            for text in texts {
                beginElement(level)
                writer.write(text)
            }
        } else if Value.self == [String: String].self, let map = value as? [String: String] {
            openObject(level, isDictionary: false)
            for (name, text) in map.count < 2 ? Array(map) : map.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
                beginMember(name, level)
                writer.write(text)
            }
        } else {
            try value.encode(to: StreamEncoder(stream: self, level: level))
        }
    }

    func scalar(at level: Int, _ body: (inout JSONWriter) -> Void) throws {
        guard level == levels.count - 1, levels[level].kind == .empty else { throw misplaced(level) }
        levels[level].kind = .scalar
        body(&writer)
    }

    // MARK: Containers

    func openObject<Key>(_ level: Int, keyedBy key: Key.Type) { openObject(level, isDictionary: ObjectIdentifier(key) == dictionaryKey) }

    private func openObject(_ level: Int, isDictionary: Bool) {
        guard opens(.object, level) else { return }
        if isDictionary { levels[level].sorted = [] }
        writer.output.append(UInt8(ascii: "{"))
    }

    func openArray(_ level: Int) { if opens(.array, level) { writer.output.append(UInt8(ascii: "[")) } }

    /// A type may ask for its container several times.
    private func opens(_ kind: Level.Kind, _ level: Int) -> Bool {
        if level < levels.count, levels[level].kind == kind { return false }
        guard level == levels.count - 1, levels[level].kind == .empty else {
            failure = failure ?? misplaced(level)
            return false
        }
        levels[level].kind = kind
        return true
    }

    func count(_ level: Int) -> Int { level < levels.count ? levels[level].count : 0 }

    /// A member whose value follows.
    func member(_ name: String, of level: Int) throws(EncodingError) {
        guard level == levels.count - 1, levels[level].kind == .object else { throw misplaced(level) }
        beginMember(name, level)
    }

    /// A member that stays open.
    func openMember(_ name: String, of level: Int) { do { try member(name, of: level) } catch { failure = failure ?? error } }

    private func beginMember(_ name: String, _ level: Int) {
        writer.separate(isFirst: levels[level].count == 0, level: depth + level + 1)
        levels[level].count += 1
        levels[level].name = name
        levels[level].sorted?.append((name, writer.output.count))
        writer.name(name)
    }

    /// An element whose value follows.
    func element(of level: Int) throws(EncodingError) {
        guard level == levels.count - 1, levels[level].kind == .array else { throw misplaced(level) }
        beginElement(level)
    }

    func openElement(of level: Int) { do { try element(of: level) } catch { failure = failure ?? error } }

    private func beginElement(_ level: Int) {
        writer.separate(isFirst: levels[level].count == 0, level: depth + level + 1)
        levels[level].count += 1
    }

    /// The value of the member or element that was begun.
    func scalar(_ body: (inout JSONWriter) -> Void) { body(&writer) }

    /// The same for a number with a fraction.
    /// - Throws: `EncodingError` for what JSON has no form for.
    func number(_ value: some BinaryFloatingPoint & CustomStringConvertible, at level: Int) throws {
        guard value.isFinite else { throw EncodingError.invalidValue(value, .init(codingPath: path(level), debugDescription: "\(value) has no form in JSON")) }
        writer.write(number: value.description)
    }

    /// The same for a value with a level of its own.
    func value(_ value: some Encodable) throws {
        let level = levels.count
        levels.append(Level(start: writer.output.count))
        try write(value, at: level)
        try close()
    }

    /// The same for a value that stays open beside what follows.
    func opened(in level: Int) -> JSONStream {
        let stream = JSONStream(layout: layout, dictionaryKey: dictionaryKey, outer: self, level: level)
        inner.append((writer.output.count, stream))
        return stream
    }

    // MARK: The end

    /// The innermost value is complete.
    private func close() throws(EncodingError) {
        let number = levels.count - 1
        let start = levels[number].start
        if let failure { throw failure }
        if let latest = inner.last, latest.position >= start { try putIn(from: start) }
        switch levels[number].kind {
        case .scalar: break
        // A type that encodes nothing at all.
        case .empty: writer.append("{}" as StaticString)
        case .object:
            if let members = levels[number].sorted, members.count > 1 { sort(members, level: number) }
            if levels[number].count > 0 { writer.newLine(depth + number) }
            writer.output.append(UInt8(ascii: "}"))
        case .array:
            if levels[number].count > 0 { writer.newLine(depth + number) }
            writer.output.append(UInt8(ascii: "]"))
        }
        levels.removeLast()
    }

    /// - Returns: the whole text.
    func finish() throws(EncodingError) -> [UInt8] {
        try close()
        return writer.output
    }

    private func putIn(from start: Int) throws(EncodingError) {
        var text: [UInt8] = []
        var done = start
        let pieces = inner.filter { $0.position >= start }
        inner.removeAll { $0.position >= start }
        for (position, stream) in pieces {
            text += writer.output[done..<position]
            done = position
            text += try stream.finish()
        }
        text += writer.output[done...]
        writer.output.replaceSubrange(start..., with: text)
    }

    private func sort(_ members: [(name: String, start: Int)], level: Int) {
        let order = members.indices.sorted { members[$0].name.utf8.lexicographicallyPrecedes(members[$1].name.utf8) }
        guard order != Array(members.indices) else { return }
        let begin = members[0].start
        let old = Array(writer.output[begin...])
        // Between two members there is as much as before the first one.
        let separator = begin - levels[level].start
        writer.output.removeSubrange(begin...)
        for (position, index) in order.enumerated() {
            if position > 0 { writer.separate(isFirst: false, level: depth + level + 1) }
            let end = index + 1 < members.count ? members[index + 1].start - separator : begin + old.count
            writer.output += old[(members[index].start - begin)..<(end - begin)]
        }
    }

    private func misplaced(_ level: Int) -> EncodingError {
        EncodingError.invalidValue(level, .init(codingPath: level < levels.count ? path(level) : [], debugDescription: "the value is complete, or another one inside of it is not"))
    }
}
