import Cgroups
import JSONCodec
import OCISpec

// The text of state.json, which every command but `create` and `run` reads first.

extension ContainerRecord: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            ociVersion: try object.string("ociVersion"), id: try object.string("id"), bundle: try object.string("bundle"),
            rootfs: try object.string("rootfs"), annotations: try object.stringMap("annotations"), created: try object.string("created"),
            ownerUID: try object.integer("ownerUID"), creator: try object.value("creator"), initProcess: try object.optional("initProcess"),
            cgroup: try object.value("cgroup"), systemd: try object.optional("systemd"), resctrl: try object.optional("resctrl"),
            ownPIDNamespace: try object.required("ownPIDNamespace").bool(), ownMountNamespace: try object.required("ownMountNamespace").bool(),
            namespaces: try object.strings("namespaces"), later: try object.optional("later"))
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("ociVersion", ociVersion)
        object.add("id", id)
        object.add("bundle", bundle)
        object.add("rootfs", rootfs)
        object.add("annotations", annotations)
        object.add("created", created)
        object.add("ownerUID", UInt64(ownerUID))
        object.add("creator", creator.write(to:))
        if let initProcess { object.add("initProcess", initProcess.write(to:)) }
        object.add("cgroup", cgroup.write(to:))
        if let systemd { object.add("systemd", systemd.write(to:)) }
        if let resctrl { object.add("resctrl", resctrl.write(to:)) }
        object.add("ownPIDNamespace", ownPIDNamespace)
        object.add("ownMountNamespace", ownMountNamespace)
        object.add("namespaces", namespaces)
        if let later { object.add("later", later.write(to:)) }
    }
}

extension ContainerRecord.Later: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(poststart: try object.list("poststart"), poststop: try object.list("poststop"), hasProcess: try object.flag("hasProcess"))
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("poststart", count: poststart.count) { poststart[$1].write(to: &$0) }
        object.add("poststop", count: poststop.count) { poststop[$1].write(to: &$0) }
        object.add("hasProcess", hasProcess)
    }
}

extension ProcessIdentity: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(pid: try object.integer("pid"), startTime: try object.integer("startTime"))
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("pid", Int64(pid))
        object.add("startTime", startTime)
    }
}

extension SystemdUnit: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(name: try object.string("name"), slice: try object.string("slice"), isUser: try object.flag("isUser"))
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("name", name)
        object.add("slice", slice)
        object.add("isUser", isUser)
    }
}

extension ResctrlGroup: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        path = try object.string("path")
        monitoringPath = try object.optionalString("monitoringPath")
        isOwned = try object.flag("isOwned")
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("path", path)
        object.add("monitoringPath", monitoringPath)
        object.add("isOwned", isOwned)
    }
}

extension Cgroup: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(v1: try object.list("v1"), v2: try object.optional("v2"))
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("v1", count: v1.count) { v1[$1].write(to: &$0) }
        if let v2 { object.add("v2", v2.write(to:)) }
    }
}

extension Cgroup.Directory: JSONReadable {
    init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(controllers: try object.strings("controllers"), path: try object.string("path"), mountPoint: try object.string("mountPoint"))
    }

    func write(to object: inout JSONObjectWriter) {
        object.add("controllers", controllers)
        object.add("path", path)
        object.add("mountPoint", mountPoint)
    }
}
