import Glibc

/// A large buffer whose pages cost nothing while it is not in use: address space from mmap(2), given back with madvise(2).
final class PageBuffer {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    /// Bytes from the start that may have been written since the last release.
    var touched = 0

    init(capacity: Int) {
        self.capacity = capacity
        // Out of address space is out of everything; there is nothing sensible to go on with.
        let memory = mmap(nil, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        precondition(memory != MAP_FAILED, "no memory for a buffer")
        base = memory!
    }

    /// Gives the pages back to the kernel. The content is gone.
    func release() {
        guard touched > 0 else { return }
        madvise(base, min(capacity, touched), MADV_DONTNEED)
        touched = 0
    }

    deinit { munmap(base, capacity) }
}

/// The buffers that all streams of a shim share. Nothing stays in them from one event to the next.
final class SharedBuffers {
    /// What one read takes from a pipe.
    let input = PageBuffer(capacity: 256 << 10)
    /// Encoded log lines on their way to the file.
    let output = PageBuffer(capacity: 768 << 10)

    func release() {
        input.release()
        output.release()
    }
}
