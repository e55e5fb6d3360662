import BerthDefaults
import CLinux
import CSeccomp
import Glibc
import LinuxSystem
import OCISpec

/// Turns a profile into a BPF program with libseccomp.
enum SeccompCompiler {
    /// `linux.seccomp` names: what libseccomp knows, by the specification's names.
    static let actions: [String: UInt32] = [
        "SCMP_ACT_KILL": 0x0000_0000, "SCMP_ACT_KILL_THREAD": 0x0000_0000, "SCMP_ACT_KILL_PROCESS": 0x8000_0000, "SCMP_ACT_TRAP": 0x0003_0000,
        "SCMP_ACT_ERRNO": 0x0005_0000, "SCMP_ACT_TRACE": 0x7FF0_0000, "SCMP_ACT_LOG": 0x7FFC_0000, "SCMP_ACT_ALLOW": 0x7FFF_0000,
        "SCMP_ACT_NOTIFY": 0x7FC0_0000,
    ]
    static let operators: [String: UInt32] = [
        "SCMP_CMP_NE": 1, "SCMP_CMP_LT": 2, "SCMP_CMP_LE": 3, "SCMP_CMP_EQ": 4, "SCMP_CMP_GE": 5, "SCMP_CMP_GT": 6, "SCMP_CMP_MASKED_EQ": 7,
    ]
    static let architectures = [
        "SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_X32", "SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_RISCV64",
        "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
    ]

    static func compile(_ seccomp: RuntimeSpec.Linux.Seccomp) throws(RuntimeError) -> [UInt64] { FilterCompaction.compact(try translate(seccomp)) }

    /// The program as the library makes it, with the stub in front.
    static func translate(_ seccomp: RuntimeSpec.Linux.Seccomp) throws(RuntimeError) -> [UInt64] {
        let defaultAction = try action(seccomp.defaultAction, errno: seccomp.defaultErrnoRet, "defaultAction", "defaultErrnoRet")
        if seccomp.defaultAction == "SCMP_ACT_NOTIFY" { throw invalid("defaultAction: SCMP_ACT_NOTIFY cannot be used as default action") }
        guard let context = seccomp_init(defaultAction) else { throw RuntimeError(.internalError, "unable to init seccomp: out of memory") }
        defer { seccomp_release(context) }
        let architectures = try addArchitectures(seccomp, context)
        // We decide about no_new_privs ourselves.
        seccomp_attr_set(context, SCMP_FLTATR_CTL_NNP, 0)
        // A binary tree instead of a list: fewer instructions for every call of the container. Older libraries do without.
        if seccomp.syscalls.reduce(0, { $0 + $1.names.count }) > 32 { seccomp_attr_set(context, SCMP_FLTATR_CTL_OPTIMIZE, 2) }
        for (index, rule) in seccomp.syscalls.enumerated() { try add(rule, index, defaultAction, context) }
        return SeccompStub.instructions(for: seccomp, architectures).map(\.word) + (try export(context))
    }

    // MARK: Names and numbers

    static func invalid(_ problem: String) -> RuntimeError { RuntimeError(.invalidArgument, "linux.seccomp.\(problem)") }

    private static func action(_ name: String, errno: UInt32?, _ field: String, _ errnoField: String) throws(RuntimeError) -> UInt32 {
        guard let number = actions[name] else { throw invalid("\(field): unknown action \(name.debugDescription)") }
        guard name == "SCMP_ACT_ERRNO" || name == "SCMP_ACT_TRACE" else {
            if errno != nil { throw invalid("\(errnoField): \(name) returns no error number") }
            return number
        }
        let value = errno ?? UInt32(EPERM)
        guard value <= 0xFFFF else { throw invalid("\(errnoField): \(value) does not fit into 16 bits") }
        return number | value
    }

    /// libseccomp's number of an architecture, which is the kernel's AUDIT_ARCH_… except for x32.
    private static func token(_ name: String) -> UInt32 {
        guard name.hasPrefix("SCMP_ARCH_") else { return 0 }
        return seccomp_arch_resolve_name(name.dropFirst("SCMP_ARCH_".count).lowercased())
    }

