/// `images --tree`: each image with its platforms below it, as the stock client draws it without colours.
struct ImageTree {
    private struct Details {
        var id: String
        var usage: Int64
        var content: Int64
        var isInUse: Bool
    }

    private struct Child {
        var platform: String
        var details: Details
    }

    private struct Image {
        var names: [String]
        var created: Int64
        var details: Details
        var children: [Child]
    }

    private static let spacing = String(repeating: " ", count: 3)
    private static let columns: [(title: String, width: Int)] = [("ID", 12), ("DISK USAGE", 10), ("CONTENT SIZE", 12), ("EXTRA", 5)]

    private let images: [Image]
    /// Of the terminal.
    private let width: Int
    private let nameWidth: Int
    /// How many of the columns have room beside the names.
    private let shown: Int

    /// - Parameter images: of `GET /images/json?manifests=1`.
    init(_ images: [JSONValue], all: Bool, width: Int) {
        self.images = images.filter { all || !ImageRow.isDangling($0) }.map(Self.image).sorted { $0.created > $1.created }
        self.width = width == 0 ? 80 : max(width, 20)
        var room = self.width
        var shown = 0
        for column in Self.columns {
            let needed = column.width + Self.spacing.count
            if room - needed < 12 { break }
            room -= needed
            shown += 1
        }
        self.shown = shown
        let names = self.images.flatMap { $0.names.map(\.utf8.count) + $0.children.map { $0.platform.utf8.count + "└─ ".utf8.count } }
        nameWidth = min(room, max("Image".count, names.max() ?? 0))
    }

    private static func image(_ image: JSONValue) -> Image {
        let manifests = image.array("Manifests")
        var details = Details(id: image.string("Id"), usage: image.int("Size"), content: 0, isInUse: image.int("Containers") > 0)
        details.content = manifests.reduce(0) { $0 + ($1["Size"]?.int("Content") ?? 0) }
        let children = manifests.filter { $0.string("Kind") == "image" }.map { manifest in
            let data = manifest["ImageData"] ?? .null
            let platform = data["Platform"] ?? .null
            let size = manifest["Size"] ?? .null
            let text = [platform.string("os"), platform.string("architecture"), platform.string("variant")].filter { !$0.isEmpty }.joined(separator: "/")
            return Child(
                platform: text,
                details: Details(id: manifest.string("ID"), usage: size.int("Total"), content: size.int("Content"), isInUse: !data.strings("Containers").isEmpty))
        }
        if children.contains(where: \.details.isInUse) { details.isInUse = true }
        return Image(names: image.strings("RepoTags"), created: image.int("Created"), details: details, children: children)
    }

    var text: String {
        let hasChildren = images.contains { !$0.children.isEmpty }
        let hasChip = images.contains { $0.details.isInUse || $0.children.contains { $0.details.isInUse } }
        let legend = " Info ->  U In Use "
        var text = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.\n"
        text += String(repeating: " ", count: max(0, width - legend.count)) + legend + "\n\n"
        let titles = [cell("IMAGE")] + Self.columns.prefix(shown).enumerated().map { pad($1.title, $1.width, right: $0 == 1 || $0 == 2) }
        text += titles.map(Self.emphasized).joined(separator: Self.spacing) + "\n"
        for image in images {
            let names = image.names.enumerated().sorted { ($1.element.utf8.count, $0.offset) < ($0.element.utf8.count, $1.offset) }.map(\.element)
            for name in names.dropLast() { text += Shortening.ellipsis(name, width) + "\n" }
            text += cell(names.last ?? "<untagged>") + row(image.details, hasChip)
            if hasChildren { text += "\n" }
            for (index, child) in image.children.enumerated() {
                text += cell((index < image.children.count - 1 ? "├─ " : "└─ ") + child.platform) + row(child.details, hasChip) + "\n"
            }
            text += "\n"
        }
        return text
    }

    /// Titles are bold, as the stock client has them even where nobody sees it; the blanks around them are not.
    private static func emphasized(_ cell: String) -> String {
        let title = cell.trimmingBlanks()
        return cell.replacing(title, with: "\u{1b}[39m\u{1b}[1m\(title)\u{1b}[0m")
    }

    private func row(_ details: Details, _ hasChip: Bool) -> String {
        let cells = [
            pad(Shortening.id(details.id), 12, right: false), pad(Sizes.human(Double(details.usage), precision: 3), 10, right: true),
            pad(Sizes.human(Double(details.content), precision: 3), 12, right: true), pad(hasChip ? (details.isInUse ? "U" : " ") : "", 5, right: false),
        ]
        return cells.prefix(shown).map { Self.spacing + $0 }.joined()
    }

    private func cell(_ text: String) -> String { pad(text, nameWidth, right: false) }

    private func pad(_ text: String, _ width: Int, right: Bool) -> String {
        let count = text.unicodeScalars.count
        if count > width { return Shortening.ellipsis(text, width) }
        let blank = String(repeating: " ", count: width - count)
        return right ? blank + text : text + blank
    }
}
