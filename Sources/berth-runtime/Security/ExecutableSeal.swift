import BerthDefaults
import Glibc
import LinuxSystem

/// Keeps a container from reaching the runtime's own binary on the host (CVE-2019-5736).
///
/// Until its execve the init is a copy of the runtime, so /proc/PID/exe in the container leads to the host's file. Two things stand before it:
///
/// 1. The process is not dumpable: others may open its /proc/PID/exe, fd and mem only with CAP_SYS_PTRACE in the host's user namespace.
/// 2. A container can still make the init execute `/proc/self/exe`, as its program or after `#!`, and then it is dumpable and a writer may wait for its
///    end. Therefore the file is reached through a read-only mount that belongs to no mount namespace: nobody can make it writable, and opening the
///    link for writing is EROFS whatever capabilities the container has.
///
/// The mount is a detached clone of the binary's own (open_tree, mount_setattr). The running program is moved onto it in place (`ProgramImage`), or executes itself once more from there
/// where that is not allowed. A caller that starts the runtime from a read-only mount, as berth-shim does, saves both. Of a new container only the init has to be moved, which has time
/// for it while the runtime makes cgroups.
enum ExecutableSeal {
    /// Comes back when the running program is sealed; executes it again when that takes a second start.
    ///
    /// Without the right to mount, the file is not the caller's to write either, unless the caller owns it: that is refused by nothing here, since a
    /// program that may overwrite the runtime already runs as its owner on the host.
    static func ensure(_ diagnostics: Diagnostics) throws(RuntimeError) {
        guard let sealed = try clone(diagnostics) else { return }
        try during("seal the runtime's binary") { () throws(SystemError) in
            if isMoved(to: sealed) { return note(diagnostics) }
            throw Processes.executeAgain(sealed, name: "/proc/self/exe")
        }
    }

    /// For a new container, before anything of it is made.
    ///
    /// - Returns: what the init calls `move` with; `.done` when nothing is left to do.
    static func prepare(forInitOf plan: LaunchPlan, _ diagnostics: Diagnostics) throws(RuntimeError) -> Prepared {
        // In a user namespace of its own the init has no right to it yet.
        guard ProgramImage.isSupported, !plan.namespaces.hasUserNamespace else {
            try ensure(diagnostics)
            return .done
        }
        guard let sealed = try clone(diagnostics) else { return .done }
        note(diagnostics)
        let file = try during("seal the runtime's binary") { () throws(SystemError) in try readable(sealed) }
        return Prepared(file: file.release(), mount: sealed.release())
    }

    /// The descriptors of a seal that the init has yet to be moved to. Close-on-exec, in the runtime and in its copy, the init.
    struct Prepared {
        static let done = Prepared(file: -1, mount: -1)

        /// The program's file on the sealed mount, which it keeps from then on.
        let file: CInt
        /// The detached mount. Who closes its last descriptor waits until no processor looks at it any more (`synchronize_rcu` in the kernel), some twenty microseconds: the init does it
        /// first, and the runtime when it has nothing else to do.
        let mount: CInt

        func closeMount() { if mount >= 0 { close(mount) } }
    }

    /// In the init, before it joins or becomes anything.
    static func move(to prepared: Prepared) throws(RuntimeError) {
        guard prepared.file >= 0 else { return }
        prepared.closeMount()
        let file = OwnedFD(adopting: prepared.file)
        try during("seal the runtime's binary") { () throws(SystemError) in try ProgramImage.move(to: file) }
    }

    /// The program's file on a read-only mount of nobody's; nil when it needs none, or this process may not make one.
    private static func clone(_ diagnostics: Diagnostics) throws(RuntimeError) -> OwnedFD? {
        guard ProcessAttributes.isRoot() else { return nil }
        return try during("seal the runtime's binary") { () throws(SystemError) in
            let link = "/proc/self/exe"
            let file = try Files.open(link, O_PATH)
            if try Mounts.isReadonly(file, name: link) {
                note(diagnostics)
                return nil
            }
            let sealed: OwnedFD
            do throws(SystemError) { sealed = try Mounts.cloneTree(of: file, name: link, recursive: false) } catch {
                // Root of a user namespace that does not own the mount: nothing to be gained by writing there.
                if error.errno == .notPermitted || error.errno == .invalid { return nil }
                throw error
            }
            try Mounts.change(sealed, set: .readonly, name: link)
            return sealed
        }
    }

    /// A second start takes a millisecond, this a seventh of it. The kernel may not offer it, see there.
    private static func isMoved(to sealed: borrowing OwnedFD) -> Bool {
        do throws(SystemError) {
            try ProgramImage.move(to: try readable(sealed))
            return true
        } catch { return false }
    }

    private static func readable(_ file: borrowing OwnedFD) throws(SystemError) -> OwnedFD { try Files.open("/proc/self/fd/" + String(decimal: Int(file.rawValue))) }

    private static func note(_ diagnostics: Diagnostics) { diagnostics.note("\(ProgramName.own) exeseal: using /proc/self/exe clone") }

    /// Nobody but a holder of CAP_SYS_PTRACE in the host's user namespace may open /proc/PID/exe, fd or mem of this process and of its copies, until they
    /// become another program.
    ///
    /// Not for an unprivileged runtime: its own /proc files would no longer be its own, and it could not write the id maps. Its children lose
    /// dumpability with their change of ids.
    static func hide() throws(RuntimeError) {
        if ProcessAttributes.isRoot() { try attempt { () throws(SystemError) in try ProcessAttributes.setDumpable(false) } }
    }
}
