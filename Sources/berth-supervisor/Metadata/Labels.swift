import BerthDefaults
import FoundationEssentials
import Glibc
import JSONCodec

/// Labels as the database keeps them: a JSON object of strings with sorted keys.
enum Labels {
    /// containerd's limit on key and value together.
    static let maximumLength = 4096

    static func encode(_ labels: [String: String]) -> String {
        if labels.isEmpty { return "{}" }
        return (try? JSON.encode(labels)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
    }

    static func decode(_ text: String) -> [String: String] {
        if text == "{}" { return [:] }
        return (try? JSONDecoder().decode([String: String].self, from: Data(text.utf8))) ?? [:]
    }

    static func validate(_ labels: [String: String]) throws(StorageError) {
        for (key, value) in labels where key.utf8.count + value.utf8.count > maximumLength {
            throw StorageError(
                .invalidArgument,
                "label key and value length (\(key.utf8.count + value.utf8.count) bytes) greater than maximum size (\(maximumLength) bytes), key: \(key.prefix(64)): invalid argument")
        }
    }

    /// Labels after an update with a field mask: "labels" or no path replaces them all, "labels.KEY" sets one or, with an empty value, takes it away.
    static func updated(_ old: [String: String], with new: [String: String], paths: [String]) throws(StorageError) -> [String: String] {
        try validate(new)
        if paths.isEmpty || paths.contains("labels") { return new.filter { !$0.value.isEmpty } }
        var result = old
        for path in paths {
            guard path.hasPrefix("labels.") else { throw StorageError(.invalidArgument, "cannot update \(path) field: invalid argument") }
            let key = String(path.dropFirst("labels.".count))
            if let value = new[key], !value.isEmpty { result[key] = value } else { result[key] = nil }
        }
        return result
    }
}

/// The time as the database keeps it.
enum Clock {
    /// Nanoseconds since 1970.
    static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
