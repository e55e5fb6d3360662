package import CLinux
import Glibc

/// A program to start beside this one. posix_spawn(3) starts it the way vfork(2) does: nothing of this process is copied.
package struct SpawnRequest {
    /// By path, or by name through PATH.
    package var program: String
    /// Without the program's own name.
    package var arguments: [String]
    /// nil passes this process's environment on; otherwise `NAME=value`.
    package var environment: [String]?
    package var workingDirectory: String?
    /// `(number in the child, descriptor here)`. Numbers 0 to 2 that are not named are /dev/null; everything else is closed on exec.
    package var descriptors: [(CInt, CInt)] = []
    package var ownSession = false

    package init(_ program: String, _ arguments: [String]) {
        self.program = program
        self.arguments = arguments
    }

    /// Starts the program with no signal blocked and default handlers.
    /// - Returns: its pid; the caller reaps it.
    /// - Throws: `SystemError` also when the program cannot be executed: ENOENT, EACCES, ENOEXEC.
    package func start() throws(SystemError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        var attributes = posix_spawnattr_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawnattr_init(&attributes)
        defer {
            posix_spawn_file_actions_destroy(&actions)
            posix_spawnattr_destroy(&attributes)
        }
        for number in CInt(0)...2 where !descriptors.contains(where: { $0.0 == number }) {
            posix_spawn_file_actions_addopen(&actions, number, "/dev/null", number == 0 ? O_RDONLY : O_WRONLY, 0)
        }
        // Descriptors that stand where another one has to go are first moved out of the way.
        let firstFree = max(64, (descriptors.map { max($0.0, $0.1) }.max() ?? 0) + 1)
        for (index, pair) in descriptors.enumerated() { posix_spawn_file_actions_adddup2(&actions, pair.1, firstFree + CInt(index)) }
        for (index, pair) in descriptors.enumerated() {
            posix_spawn_file_actions_adddup2(&actions, firstFree + CInt(index), pair.0)
            posix_spawn_file_actions_addclose(&actions, firstFree + CInt(index))
        }
        // Not left to close-on-exec: other libraries open descriptors without it (SwiftNIO's sockets, for one), and a shim that inherited our
        // listening socket would keep it alive after us.
        let lastWanted = max(2, descriptors.map(\.0).max() ?? 2)
        for number in 3..<max(4, lastWanted) where number <= lastWanted && !descriptors.contains(where: { $0.0 == number }) {
            posix_spawn_file_actions_addclose(&actions, number)
        }
        _ = berth_spawn_close_from(&actions, lastWanted + 1)
        if let workingDirectory { posix_spawn_file_actions_addchdir_np(&actions, workingDirectory) }
        var none = sigset_t(), all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        var flags = CInt(POSIX_SPAWN_SETSIGMASK) | CInt(POSIX_SPAWN_SETSIGDEF)
        if ownSession { flags |= CInt(BERTH_POSIX_SPAWN_SETSID) }
        posix_spawnattr_setflags(&attributes, Int16(flags))

        var child: pid_t = 0
        let result = CStringArray.with([program] + arguments) { argv in
            if let environment { return CStringArray.with(environment) { posix_spawnp(&child, program, &actions, &attributes, argv, $0) } }
            return posix_spawnp(&child, program, &actions, &attributes, argv, environ)
        }
        if result != 0 { throw SystemError(call: "posix_spawn", subject: program, errno: Errno(rawValue: result)) }
        return child
    }
}

/// A null-terminated array of C strings for the time of a call.
enum CStringArray {
    static func with<R>(_ strings: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> R) -> R {
        let array = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: strings.count + 1)
        for (index, string) in strings.enumerated() { array[index] = strdup(string) }
        array[strings.count] = nil
        defer {
            for index in strings.indices { free(array[index]) }
            array.deallocate()
        }
        return body(array)
    }
}

package enum Fork {
    /// Goes on in a child as well: 0 there, the child's pid here. For programs with one thread; the child may do everything, unlike one of
    /// `Processes`, which is on its way to execve(2).
    package static func split() throws(SystemError) -> pid_t { try syscall("fork", on: "") { berth_fork() } }
}
