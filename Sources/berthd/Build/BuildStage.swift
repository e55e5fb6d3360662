import DockerAPI
import OCISpec

/// A stage while it is built.
struct BuildStage: Sendable {
    let name: String
    var image: BuildImage
    /// Of the image that comes of it.
    var config: ContainerConfig
    var arguments: BuildArguments
    var author = ""
    var isCommandSet = false
    /// The first step that is not in the cache ends its use.
    var usesCache: Bool
    /// Containers of the present step.
    var containers: [String] = []

    init(_ name: String, on image: BuildImage, arguments: BuildArguments, usesCache: Bool) {
        self.name = name
        self.image = image
        self.arguments = arguments
        self.usesCache = usesCache
        config = image.resolved.config
        if !(config.Env ?? []).contains(where: { $0.hasPrefix("PATH=") }) { config.Env = (config.Env ?? []) + [SpecBuilder.defaultPath] }
    }

    /// The configuration with a command that only says what was done.
    ///
    /// - Parameter isOneWord: WORKDIR, ADD and COPY write it so, and the cache compares words.
    func noting(_ comment: String, isOneWord: Bool = false) -> ContainerConfig {
        var copy = config
        let shell = config.Shell.flatMap { $0.isEmpty ? nil : $0 } ?? ConfigStep.defaultShell
        copy.Cmd = shell + (isOneWord ? ["#(nop) \(comment)"] : ["#(nop) ", comment])
        return copy
    }
}

/// The stages that are done, by name and number.
struct FinishedStages: Sendable {
    private var images: [BuildImage] = []
    private var byName: [String: BuildImage] = [:]

    mutating func add(_ stage: BuildStage) {
        images.append(stage.image)
        if !stage.name.isEmpty { byName[stage.name] = stage.image }
    }

    subscript(name: String) -> BuildImage? { byName[name.lowercased()] }

    /// - Throws: for a number that is the present stage's or that no stage has.
    func find(_ nameOrNumber: String) throws(DaemonError) -> BuildImage? {
        if let image = self[nameOrNumber] { return image }
        guard let number = Int(nameOrNumber) else { return nil }
        if number == images.count { throw .internalError("refers to current build stage") }
        guard images.indices.contains(number) else { throw .internalError("index out of bounds") }
        return images[number]
    }
}
