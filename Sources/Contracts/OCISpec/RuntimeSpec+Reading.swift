package import JSONCodec

// How a runtime reads the document, which it does at every start. Which fields there are stands a second time here, beside what the compiler makes of
// `Codable`; a test reads every field in both ways.

extension RuntimeSpec: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            ociVersion: try object.string("ociVersion"), process: try object.optional("process"), root: try object.optional("root"),
            hostname: try object.optionalString("hostname"), domainname: try object.optionalString("domainname"), mounts: try object.list("mounts"),
            hooks: try object.optional("hooks"), annotations: try object.stringMap("annotations"), linux: try object.optional("linux"))
    }
}

extension RuntimeSpec.Root: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(path: try object.string("path"), readonly: try object.flag("readonly"))
    }
}

extension RuntimeSpec.Mount: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            destination: try object.string("destination"), type: try object.optionalString("type"), source: try object.optionalString("source"),
            options: try object.strings("options"), uidMappings: try object.list("uidMappings"), gidMappings: try object.list("gidMappings"))
    }
}

extension RuntimeSpec.IDMapping: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(containerID: try object.integer("containerID"), hostID: try object.integer("hostID"), size: try object.integer("size"))
    }
}

extension RuntimeSpec.Hooks: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            prestart: try object.list("prestart"), createRuntime: try object.list("createRuntime"), createContainer: try object.list("createContainer"),
            startContainer: try object.list("startContainer"), poststart: try object.list("poststart"), poststop: try object.list("poststop"))
    }
}

extension RuntimeSpec.Hook: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            path: try object.string("path"), args: try object.strings("args"), env: try object.strings("env"), timeout: try object.optionalInteger("timeout"))
    }

    package func write(to object: inout JSONObjectWriter) {
        object.add("path", path)
        if !args.isEmpty { object.add("args", args) }
        if !env.isEmpty { object.add("env", env) }
        if let timeout { object.add("timeout", Int64(timeout)) }
    }
}

// MARK: Process

extension RuntimeSpec.Process: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            terminal: try object.flag("terminal"), consoleSize: try object.optional("consoleSize"),
            user: try object.optional("user") ?? RuntimeSpec.User(), args: try object.strings("args"), env: try object.strings("env"),
            cwd: try object.string("cwd"), capabilities: try object.optional("capabilities"), rlimits: try object.list("rlimits"),
            noNewPrivileges: try object.flag("noNewPrivileges"), apparmorProfile: try object.optionalString("apparmorProfile"),
            oomScoreAdj: try object.optionalInteger("oomScoreAdj"), scheduler: try object.optional("scheduler"),
            selinuxLabel: try object.optionalString("selinuxLabel"), ioPriority: try object.optional("ioPriority"),
            execCPUAffinity: try object.optional("execCPUAffinity"))
    }
}

extension RuntimeSpec.ConsoleSize: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(height: try object.integer("height"), width: try object.integer("width"))
    }
}

extension RuntimeSpec.User: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            uid: try object.optionalInteger("uid") ?? 0, gid: try object.optionalInteger("gid") ?? 0, umask: try object.optionalInteger("umask"),
            additionalGids: try object.integers("additionalGids"))
    }
}

extension RuntimeSpec.Capabilities: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            bounding: try object.strings("bounding"), effective: try object.strings("effective"), inheritable: try object.strings("inheritable"),
            permitted: try object.strings("permitted"), ambient: try object.strings("ambient"))
    }
}

extension RuntimeSpec.Rlimit: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(type: try object.string("type"), soft: try object.integer("soft"), hard: try object.integer("hard"))
    }
}

extension RuntimeSpec.Scheduler: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(
            policy: try object.string("policy"), nice: try object.optionalInteger("nice"), priority: try object.optionalInteger("priority"),
            flags: try object.strings("flags"), runtime: try object.optionalInteger("runtime"), deadline: try object.optionalInteger("deadline"),
            period: try object.optionalInteger("period"))
    }
}

extension RuntimeSpec.IOPriority: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(class: try object.string("class"), priority: try object.optionalInteger("priority"))
    }
}

extension RuntimeSpec.CPUAffinity: JSONReadable {
    package init(json: JSONNode) throws(JSONError) {
        let object = try json.object()
        self.init(initial: try object.optionalString("initial"), final: try object.optionalString("final"))
    }
}
