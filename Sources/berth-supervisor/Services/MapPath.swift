/// Paths of field masks that name one entry of a map: `labels.KEY`, `extensions.KEY`.
enum MapPath {
    /// Takes the entry that `path` names over from the message of an update. A label without a value goes.
    /// - Returns: whether the path names an entry.
    static func apply<Message, Extension>(
        _ path: String, of change: Message, to updated: inout Message, labels: WritableKeyPath<Message, [String: String]>,
        extensions: WritableKeyPath<Message, [String: Extension]>
    ) -> Bool {
        if path.hasPrefix("labels.") {
            let key = String(path.dropFirst("labels.".count))
            updated[keyPath: labels][key] = change[keyPath: labels][key].flatMap { $0.isEmpty ? nil : $0 }
        } else if path.hasPrefix("extensions.") {
            let key = String(path.dropFirst("extensions.".count))
            updated[keyPath: extensions][key] = change[keyPath: extensions][key]
        } else {
            return false
        }
        return true
    }
}
