/// Placeholder until the next file.
enum CopyCommand { static let command = Command(name: "cp", synopsis: "", summary: "") }
