import Glibc
import LinuxSystem
import OCILayer

/// A packed stream without its packing, by the program that knows it: as dockerd has it done for xz.
///
/// These formats are old, their readers are not ours, and the bytes are a stranger's: the program runs as nobody, without capabilities, where setpriv(1) is there, and what
/// becomes of it does not concern the daemon. Blocks; for one thread at a time. To be made on a thread in the host's namespaces, where the program is found.
final class UnpackedSource: ByteSource {
    /// The stream could not be unpacked.
    struct Failure: Error, CustomStringConvertible {
        /// How the program ended, and what it said.
        let description: String
        /// Nothing had come out of it by then.
        let isFromStart: Bool
    }

    private let packing: ArchivePacking
    private let pid: pid_t
    private let output: OwnedFD
    private let messages: OwnedFD
    private let feeder: Feeder
    private var total = 0
    private var isOver = false

    /// - Throws: `DaemonError` when the program is not on this machine.
    init(_ source: any ByteSource, _ packing: ArchivePacking) throws {
        self.packing = packing
        // Each pair is owned before the next is made: where descriptors run out, none is left open.
        let input = try Pipes.make()
        let packed = OwnedFD(adopting: input.reading), feeding = OwnedFD(adopting: input.writing)
        let output = try Pipes.make()
        let plain = OwnedFD(adopting: output.writing)
        self.output = OwnedFD(adopting: output.reading)
        let messages = try Pipes.make()
        let saying = OwnedFD(adopting: messages.writing)
        self.messages = OwnedFD(adopting: messages.reading)
        let (name, arguments) = packing.program
        guard let path = Self.find(name) else { throw DaemonError.internalError("exec: \"\(name)\": executable file not found in $PATH") }
        var request = SpawnRequest(path, arguments)
        if geteuid() == 0, let drop = Self.find("setpriv") {
            request = SpawnRequest(drop, ["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--no-new-privs", "--", path] + arguments)
        }
        request.environment = ["PATH=\(Self.directories.joined(separator: ":"))", "LC_ALL=C"]
        request.workingDirectory = "/"
        request.descriptors = [(0, packed.rawValue), (1, plain.rawValue), (2, saying.rawValue)]
        pid = try request.start()
        feeder = Feeder(source)
        let feeder = feeder, end = feeding.release()
        do { try OwnThread.detach { feeder.run(OwnedFD(adopting: end)) } } catch {
            close(end)
            throw error
        }
    }

    deinit {
        guard !isOver else { return }
        kill(pid, SIGKILL)
        _ = try? Children.wait(for: pid)
    }

    private static let directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

    private static func find(_ name: String) -> String? { directories.map { "\($0)/\(name)" }.first(where: Files.isExecutable) }

    func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
        guard !isOver else { return 0 }
        let count = try syscall("read", on: "an unpacked stream") { Glibc.read(output.rawValue, buffer.baseAddress, buffer.count) }
        total += count
        if count == 0 { try end() }
        return count
    }

    private func end() throws {
        let said = String(decoding: (try? Files.readAll(messages, name: "messages", limit: 64 << 10)) ?? [], as: UTF8.self)
        let exit = try Children.wait(for: pid)
        isOver = true
        // Where the stream itself broke off, that is the reason.
        if let failure = feeder.failure { throw failure }
        // gzip(1): 2 is a warning, such as of something behind the end.
        guard exit.status != 0, !(packing == .gzip && exit.status == 2) else { return }
        throw Failure(description: "exit status \(exit.status): \(said.split(separator: "\n").joined(separator: ", "))", isFromStart: total == 0)
    }

    /// Writes the packed stream to the program, on a thread of its own.
    ///
    /// Safety: the source is this thread's alone, the failure is under a lock.
    private final class Feeder: @unchecked Sendable {
        private let source: any ByteSource
        private let state = Monitor<(any Error)?>(nil)

        init(_ source: any ByteSource) { self.source = source }

        var failure: (any Error)? { state.update { $0 } }

        /// `file` is closed at the end, which is the program's end of file.
        func run(_ file: consuming OwnedFD) {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 16)
            defer { buffer.deallocate() }
            while true {
                let count: Int
                do { count = try source.read(into: buffer) } catch {
                    state.update { $0 = error }
                    return
                }
                if count == 0 { return }
                // A program that has ended says by its status why.
                var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count])
                while !rest.isEmpty {
                    guard let written = try? syscall("write", on: "a packed stream", { write(file.rawValue, rest.baseAddress, rest.count) }) else { return }
                    rest = UnsafeRawBufferPointer(rebasing: rest[written...])
                }
            }
        }
    }
}
