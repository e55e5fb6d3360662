import Glibc

/// What the program was called with.
///
/// `CommandLine.arguments` opens and reads /proc/self/cmdline, a twentieth of a short command's time, and fails without procfs. The kernel has put argc, the arguments, a null and the
/// environment above one another on the stack (x86-64 psABI 3.4.1, the same on AArch64), and `environ` leads there until somebody sets a variable.
package enum ProgramArguments {
    /// As C's `argv`, ended by a null. Belongs to the kernel's stack page and lasts as long as the process.
    nonisolated(unsafe) package static let vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = {
        let environment = environ
        guard environment[-1] == nil else { return CommandLine.unsafeArgv }
        var first = environment - 1
        var count: UInt = 0
        // Below the first argument stands their number, which no pointer can be.
        while UInt(bitPattern: first[-1]) != count {
            guard count < 1 << 21 else { return CommandLine.unsafeArgv }
            first -= 1
            count += 1
        }
        return first
    }()

    /// The words, the program's own name first; bytes that are no UTF-8 are replaced.
    package static var all: [String] { words(vector) }

    /// The environment as it is now, each variable as `NAME=value`, in the order of environ(7).
    package static var environment: [String] { words(environ) }

    private static func words(_ vector: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> [String] {
        var words: [String] = []
        var next = vector
        while let word = next.pointee {
            words.append(String(terminated: word))
            next += 1
        }
        return words
    }
}
