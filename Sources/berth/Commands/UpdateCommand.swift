/// `update`.
enum UpdateCommand {
    private static let names = [
        "memory", "memory-reservation", "memory-swap", "kernel-memory", "cpus", "cpu-shares", "cpu-period", "cpu-quota", "cpu-rt-period",
        "cpu-rt-runtime", "cpuset-cpus", "cpuset-mems", "pids-limit",
    ]

    static let command = Command(
        name: "update", synopsis: "[OPTIONS] CONTAINER [CONTAINER...]", summary: "Update configuration of one or more containers", arguments: .atLeast(1),
        flags: CreateFlags.resources.filter { names.contains($0.name) }.map { $0.name == "kernel-memory" ? $0.hidden() : $0 } + [
            .uint16("blkio-weight", "Block IO (relative weight), between 10 and 1000, or 0 to disable"),
            .string("restart", "Restart policy to apply when a container exits"),
        ], aliases: ["container update", "update"], run: run)

    private static func run(_ call: Invocation) throws {
        if !(names + ["blkio-weight", "restart"]).contains(where: call.changed) {
            throw CommandFailure("you must provide one or more flags when using this command")
        }
        let restart = try RestartPolicy.parse(call.string("restart"))
        let body: JSONValue = [
            "CpuShares": .int(call.int("cpu-shares")), "Memory": .int(call.int("memory")), "NanoCpus": .int(call.int("cpus")), "CgroupParent": "",
            "BlkioWeight": .int(call.int("blkio-weight")), "BlkioWeightDevice": .null, "BlkioDeviceReadBps": .null, "BlkioDeviceWriteBps": .null,
            "BlkioDeviceReadIOps": .null, "BlkioDeviceWriteIOps": .null, "CpuPeriod": .int(call.int("cpu-period")), "CpuQuota": .int(call.int("cpu-quota")),
            "CpuRealtimePeriod": .int(call.int("cpu-rt-period")), "CpuRealtimeRuntime": .int(call.int("cpu-rt-runtime")),
            "CpusetCpus": .string(call.string("cpuset-cpus")), "CpusetMems": .string(call.string("cpuset-mems")), "Devices": .null,
            "DeviceCgroupRules": .null, "DeviceRequests": .null, "MemoryReservation": .int(call.int("memory-reservation")),
            "MemorySwap": .int(call.int("memory-swap")), "MemorySwappiness": .null, "OomKillDisable": .null,
            "PidsLimit": call.int("pids-limit") == 0 ? .null : .int(call.int("pids-limit")), "Ulimits": .null, "CpuCount": 0, "CpuPercent": 0,
            "IOMaximumIOps": 0, "IOMaximumBandwidth": 0, "RestartPolicy": restart.json,
        ]
        let engine = try call.engine
        var warnings: [String] = []
        var failures: [String] = []
        for name in call.arguments {
            do {
                warnings += try engine.json("POST", call.containerPath(name, "/update"), body: .json(body)).strings("Warnings")
                call.print(name)
            } catch { failures.append(Main.describe(error).message) }
        }
        if !warnings.isEmpty { call.print(warnings.joined(separator: "\n")) }
        if !failures.isEmpty { throw CommandFailure(failures.joined(separator: "\n")) }
    }
}
