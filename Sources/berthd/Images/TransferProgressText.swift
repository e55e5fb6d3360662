import ContainerdAPI
import DockerAPI
import OCISpec

/// Turns the supervisor's events of a pull into the lines that a Docker client draws. Pure: events in, messages out.
struct PullProgressText {
    private let reference: ImageReference
    private var saidFrom = false
    /// What there is to say about layers while nothing is fetched yet. A pull of what is here already says nothing about layers at all, as in dockerd.
    private var heldBack: [ProgressMessage] = []
    private var isFetching = false
    private(set) var digest: String?

    init(_ reference: ImageReference) { self.reference = reference }

    mutating func take(_ event: TransferTypes_Progress) -> [ProgressMessage] {
        if event.event == "saved" || event.event == "fetching image content", event.hasDesc { digest = event.desc.digest }
        guard let id = Self.layerID(event) else {
            // The first word about any content of the image means that its reference was resolved.
            guard !saidFrom, event.hasDesc else { return [] }
            saidFrom = true
            return [.status("Pulling from \(reference.path)", id: reference.tag ?? reference.digest?.description ?? "latest")]
        }
        var messages: [ProgressMessage] = []
        if !saidFrom {
            saidFrom = true
            messages.append(.status("Pulling from \(reference.path)", id: reference.tag ?? reference.digest?.description ?? "latest"))
        }
        switch event.event {
        case "waiting": messages.append(.status("Pulling fs layer", id: id))
        case "downloading": messages.append(.status("Downloading", id: id, current: event.progress, total: event.total))
        case "complete": messages.append(.status("Download complete", id: id))
        case "extracting": messages.append(.status("Extracting", id: id, current: event.progress, total: event.total))
        case "extracted": messages.append(.status("Pull complete", id: id))
        case "already exists": messages.append(.status("Already exists", id: id))
        default: break
        }
        if !isFetching && event.event != "waiting" && event.event != "already exists" {
            isFetching = true
            let held = heldBack
            heldBack = []
            return held + messages
        }
        if isFetching { return messages }
        heldBack += messages.filter { $0.id == id }
        return messages.filter { $0.id != id }
    }

    /// The last two lines.
    func summary(before: String?, after: String) -> [ProgressMessage] {
        let name = reference.familiar
        // Every layer was here from other images: told now, for nothing else speaks of them.
        let layers: [ProgressMessage] = before == after ? [] : heldBack
        return layers + [
            .status("Digest: \(after)"),
            .status(before == after ? "Status: Image is up to date for \(name)" : "Status: Downloaded newer image for \(name)"),
        ]
    }

    /// Twelve digits of a layer's digest; nil for everything else.
    static func layerID(_ event: TransferTypes_Progress) -> String? {
        guard event.name.hasPrefix("layer-sha256:") else { return nil }
        return String(event.name.dropFirst("layer-sha256:".count).prefix(12))
    }
}

/// The same for a push.
struct PushProgressText {
    private var known: Set<String> = []

    mutating func take(_ event: TransferTypes_Progress) -> [ProgressMessage] {
        guard let id = PullProgressText.layerID(event) else { return [] }
        switch event.event {
        case "waiting": return known.insert(id).inserted ? [.status("Preparing", id: id)] : [.status("Waiting", id: id)]
        case "uploading": return [.status("Pushing", id: id, current: event.progress, total: event.total)]
        case "complete": return [.status("Pushed", id: id)]
        case "already exists": return [.status("Layer already exists", id: id)]
        default: return []
        }
    }
}

extension ProgressMessage {
    static func status(_ text: String, id: String? = nil, current: Int64? = nil, total: Int64? = nil) -> ProgressMessage {
        var message = ProgressMessage()
        message.status = text
        message.id = id
        // A line with an id always has the object: clients look into it to decide how to draw.
        if id != nil { message.progressDetail = Detail(current: current, total: total) }
        if let current, let total, total > 0 { message.progress = ProgressBar.text(current: current, total: total) }
        return message
    }

    /// Without an id: of the whole. No bar where the total is not known.
    static func progress(_ text: String, current: Int64, total: Int64?) -> ProgressMessage {
        var message = status(text, id: "", current: current, total: total)
        message.id = nil
        return message
    }

    static func stream(_ text: String) -> ProgressMessage {
        var message = ProgressMessage()
        message.stream = text
        return message
    }

    static func failure(_ error: any Error) -> ProgressMessage {
        let failure = HTTPErrorMapping.daemonError(error)
        var message = ProgressMessage()
        message.error = failure.message
        message.errorDetail = ErrorDetail(message: failure.message)
        return message
    }
}

/// `[=====>     ]  1.2MB/3.4MB`, for clients that print what they get.
enum ProgressBar {
    static func text(current: Int64, total: Int64) -> String {
        let width = 50
        let done = Int(min(max(current, 0), total) * Int64(width) / total)
        let bar = String(repeating: "=", count: done) + (done < width ? ">" : "") + String(repeating: " ", count: max(0, width - done - 1))
        return "[\(bar)]  \(size(current))/\(size(total))"
    }

    /// Four significant digits with decimal units, as go-units prints sizes.
    static func size(_ bytes: Int64) -> String {
        var value = Double(bytes)
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        while value >= 1000 && unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let rounded = (value * scale).rounded() / scale
        // Double prints the shortest text, without trailing zeros: what %.4g does.
        let text = "\(rounded)"
        return (text.hasSuffix(".0") ? String(text.dropLast(2)) : text) + units[unit]
    }
}
