import BerthDefaults
import LinuxSystem
import SystemdBus

/// `org.systemd.property.NAME` annotations: properties of the container's unit that whoever writes the config may set.
///
/// Annotations come from users and images, and most properties act on the host (`SuccessAction=poweroff-force`, CVE-2024-3154), start other units or undo
/// what the runtime decides. So there is a list of those that only say how this unit is weighed, ordered and ended; any other is refused.
enum SystemdAnnotations {
    private static let prefix = "org.systemd.property."

    private enum Kind { case boolean, integer, number, microseconds, text, texts }

    private static let allowed: [String: Kind] = [
        "Description": .text, "CollectMode": .text, "KillMode": .text, "OOMPolicy": .text, "ManagedOOMSwap": .text, "ManagedOOMMemoryPressure": .text,
        "KillSignal": .integer, "SendSIGHUP": .boolean, "SendSIGKILL": .boolean, "DefaultDependencies": .boolean,
        "TimeoutStopUSec": .microseconds, "RuntimeMaxUSec": .microseconds,
        "CPUWeight": .number, "StartupCPUWeight": .number, "IOWeight": .number, "StartupIOWeight": .number,
        "MemoryMin": .number, "MemoryLow": .number, "MemoryHigh": .number, "MemoryMax": .number, "MemorySwapMax": .number, "TasksMax": .number,
        "After": .texts, "Before": .texts,
    ]

    /// In the order of their names.
    static func properties(_ annotations: [String: String]) throws(RuntimeError) -> [SystemdManager.Property] {
        var list: [SystemdManager.Property] = []
        for (key, text) in annotations.sorted(by: { $0.key < $1.key }) where key.hasPrefix(prefix) {
            var name = String(key.dropFirst(prefix.count))
            func refused(_ problem: String) -> RuntimeError { RuntimeError(.invalidArgument, "annotations: \(key): \(problem)") }
            // Times are written as systemd's files have them, in seconds, or as its bus has them.
            let isSeconds = name.hasSuffix("Sec") && !name.hasSuffix("USec")
            if isSeconds { name = "\(name.dropLast(3))USec" }
            guard let kind = allowed[name] else { throw refused("not a property that a container may set") }
            guard !text.utf8.contains(where: { $0 < 0x20 || $0 == 0x7F }) else { throw refused("the value has control characters") }
            guard let value = value(text, kind, isSeconds: isSeconds) else { throw refused("invalid value \(text)") }
            list.append(.init(name, value))
        }
        return list
    }

    /// In GVariant's text form: `true`, `uint64 5`, `'text'`, `['a', 'b']`.
    private static func value(_ text: String, _ kind: Kind, isSeconds: Bool) -> BusValue? {
        switch kind {
        case .boolean: return text == "true" ? .boolean(true) : text == "false" ? .boolean(false) : nil
        case .integer: return Int32(number(text)).map { .int32($0) }
        case .number: return UInt64(number(text)).map { .uint64($0) }
        case .microseconds:
            guard let value = UInt64(number(text)) else { return nil }
            let scaled = value.multipliedReportingOverflow(by: isSeconds ? 1_000_000 : 1)
            return scaled.overflow ? nil : .uint64(scaled.partialValue)
        case .text: return quoted(text[...]).map { .string($0) }
        case .texts:
            guard text.hasPrefix("["), text.hasSuffix("]") else { return nil }
            var list: [String] = []
            for part in text.dropFirst().dropLast().fields(by: ",") {
                guard let item = quoted(part.drop { $0 == " " }) else { return nil }
                list.append(item)
            }
            return .strings(list)
        }
    }

    /// The digits of "uint64 5", or of "5" alone.
    private static func number(_ text: String) -> Substring {
        for type in ["uint32 ", "uint64 ", "int32 ", "int64 "] where text.hasPrefix(type) { return text.dropFirst(type.count) }
        return text[...]
    }

    private static func quoted(_ text: Substring) -> String? {
        var text = text
        while text.last == " " { text.removeLast() }
        guard text.utf8.count >= 2, let mark = text.first, mark == "'" || mark == "\"", text.last == mark else { return nil }
        let inner = text.dropFirst().dropLast()
        return inner.contains(mark) || inner.contains("\\") ? nil : String(inner)
    }
}
