import DockerAPI
import OCISpec

/// One Dockerfile instruction of `--change`: CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD USER VOLUME WORKDIR STOPSIGNAL.
enum ConfigChange {
    private static let keywords: Set<String> = ["CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"]

    /// - Throws: `.invalidArgument` naming the instruction.
    static func apply(_ text: String, to config: inout ImageConfig.Execution) throws(DaemonError) {
        let file = try Dockerfile(parsing: text)
        for line in file.lines {
            guard keywords.contains(line.keyword.uppercased()) else { throw .invalid("\(line.keyword) is not a valid change command") }
            guard case .step(let instruction) = try InstructionReader(line, escape: file.escape).read() else { continue }
            // What an instruction sets is seen by the next one.
            let expansion = VariableExpansion(config.env, escape: file.escape)
            var step = ConfigStep(config: ContainerConfig(config), expansion: expansion)
            _ = try step.apply(try instruction.expanded { text throws(DaemonError) in try expansion.word(text) })
            config = ImageConfig.Execution(step.config)
        }
    }
}
