package import JSONCodec

extension RuntimeSpec.Linux.Resources: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            devices: try object.list("devices"), memory: try object.optional("memory"), cpu: try object.optional("cpu"),
            pids: try object.optional("pids"), blockIO: try object.optional("blockIO"), hugepageLimits: try object.list("hugepageLimits"),
            network: try object.optional("network"), rdma: try object.map("rdma"), unified: try object.stringMap("unified"))
    }
}

extension RuntimeSpec.Linux.Resources.DeviceRule: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            allow: try object.flag("allow"), type: try object.optionalString("type"), major: try object.optionalInteger("major"),
            minor: try object.optionalInteger("minor"), access: try object.optionalString("access"))
    }
}

extension RuntimeSpec.Linux.Resources.Memory: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            limit: try object.optionalInteger("limit"), reservation: try object.optionalInteger("reservation"),
            swap: try object.optionalInteger("swap"), kernel: try object.optionalInteger("kernel"),
            kernelTCP: try object.optionalInteger("kernelTCP"), swappiness: try object.optionalInteger("swappiness"),
            disableOOMKiller: try object.optionalBool("disableOOMKiller"), useHierarchy: try object.optionalBool("useHierarchy"),
            checkBeforeUpdate: try object.optionalBool("checkBeforeUpdate"))
    }
}

extension RuntimeSpec.Linux.Resources.CPU: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            shares: try object.optionalInteger("shares"), quota: try object.optionalInteger("quota"),
            burst: try object.optionalInteger("burst"), period: try object.optionalInteger("period"),
            realtimeRuntime: try object.optionalInteger("realtimeRuntime"), realtimePeriod: try object.optionalInteger("realtimePeriod"),
            cpus: try object.optionalString("cpus"), mems: try object.optionalString("mems"), idle: try object.optionalInteger("idle"))
    }
}

extension RuntimeSpec.Linux.Resources.Pids: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(limit: try object.optionalInteger("limit"))
    }
}

extension RuntimeSpec.Linux.Resources.BlockIO: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            weight: try object.optionalInteger("weight"), leafWeight: try object.optionalInteger("leafWeight"),
            weightDevice: try object.list("weightDevice"), throttleReadBpsDevice: try object.list("throttleReadBpsDevice"),
            throttleWriteBpsDevice: try object.list("throttleWriteBpsDevice"),
            throttleReadIOPSDevice: try object.list("throttleReadIOPSDevice"),
            throttleWriteIOPSDevice: try object.list("throttleWriteIOPSDevice"))
    }
}

extension RuntimeSpec.Linux.Resources.WeightDevice: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            major: try object.integer("major"), minor: try object.integer("minor"), weight: try object.optionalInteger("weight"),
            leafWeight: try object.optionalInteger("leafWeight"))
    }
}

extension RuntimeSpec.Linux.Resources.ThrottleDevice: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(major: try object.integer("major"), minor: try object.integer("minor"), rate: try object.integer("rate"))
    }
}

extension RuntimeSpec.Linux.Resources.HugepageLimit: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        // Go reads names in any case, and "pagesize" is what one finds in the field.
        let pageSize: String
        if let other = try object.optionalString("pagesize") { pageSize = other } else { pageSize = try object.string("pageSize") }
        self.init(pageSize: pageSize, limit: try object.integer("limit"))
    }
}

extension RuntimeSpec.Linux.Resources.Network: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(classID: try object.optionalInteger("classID"), priorities: try object.list("priorities"))
    }
}

extension RuntimeSpec.Linux.Resources.InterfacePriority: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(name: try object.string("name"), priority: try object.integer("priority"))
    }
}

extension RuntimeSpec.Linux.Resources.Rdma: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(hcaHandles: try object.optionalInteger("hcaHandles"), hcaObjects: try object.optionalInteger("hcaObjects"))
    }
}
