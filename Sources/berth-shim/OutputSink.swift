import TaskAPI

/// One of a process's output streams. The number is the one in Docker's stream header.
enum OutputStream: UInt8 { case stdout = 1, stderr = 2 }

/// Takes output and passes it on: a log, a FIFO, the attached readers.
///
/// `accept` always takes all of the bytes; a sink that cannot get rid of them keeps them and says `isBlocked`, upon which nothing more is read from
/// the container until `onRelief` is called. Every sink but a FIFO bounds that time.
protocol OutputSink: AnyObject {
    var isBlocked: Bool { get }
    /// Set by who feeds the sink; called when `isBlocked` has become false.
    var onRelief: (() -> Void)? { get set }
    func accept(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream)
    /// No more will come from `stream`.
    func end(_ stream: OutputStream)
    /// Lets go of everything, sent or not.
    func close()
}

/// A file: the address `file://`, and paths that are not FIFOs.
final class FileSink: OutputSink {
    private let file: LogFile
    var isBlocked: Bool { file.isStalled }
    var onRelief: (() -> Void)? {
        get { file.onRelief }
        set { file.onRelief = newValue }
    }

    init(file: LogFile) { self.file = file }
    func accept(_ bytes: UnsafeRawBufferPointer, from stream: OutputStream) { file.append(bytes, lines: 0) }
    func end(_ stream: OutputStream) {}
    func close() { file.close() }
}
