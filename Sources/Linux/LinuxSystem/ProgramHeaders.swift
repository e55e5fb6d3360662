import CLinux
import Glibc

/// The segments of the running program, and where they are: elf(5), getauxval(3).
struct ProgramHeaders {
    let segments: UnsafeBufferPointer<Elf64_Phdr>
    /// What is to be added to the addresses in the headers. A position independent program is not where its file says: the headers themselves tell by how much.
    let base: UInt

    /// nil when the kernel does not say.
    init?() {
        guard let headers = UnsafePointer<Elf64_Phdr>(bitPattern: getauxval(UInt(AT_PHDR))) else { return nil }
        segments = UnsafeBufferPointer(start: headers, count: Int(getauxval(UInt(AT_PHNUM))))
        base = segments.first { $0.p_type == UInt32(PT_PHDR) }.map { UInt(bitPattern: headers) - UInt($0.p_vaddr) } ?? 0
    }
}
