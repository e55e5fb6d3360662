import CLinux
import Glibc

/// The file that the kernel takes for this process's program: /proc/PID/exe.
package enum ProgramImage {
    /// Whether the kernel has the call that `move` needs, and takes its argument in the form that is known here.
    package static var isSupported: Bool {
        var size: UInt32 = 0
        return withUnsafeMutablePointer(to: &size) { berth_prctl(CInt(PR_SET_MM), UInt(PR_SET_MM_MAP_SIZE), UInt(bitPattern: $0), 0, 0) == 0 } && Int(size) == MemoryLayout<prctl_mm_map>.size
    }

    /// Makes `file` the program of this process, without starting it: prctl(2), PR_SET_MM_MAP with `exe_fd`.
    ///
    /// `file` must be the very file that runs already, opened for reading through another mount, and the process must have one thread. The kernel changes the link only when nothing
    /// is mapped from the file as it was opened before, so every segment is mapped anew over itself. Each step puts the same bytes in the place of the old ones at once: the program
    /// goes on running in what is being replaced, and may stop after any step.
    ///
    /// - Throws: EPERM without CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN in the process's user namespace, EINVAL where the kernel has no CONFIG_CHECKPOINT_RESTORE; nothing is changed then.
    ///   Whatever fails later leaves a process that works and has the old program.
    package static func move(to file: borrowing OwnedFD) throws(SystemError) {
        let raw = file.rawValue
        var layout = try layout()
        layout.exe_fd = UInt32(raw)
        let pageMap = try Files.open("/proc/self/pagemap")
        guard let program = ProgramHeaders() else { throw SystemError(call: "getauxval", subject: "AT_PHDR", errno: .invalid) }
        let base = program.base
        for segment in program.segments where segment.p_type == UInt32(PT_LOAD) {
            let pages = Pages(segment, base: base)
            if segment.p_flags & UInt32(PF_W) == 0 {
                try pages.map(raw, executable: segment.p_flags & UInt32(PF_X) != 0)
            } else {
                try pages.mapWritten(raw, pageMap: pageMap.rawValue)
            }
        }
        // What was written to by nobody but the linker is for reading again.
        for segment in program.segments where segment.p_type == UInt32(PT_GNU_RELRO) {
            let start = (base + UInt(segment.p_vaddr)) & ~4095
            let end = (base + UInt(segment.p_vaddr) + UInt(segment.p_memsz)) & ~4095
            if end > start { mprotect(UnsafeMutableRawPointer(bitPattern: start), Int(end - start), PROT_READ) }
        }
        let failure = apply(&layout)
        guard failure == 0 else { throw SystemError(call: "prctl(PR_SET_MM_MAP)", subject: "", errno: Errno(rawValue: failure)) }
    }

    /// - Returns: 0 or an error number.
    private static func apply(_ layout: inout prctl_mm_map) -> CInt {
        let size = UInt(MemoryLayout<prctl_mm_map>.size)
        return withUnsafeMutablePointer(to: &layout) { berth_prctl(CInt(PR_SET_MM), UInt(PR_SET_MM_MAP), UInt(bitPattern: $0), size, 0) == 0 ? 0 : errno }
    }

    /// Where the parts of this process are, which the call wants to hear again: proc_pid_stat(5), fields 26 to 28 and 45 to 51.
    private static func layout() throws(SystemError) -> prctl_mm_map {
        let path = "/proc/self/stat"
        let fields = try ProcessStat.fields(of: path)
        func field(_ number: Int) throws(SystemError) -> UInt64 {
            guard number - 3 < fields.count, let value = ProcessStat.number(fields[number - 3]) else { throw SystemError(call: "parse", subject: path, errno: .invalid) }
            return value
        }
        var map = prctl_mm_map()
        map.start_code = try field(26)
        map.end_code = try field(27)
        map.start_stack = try field(28)
        map.start_data = try field(45)
        map.end_data = try field(46)
        map.start_brk = try field(47)
        map.brk = UInt64(UInt(bitPattern: sbrk(0)))
        map.arg_start = try field(48)
        map.arg_end = try field(49)
        map.env_start = try field(50)
        map.env_end = try field(51)
        return map
    }

    /// The whole pages that a segment takes of its file.
    private struct Pages {
        let start: UnsafeMutableRawPointer
        let length: Int
        let offset: Int
        private static let size = 4096

        init(_ segment: Elf64_Phdr, base: UInt) {
            let within = UInt(segment.p_vaddr) % UInt(Self.size)
            start = UnsafeMutableRawPointer(bitPattern: base + UInt(segment.p_vaddr) - within)!
            length = (Int(within) + Int(segment.p_filesz) + Self.size - 1) / Self.size * Self.size
            offset = Int(segment.p_offset) - Int(within)
        }

        func map(_ file: CInt, executable: Bool) throws(SystemError) {
            let mapped = mmap(start, length, PROT_READ | (executable ? PROT_EXEC : 0), MAP_PRIVATE | MAP_FIXED, file, offset)
            guard mapped == start else { throw SystemError(call: "mmap", subject: "program", errno: Errno(rawValue: errno)) }
        }

        /// Pages that were written to are copied into the new mapping before it takes the old one's place.
        func mapWritten(_ file: CInt, pageMap: CInt) throws(SystemError) {
            guard let copy = mmap(nil, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, offset), copy != MAP_FAILED else { throw SystemError(call: "mmap", subject: "program", errno: Errno(rawValue: errno)) }
            do throws(SystemError) { try exchange(copy, pageMap: pageMap) } catch {
                munmap(copy, length)
                throw error
            }
        }

        /// Which pages were written to is in /proc/self/pagemap (pagemap.rst): those that are anonymous (present, and not of a file), or in swap.
        private func exchange(_ copy: UnsafeMutableRawPointer, pageMap: CInt) throws(SystemError) {
            let count = length / Self.size
            // The list must be there before it is filled: to make room for it may write to one of these pages.
            let states = UnsafeMutablePointer<UInt64>.allocate(capacity: count)
            defer { states.deallocate() }
            guard pread(pageMap, states, count * 8, Int(UInt(bitPattern: start)) / Self.size * 8) == count * 8 else {
                throw SystemError(call: "read", subject: "/proc/self/pagemap", errno: Errno(rawValue: errno))
            }
            // From the reading of their states to the exchange nothing else may write to these pages. There is one thread, whose stack is elsewhere; and nothing in between allocates or makes
            // a generic type known, which a loop over a sequence might.
            var page = 0
            while page < count {
                let isWritten = states[page] >> 62 & 1 == 1 || states[page] >> 63 == 1 && states[page] >> 61 & 1 == 0
                if isWritten { memcpy(copy + page * Self.size, start + page * Self.size, Self.size) }
                page += 1
            }
            guard berth_mremap_over(copy, length, start) == start else { throw SystemError(call: "mremap", subject: "program", errno: Errno(rawValue: errno)) }
        }
    }
}
