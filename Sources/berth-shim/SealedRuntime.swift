import Glibc
import LinuxSystem

/// The runtime's binary on a read-only mount in the shim's mount namespace, so that it need not seal itself at every call.
///
/// berth-runtime lets no container reach its file on the host through a writable mount: started from one that is writable, it puts its segments on a read-only
/// clone of that mount first. Started from here it finds itself sealed. The mount is seen by this shim alone
/// and goes with it; a later upgrade of the binary does not change the runtime of a container that lives.
enum SealedRuntime {
    /// The name that the runtime speaks under.
    static let fileName = "berth-runtime"

    /// Mounts `binary` at `<bundle>/berth-runtime`. The shim has a mount namespace of its own already, in which the bundle's mount passes nothing on.
    /// - Returns: the path to run instead of `binary`; nil where that cannot be done, and the runtime seals itself.
    static func mount(_ binary: String, bundle: String) -> String? {
        let path = "\(bundle)/\(fileName)"
        do throws(SystemError) {
            _ = try Files.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: 0o600)
            let mount = try Mounts.cloneTree(binary, recursive: false)
            try Mounts.change(mount, set: .readonly, name: path)
            try Mounts.attach(mount, onto: path)
            return path
        } catch {
            unlink(path)
            return nil
        }
    }
}
