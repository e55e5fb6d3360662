package import JSONCodec

extension RuntimeSpec.Linux: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            namespaces: try object.list("namespaces"), uidMappings: try object.list("uidMappings"),
            gidMappings: try object.list("gidMappings"), timeOffsets: try object.map("timeOffsets"), devices: try object.list("devices"),
            netDevices: try object.map("netDevices"), cgroupsPath: try object.optionalString("cgroupsPath"),
            resources: try object.optional("resources"), rootfsPropagation: try object.optionalString("rootfsPropagation"),
            maskedPaths: try object.strings("maskedPaths"), readonlyPaths: try object.strings("readonlyPaths"),
            mountLabel: try object.optionalString("mountLabel"), sysctl: try object.stringMap("sysctl"),
            seccomp: try object.optional("seccomp"), intelRdt: try object.optional("intelRdt"),
            memoryPolicy: try object.optional("memoryPolicy"), personality: try object.optional("personality"))
    }
}

extension RuntimeSpec.Linux.Namespace: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(type: try object.string("type"), path: try object.optionalString("path"))
    }
}

extension RuntimeSpec.Linux.TimeOffset: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(secs: try object.optionalInteger("secs"), nanosecs: try object.optionalInteger("nanosecs"))
    }
}

extension RuntimeSpec.Linux.Device: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            path: try object.string("path"), type: try object.string("type"), major: try object.optionalInteger("major"),
            minor: try object.optionalInteger("minor"), fileMode: try object.optionalInteger("fileMode"),
            uid: try object.optionalInteger("uid"), gid: try object.optionalInteger("gid"))
    }
}

extension RuntimeSpec.Linux.NetDevice: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(name: try object.optionalString("name"))
    }
}

extension RuntimeSpec.Linux.IntelRdt: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            closID: try object.optionalString("closID"), schemata: try object.strings("schemata"),
            l3CacheSchema: try object.optionalString("l3CacheSchema"), memBwSchema: try object.optionalString("memBwSchema"),
            enableMonitoring: try object.flag("enableMonitoring"))
    }
}

extension RuntimeSpec.Linux.MemoryPolicy: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(mode: try object.optionalString("mode"), nodes: try object.optionalString("nodes"), flags: try object.strings("flags"))
    }
}

extension RuntimeSpec.Linux.Personality: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(domain: try object.string("domain"), flags: try object.strings("flags"))
    }
}
