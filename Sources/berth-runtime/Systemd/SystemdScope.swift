import BerthDefaults
import Cgroups
import LinuxSystem
import SystemdBus

/// Makes, changes and ends a container's unit.
///
/// What systemd has no property for, and what it has, is written to the cgroup's files as well: the unit is delegated.
struct SystemdScope {
    let unit: SystemdUnit
    private let manager: SystemdManager
    private let version: Int

    init(_ unit: SystemdUnit) throws(RuntimeError) {
        self.unit = unit
        let manager = try unit.manager()
        do throws(BusError) { version = SystemdManager.version(of: try manager.property("Version")) } catch {
            throw RuntimeError(error, while: "ask systemd for its version")
        }
        self.manager = manager
    }

    func cgroup(_ layout: CgroupLayout) throws(RuntimeError) -> Cgroup { try unit.cgroup(layout, manager: manager) }

    /// Starts the unit with the process in it.
    /// - Parameter limits: rounded to what systemd can say.
    func start(_ pid: Int32, id: String, cgroup: Cgroup, annotations: [String: String], _ limits: inout CgroupLimits) throws(RuntimeError) {
        let isUnified = cgroup.v1.isEmpty
        var properties = [SystemdManager.Property("Description", .string("berth container \(id)"))]
        if unit.isScope {
            properties += [.init("Slice", .string(unit.slice)), .init("Delegate", .boolean(true)), .init("PIDs", .array(of: "u", [.uint32(UInt32(bitPattern: pid))]))]
        } else {
            properties.append(.init("Wants", .strings([unit.slice])))
        }
        for name in ["MemoryAccounting", "CPUAccounting", isUnified ? "IOAccounting" : "BlockIOAccounting", "TasksAccounting"] {
            properties.append(.init(name, .boolean(true)))
        }
        properties.append(.init("DefaultDependencies", .boolean(false)))
        properties += try SystemdAnnotations.properties(annotations)
        properties += try SystemdProperties.make(&limits, isUnified: isUnified, version: version)
        do throws(BusError) { try manager.startTransientUnit(unit.name, properties) } catch { throw RuntimeError(error, while: "unable to start unit \"\(unit.name)\"") }
    }

    /// - Parameter limits: only what changes; rounded to what systemd can say.
    func update(_ limits: inout CgroupLimits, isUnified: Bool) throws(RuntimeError) {
        let properties = try SystemdProperties.make(&limits, isUnified: isUnified, version: version)
        if properties.isEmpty { return }
        do throws(BusError) { try manager.setProperties(of: unit.name, properties) } catch { throw RuntimeError(error, while: "unable to set unit properties") }
    }

    func attach(_ pid: Int32) throws(RuntimeError) {
        do throws(BusError) { try manager.attach([pid], to: unit.name) } catch { throw RuntimeError(error, while: "unable to move process into unit \"\(unit.name)\"") }
    }

    func stop() throws(RuntimeError) {
        do throws(BusError) { try manager.stopUnit(unit.name) } catch { throw RuntimeError(error, while: "unable to stop unit \"\(unit.name)\"") }
    }
}
