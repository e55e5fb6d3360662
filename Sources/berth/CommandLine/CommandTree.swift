/// Every command, in the order help shows them.
enum CommandTree {
    static let top: [Command] = common + management + others

    private static let common: [Command] = [
        RunCommands.run, ExecCommand.command, ContainerList.list.named("ps"), BuildCommand.build, ImageTransfers.pull, ImageTransfers.push,
        ImageList.list.named("images"), RegistryCommands.login, RegistryCommands.logout, RegistryCommands.search, VersionCommand.command, InfoCommand.command,
    ]

    private static let management: [Command] = [
        .group("container", "Manage containers", containerCommands), .group("image", "Manage images", imageCommands),
        .group("network", "Manage networks", NetworkCommands.all), .group("system", "Manage the engine", SystemCommands.all),
        .group("volume", "Manage volumes", VolumeCommands.all),
    ]

    private static let others: [Command] = [
        AttachCommand.command, CommitCommands.commit, CopyCommand.command, RunCommands.create, ContainerDetails.diff, EventsCommand.command,
        CommitCommands.export, ImageDetails.history, ImageArchives.importImage, InspectCommand.any, ContainerState.kill, ImageArchives.load,
        LogsCommand.command, ContainerState.pause, ContainerDetails.port, ContainerState.rename, ContainerState.restart, ContainerRemoval.remove,
        ImageDetails.remove.named("rmi"), ImageArchives.save, StartCommand.command, StatsCommand.command, ContainerState.stop, ImageDetails.tag,
        ContainerDetails.top, ContainerState.unpause, UpdateCommand.command, WaitCommand.command,
    ]

    private static let containerCommands: [Command] = [
        AttachCommand.command, CommitCommands.commit, CopyCommand.command, RunCommands.create, ContainerDetails.diff, ExecCommand.command,
        CommitCommands.export, InspectCommand.container, ContainerState.kill, LogsCommand.command, ContainerList.list, ContainerState.pause,
        ContainerDetails.port, ContainerRemoval.prune, ContainerState.rename, ContainerState.restart, ContainerRemoval.remove.named("rm", alternatives: ["remove"]),
        RunCommands.run, StartCommand.command, StatsCommand.command, ContainerState.stop, ContainerDetails.top, ContainerState.unpause,
        UpdateCommand.command, WaitCommand.command,
    ]

    private static let imageCommands: [Command] = [
        BuildCommand.build, ImageDetails.history, ImageArchives.importImage, InspectCommand.image, ImageArchives.load, ImageList.list, ImagePolicyCommand.command, ImageDetails.prune, ImageTransfers.pull,
        ImageTransfers.push, ImageDetails.remove, ImageArchives.save, ImageDetails.tag,
    ]

    /// The help of the program itself.
    static func overview(_ program: String, configDirectory: String) -> String {
        """
        Usage:  \(program) [OPTIONS] COMMAND

        A container engine's client: speaks the Docker Engine API

        \(HelpText.commandList("Common Commands:", common))
        \(HelpText.commandList("Management Commands:", management))
        \(HelpText.commandList("Commands:", others.sorted { $0.name < $1.name }))
        Global Options:
        \(HelpText.options(GlobalFlags.all.filter { !$0.isHidden }, width: 80))
        Run '\(program) COMMAND --help' for more information on a command.

        """
    }
}

/// The flags in front of the command.
enum GlobalFlags {
    static let all: [Flag] = [
        .string("config", "Location of client config files"), .string("context", "c", "Name of the context to use (only \"default\" is supported)"),
        .bool("debug", "D", "Enable debug mode"), .list("host", "H", "Daemon socket to connect to"),
        .string("log-level", "l", default: "info", "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")"),
        .bool("tls", "Use TLS (not supported yet)"), .string("tlscacert", "Trust certs signed only by this CA (not supported yet)").hidden(),
        .string("tlscert", "Path to TLS certificate file (not supported yet)").hidden(), .string("tlskey", "Path to TLS key file (not supported yet)").hidden(),
        .bool("tlsverify", "Use TLS and verify the remote (not supported yet)"), .bool("version", "v", "Print version information and quit"),
    ]
}
