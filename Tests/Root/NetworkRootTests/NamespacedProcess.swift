import Glibc
import LinuxSystem
import Netlink
import Testing

/// A process that sleeps in a network namespace of its own, for as long as a test needs it.
final class NamespacedProcess {
    let pid: pid_t

    init() throws {
        var child = pid_t()
        let words: [String] = ["unshare", "-n", "sleep", "60"]
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { (word: String) in strdup(word) }
        arguments.append(nil)
        defer { for argument in arguments { free(argument) } }
        let code = posix_spawnp(&child, "unshare", nil, nil, &arguments, environ)
        try #require(code == 0)
        pid = child
        let own = try NetworkNamespace(path: "/proc/self/ns/net").identity()
        // unshare(1) execs sleep in its own process: wait until the namespace is another one.
        for _ in 0..<200 where (try? NetworkNamespace(of: pid).identity()) ?? own == own { usleep(5000) }
    }

    deinit {
        kill(pid, SIGKILL)
        waitpid(pid, nil, 0)
    }
}
