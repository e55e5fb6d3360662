import CProtobufC

/// What containerd 2.3 writes to the standard input of `shim start`.
package struct BootstrapParameters: Sendable {
    package var instanceID: String
    package var namespace: String
    package var logLevel: Int32
    package var ttrpcAddress: String
    package var grpcAddress: String
    package var containerdBinary: String
    package var extensions: [AnyMessage]
    package var socketDirectory: String

    package init(decoding bytes: [UInt8]) throws(ProtobufError) {
        let unpacked = try Unpacked("BootstrapParams", bytes, containerd__runtime__bootstrap__v1__bootstrap_params__unpack)
        let message = unpacked.pointer.pointee
        instanceID = String(cString: message.instance_id)
        namespace = String(cString: message.namespace_)
        logLevel = message.log_level
        ttrpcAddress = String(cString: message.containerd_ttrpc_address)
        grpcAddress = String(cString: message.containerd_grpc_address)
        containerdBinary = String(cString: message.containerd_binary)
        extensions = (0..<message.n_extensions).compactMap { AnyMessage(message.extensions[$0]!.pointee.value) }
        socketDirectory = String(cString: message.socket_dir)
    }
}

/// And reads from its standard output.
package struct BootstrapResult: Sendable {
    package var version: Int32
    package var address: String
    package var transport = "ttrpc"

    package init(version: Int32, address: String) {
        self.version = version
        self.address = address
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__runtime__bootstrap__v1__bootstrap_result__init)
        message.pointee.version = version
        message.pointee.address = arena.string(address)
        message.pointee.protocol = arena.string(transport)
        return arena.pack(message)
    }
}

/// What `shim -info` prints.
package struct RuntimeInfo: Sendable {
    package var name: String
    package var version: String
    package var options: AnyMessage?
    /// JSON of the runtime specification's Features.
    package var features: AnyMessage?

    package init(name: String, version: String, options: AnyMessage?, features: AnyMessage?) {
        self.name = name
        self.version = version
        self.options = options
        self.features = features
    }

    package func encoded() -> [UInt8] {
        let arena = MessageArena()
        let message = arena.make(containerd__types__runtime_info__init)
        message.pointee.name = arena.string(name)
        let version = arena.make(containerd__types__runtime_version__init)
        version.pointee.version = arena.string(self.version)
        message.pointee.version = version
        message.pointee.options = options.map(arena.any)
        message.pointee.features = features.map(arena.any)
        return arena.pack(message)
    }
}
