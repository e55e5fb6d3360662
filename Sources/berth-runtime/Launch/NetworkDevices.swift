import BerthDefaults
import Glibc
import LinuxSystem
import Netlink
import OCISpec

/// Host interfaces that move into the container's network namespace.
///
/// The kernel keeps name, MTU and hardware address but drops the addresses, so those of global scope that were given for good are set again. All of it
/// happens in a helper process: it needs a socket in either namespace. Who comes back when the container ends is the kernel's business: physical devices
/// return to the host, virtual ones die with the namespace.
///
/// Spec: config-linux.md#network-devices.
enum NetworkDevices {
    /// Refused before anything is started.
    static func check(_ plan: LaunchPlan) throws(RuntimeError) {
        if plan.linux.netDevices.isEmpty { return }
        if !plan.namespaces.separates(.network) { throw RuntimeError(.invalidArgument, "unable to move network devices without a private NET namespace") }
        if !ProcessAttributes.isRoot() { throw RuntimeError(.permissionDenied, "network devices are not supported for rootless containers") }
        for (name, device) in plan.linux.netDevices {
            let target = device.name.flatMap { $0.isEmpty ? nil : $0 } ?? name
            for text in [name, target] where !isName(text) { throw RuntimeError(.invalidArgument, "linux.netDevices: invalid network device name \"\(text)\"") }
        }
    }

    /// The rules of the kernel's dev_valid_name.
    static func isName(_ name: String) -> Bool {
        let bytes = name.utf8
        return (1...LinkRequests.maximumNameLength).contains(bytes.count) && name != "." && name != ".."
            && !bytes.contains { $0 <= 0x20 || $0 == 0x7f || $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") }
    }

    /// Moves all of the plan's devices, in the order of their names.
    static func move(_ plan: LaunchPlan, pid: pid_t) throws(RuntimeError) {
        if plan.linux.netDevices.isEmpty { return }
        // A namespace that the init joins is known by its path: the init may not have got there yet.
        let path = plan.namespaces.joined.first { $0.kind == .network }?.path ?? "/proc/\(pid)/ns/net"
        let pair = try attempt { () throws(SystemError) in try DescriptorPassing.pair() }
        let channel = SyncChannel(pair.takeParent()), childEnd = SyncChannel(pair.takeChild())
        let child = try attempt { () throws(SystemError) in
            try Processes.clone(subject: "network devices") {
                do throws(RuntimeError) {
                    try attempt { () throws(SystemError) in try move(plan.linux.netDevices, to: path) }
                } catch { childEnd.fail(error.during("linux.netDevices")) }
                Processes.leave(0)
            }
        }
        _ = consume childEnd
        let message = try attempt { () throws(SystemError) in try channel.receive() }
        _ = try? Processes.wait(for: child.pid)
        if let message { throw SyncChannel.failure(message.text) }
    }

    private static func move(_ devices: [String: RuntimeSpec.Linux.NetDevice], to path: String) throws(SystemError) {
        let here = try RouteConnection()
        let namespace = try Files.open(path)
        try Namespaces.enter(.network, at: path, through: namespace)
        let there = try RouteConnection()
        for (name, device) in devices.sorted(by: { $0.key < $1.key }) {
            guard let link = try here.link(named: name) else { throw SystemError(call: "RTM_GETLINK", subject: "link \(name)", errno: .noDevice) }
            let addresses = try here.addresses().filter { $0.linkIndex == link.index && $0.isLasting }
            let known = Set(try there.links().map(\.index))
            let target = device.name.flatMap { $0.isEmpty ? nil : $0 } ?? name
            // Down first: the host shall not see half of the change, and a name can only be changed then.
            try here.perform([LinkRequests.change(link.index, named: name, .init(up: false))])
            try here.perform([LinkRequests.change(link.index, named: name, .init(name: target, namespace: namespace.rawValue))])
            // The index may be another one there, and with "%d" so is the name.
            guard let moved = try there.links().first(where: { !known.contains($0.index) }) else {
                throw SystemError(call: "RTM_GETLINK", subject: "link \(target) in the container", errno: .noDevice)
            }
            try there.perform(
                addresses.map { AddressRequests.set($0.network, on: moved.index, named: moved.name) }
                    + [LinkRequests.change(moved.index, named: moved.name, .init(up: true))])
        }
    }
}
