import BerthDefaults
import OCISpec

/// What `--version` and `--help` print.
enum HelpText {
    /// The features in the last line are how other projects' test suites ask what a runtime has.
    static let version = """
        berth-runtime version \(Defaults.version)
        spec: \(RuntimeSpec.version)
        +SELINUX +APPARMOR +CAP +SECCOMP

        """

    static let usage = """
        usage: berth-runtime [--root DIR] [--log FILE] [--log-format text|json] [--debug] [--systemd-cgroup] COMMAND [options] CONTAINER

        commands:
          create    make a container from a bundle; its program waits for start
          start     start the program of a created container
          run       create and start
          exec      run one more process in a container
          state     print the state of a container
          list      list containers
          kill      send a signal to the program of a container
          delete    remove a stopped container
          pause     freeze all processes of a container
          resume    let them go on

        """
}
