import DockerAPI
import OCISpec

/// The Dockerfile instructions of `--change`: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD USER VOLUME WORKDIR STOPSIGNAL.
enum ConfigChange {
    private static let keywords: Set<String> = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"]

    /// - Throws: `.invalidArgument` naming the instruction.
    static func apply(_ changes: [String], to config: inout ImageConfig.Execution) throws(DaemonError) {
        if changes.isEmpty { return }
        let file = try Dockerfile(parsing: changes.joined(separator: "\n"))
        if let other = file.lines.first(where: { !keywords.contains($0.keyword.uppercased()) }) { throw .invalid("\(other.keyword) is not a valid change command") }
        var isCommandSet = false
        for line in file.lines {
            guard case .step(let instruction) = try InstructionReader(line, escape: file.escape).read() else { continue }
            // What an instruction sets is seen by the next one.
            let expansion = VariableExpansion(config.env, escape: file.escape)
            var step = ConfigStep(config: ContainerConfig(config), isCommandSet: isCommandSet, expansion: expansion)
            _ = try step.apply(try instruction.expanded { text throws(DaemonError) in try expansion.word(text) })
            config = ImageConfig.Execution(step.config)
            isCommandSet = step.isCommandSet
        }
    }
}
