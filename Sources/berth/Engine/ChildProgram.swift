import DockerAPI
import Glibc
import LinuxSystem

/// Runs a program of the user's PATH with bytes on its input and takes its output.
enum ChildProgram {
    static func run(_ name: String, _ arguments: [String], input: [UInt8]) throws -> (status: Int32, output: [UInt8]) {
        let toChild = try Pipes.make()
        let writeEnd = OwnedFD(adopting: toChild.writing)
        let fromChild = try Pipes.make()
        let readEnd = OwnedFD(adopting: fromChild.reading)
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, toChild.reading, 0)
        posix_spawn_file_actions_adddup2(&actions, fromChild.writing, 1)
        var words = ([name] + arguments).map { strdup($0) } + [nil]
        defer {
            for word in words { free(word) }
            posix_spawn_file_actions_destroy(&actions)
        }
        var pid: pid_t = 0
        let failure = posix_spawnp(&pid, name, &actions, nil, &words, environ)
        close(toChild.reading)
        close(fromChild.writing)
        guard failure == 0 else {
            throw CommandFailure("exec: \(GoText.quoted(name)): " + (failure == ENOENT ? "executable file not found in $PATH" : Errno(rawValue: failure).goDescription))
        }
        try? input.withUnsafeBytesThrowing { (raw) throws(SystemError) in try writeAll(writeEnd.rawValue, raw) }
        try? writeEnd.close()
        var output: [UInt8] = []
        while case let piece = (try? LocalFile.read(readEnd.rawValue, limit: 65536)) ?? [], !piece.isEmpty { output += piece }
        var status: CInt = 0
        while waitpid(pid, &status, 0) == -1, errno == EINTR {}
        return ((status >> 8) & 0xFF, output)
    }
}
