/// Any JSON, with the order of members and the text of numbers kept.
///
/// The client passes on what an engine says, including members that are younger than the client (`inspect`, `--format '{{json .}}'`, templates), so replies stay
/// open values here; `DockerAPI` holds the typed side for the daemon, and the tests decode what the client sends with it.
enum JSONValue: Sendable, Equatable {
    case null
    case bool(Bool)
    /// As written, so that no digit is lost.
    case number(String)
    case string(String)
    case array([JSONValue])
    case object(JSONObject)

    static func int(_ value: Int64) -> JSONValue { .number(String(value)) }
    static func int(_ value: Int) -> JSONValue { .number(String(value)) }
    static func strings(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }

    /// The member of an object; nil for anything else, and for a member that is missing.
    subscript(_ key: String) -> JSONValue? {
        if case .object(let object) = self { object[key] } else { nil }
    }

    var stringValue: String? { if case .string(let value) = self { value } else { nil } }
    var boolValue: Bool? { if case .bool(let value) = self { value } else { nil } }
    var arrayValue: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
    var objectValue: JSONObject? { if case .object(let value) = self { value } else { nil } }
    var isNull: Bool { self == .null }

    var intValue: Int64? {
        guard case .number(let text) = self else { return nil }
        return Int64(text) ?? Double(text).flatMap { Int64(exactly: $0.rounded(.towardZero)) }
    }

    var doubleValue: Double? { if case .number(let text) = self { Double(text) } else { nil } }
}

/// Lookups that read well where a reply may leave a member out.
extension JSONValue {
    func string(_ key: String) -> String { self[key]?.stringValue ?? "" }
    func int(_ key: String) -> Int64 { self[key]?.intValue ?? 0 }
    func double(_ key: String) -> Double { self[key]?.doubleValue ?? 0 }
    func bool(_ key: String) -> Bool { self[key]?.boolValue ?? false }
    func array(_ key: String) -> [JSONValue] { self[key]?.arrayValue ?? [] }
    func strings(_ key: String) -> [String] { array(key).compactMap(\.stringValue) }
    func object(_ key: String) -> JSONObject { self[key]?.objectValue ?? JSONObject() }
}

/// The members of an object in the order they were written. Objects on this API are small, so a lookup walks them.
struct JSONObject: Sendable, Equatable {
    struct Member: Sendable, Equatable {
        var key: String
        var value: JSONValue
    }

    private(set) var members: [Member] = []

    init() {}
    init(_ pairs: [(String, JSONValue)]) { members = pairs.map { Member(key: $0.0, value: $0.1) } }

    var isEmpty: Bool { members.isEmpty }
    var keys: [String] { members.map(\.key) }

    subscript(_ key: String) -> JSONValue? {
        get { members.first { $0.key == key }?.value }
        set {
            let index = members.firstIndex { $0.key == key }
            switch (index, newValue) {
            case (let index?, let value?): members[index].value = value
            case (nil, let value?): members.append(Member(key: key, value: value))
            case (let index?, nil): members.remove(at: index)
            case (nil, nil): break
            }
        }
    }

    /// Adds without looking for an older member; for the parser.
    mutating func append(_ key: String, _ value: JSONValue) { members.append(Member(key: key, value: value)) }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral, ExpressibleByDictionaryLiteral,
    ExpressibleByArrayLiteral
{
    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .bool(value) }
    init(integerLiteral value: Int64) { self = .int(value) }
    init(dictionaryLiteral elements: (String, JSONValue)...) { self = .object(JSONObject(elements)) }
    init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
}