    /// Adds what the profile names to the machine's own architecture; all of them are returned.
    private static func addArchitectures(_ seccomp: RuntimeSpec.Linux.Seccomp, _ context: scmp_filter_ctx) throws(RuntimeError) -> [UInt32] {
        var tokens = [seccomp_arch_native()]
        for (index, name) in seccomp.architectures.enumerated() {
            let token = token(name)
            guard token != 0 else { throw invalid("architectures[\(index)]: unknown architecture \(name.debugDescription)") }
            if tokens.contains(token) { continue }
            let result = seccomp_arch_add(context, token)
            guard result == 0 || result == -EEXIST else { throw failed("add architecture \(name)", result) }
            tokens.append(token)
        }
        return tokens
    }

    private static func failed(_ doing: String, _ result: CInt) -> RuntimeError {
        RuntimeError(.invalidArgument, "unable to init seccomp: \(doing): \(Errno(rawValue: -result))")
    }

    // MARK: Rules

    private static func add(
        _ rule: RuntimeSpec.Linux.SeccompRule, _ index: Int, _ defaultAction: UInt32, _ context: scmp_filter_ctx
    ) throws(RuntimeError) {
        let field = "syscalls[\(index)]"
        let action = try action(rule.action, errno: rule.errnoRet, "\(field).action", "\(field).errnoRet")
        if rule.names.isEmpty { throw invalid("\(field).names: at least one system call must be named") }
        let conditions = try rule.args.enumerated().map { (position, argument) throws(RuntimeError) in
            try condition(argument, "\(field).args[\(position)]")
        }
        // Two conditions on one argument cannot be in one rule of the library; the field takes them as alternatives.
        let isAlternatives = Set(rule.args.map(\.index)).count < rule.args.count
        for name in rule.names {
            if rule.action == "SCMP_ACT_NOTIFY", name == "sendmsg" || name == "write" {
                throw invalid("\(field).names: SCMP_ACT_NOTIFY cannot be used for the \(name) syscall, with which the listener gets its descriptor")
            }
            if name.isEmpty { throw invalid("\(field).names: empty string is not a valid syscall") }
            // A rule that says what happens anyway is refused by the library.
            if action == defaultAction { continue }
            let number = seccomp_syscall_resolve_name(name)
            // Unknown here: the profile is for newer kernels or other machines as well.
            if number == -1 { continue }
            for conditions in isAlternatives ? conditions.map({ [$0] }) : [conditions] {
                let result = seccomp_rule_add_array(context, action, number, UInt32(conditions.count), conditions)
                guard result == 0 || result == -EEXIST else { throw failed("rule for \(name)", result) }
            }
        }
    }

    private static func condition(_ argument: RuntimeSpec.Linux.SeccompArgument, _ field: String) throws(RuntimeError) -> scmp_arg_cmp {
        guard let number = operators[argument.op] else { throw invalid("\(field).op: unknown operator \(argument.op.debugDescription)") }
        guard argument.index < 6 else { throw invalid("\(field).index: \(argument.index) is not between 0 and 5") }
        return scmp_arg_cmp(arg: argument.index, op: scmp_compare(rawValue: number), datum_a: argument.value, datum_b: argument.valueTwo ?? 0)
    }

    // MARK: The program

    /// The library writes the program to a file; this one is in memory.
    private static func export(_ context: scmp_filter_ctx) throws(RuntimeError) -> [UInt64] {
        try during("unable to init seccomp") { () throws(SystemError) in
            let file = OwnedFD(adopting: try syscall("memfd_create", on: "seccomp filter") {
                berth_memfd_create("seccomp", UInt32(BERTH_MFD_CLOEXEC))
            })
            let result = seccomp_export_bpf(context, file.rawValue)
            if result != 0 { throw SystemError(call: "seccomp_export_bpf", subject: "", errno: Errno(rawValue: -result)) }
            let bytes = try Files.contents(of: file, name: "seccomp filter")
            return stride(from: 0, to: bytes.count - bytes.count % 8, by: 8).map { start in
                bytes[start..<start + 8].reversed().reduce(0) { $0 << 8 | UInt64($1) }
            }
        }
    }
}
