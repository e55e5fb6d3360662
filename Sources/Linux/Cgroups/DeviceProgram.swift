import CLinux
import Glibc
import LinuxSystem

/// The device list on v2: an eBPF program, attached to the cgroup, that the kernel asks before a device is opened or made.
///
/// It gets a pointer to `{ u32 access << 16 | type; u32 major; u32 minor; }` and returns 1 to allow.
///
/// Kernel: Documentation/admin-guide/cgroup-v2.rst, "Device controller"; bpf(2).
struct DeviceProgram: Equatable {
    /// Instructions as the kernel takes them: opcode, two registers, 16 bits of offset, 32 bits of immediate.
    private(set) var instructions: [UInt64] = []

    /// Registers: r2 type, r3 access, r4 major, r5 minor.
    init(_ policy: DevicePolicy) {
        load(into: 2, offset: 0)
        emit(0xBF, 3, 2)  // r3 = r2
        emit(0x57, 2, immediate: 0xFFFF)  // r2 &= 0xffff
        emit(0x77, 3, immediate: 16)  // r3 >>= 16
        load(into: 4, offset: 4)
        load(into: 5, offset: 8)
        for exception in policy.exceptions { emit(exception, allowed: !policy.allowsByDefault) }
        leave(policy.allowsByDefault)
    }

    /// Allowing exceptions match when they name every access that is asked for; denying ones when they name any of them.
    private mutating func emit(_ exception: DevicePolicy.Exception, allowed: Bool) {
        // Every test that fails jumps over the rest of the block, so the block's length is needed first.
        var tests: [(register: UInt64, value: UInt32)] = [(2, exception.key.kind == .block ? 1 : 2)]
        if let major = exception.key.major { tests.append((4, major)) }
        if let minor = exception.key.minor { tests.append((5, minor)) }
        let checksAccess = exception.access != .all
        var rest = tests.count + (checksAccess ? 3 : 0) + 2
        for test in tests {
            rest -= 1
            emit(0x55, test.register, offset: rest, immediate: test.value)  // if r != value skip
        }
        if checksAccess {
            emit(0xBF, 1, 3)  // r1 = r3
            emit(0x57, 1, immediate: UInt32(allowed ? ~exception.access.rawValue & 7 : exception.access.rawValue))  // r1 &= mask
            emit(allowed ? 0x55 : 0x15, 1, offset: 2, immediate: 0)  // allow: skip unless nothing else is asked; deny: skip if none of ours is
        }
        leave(allowed)
    }

    private mutating func leave(_ allow: Bool) {
        emit(0xB7, 0, immediate: allow ? 1 : 0)  // r0 = verdict
        emit(0x95, 0)  // exit
    }

    private mutating func load(into register: UInt64, offset: Int) { emit(0x61, register, 1, offset: offset) }

    private mutating func emit(_ opcode: UInt64, _ destination: UInt64, _ source: UInt64 = 0, offset: Int = 0, immediate: UInt32 = 0) {
        instructions.append(opcode | destination << 8 | source << 12 | UInt64(UInt16(truncatingIfNeeded: offset)) << 16 | UInt64(immediate) << 32)
    }

    /// Puts the program in charge of a cgroup. One that is there already is replaced, so that at no instant more is allowed than by one of the two.
    func attach(to cgroup: String) throws(CgroupError) {
        do throws(SystemError) {
            let directory = try Files.open(cgroup, O_RDONLY | O_DIRECTORY)
            let target = directory.rawValue
            let program = OwnedFD(adopting: try syscall("bpf", on: "BPF_PROG_LOAD device filter for \(cgroup)") {
                instructions.withUnsafeBufferPointer { berth_bpf_load_device_program($0.baseAddress, UInt32($0.count)) }
            })
            var ids = [UInt32](repeating: 0, count: 64)
            let attached = try syscall("bpf", on: "BPF_PROG_QUERY \(cgroup)") {
                ids.withUnsafeMutableBufferPointer { berth_bpf_query_devices(target, $0.baseAddress, UInt32($0.count)) }
            }
            let old = try ids.prefix(Int(attached)).map { id throws(SystemError) in
                try syscall("bpf", on: "BPF_PROG_GET_FD_BY_ID \(id)") { berth_bpf_program_by_id(id) }
            }
            defer { old.forEach { close($0) } }
            let replaced = old.count == 1 ? old[0] : -1
            let raw = program.rawValue
            try syscall("bpf", on: "BPF_PROG_ATTACH device filter to \(cgroup)") { berth_bpf_attach_devices(target, raw, replaced) }
            if replaced == -1 {
                for program in old { try syscall("bpf", on: "BPF_PROG_DETACH \(cgroup)") { berth_bpf_detach_devices(target, program) } }
            }
        } catch {
            throw .kernel(error)
        }
    }
}
