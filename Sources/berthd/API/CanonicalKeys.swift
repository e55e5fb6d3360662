import DockerAPI

/// Field names as the API spells them, for clients that spell them otherwise: Go's decoder takes `detachKeys` for `DetachKeys`, and clients rely on it.
///
/// Only names of fields are touched; the keys of maps (labels, options, ports) stay as they are.
enum CanonicalKeys {
    /// A name in small letters → the name. Where two fields differ in case only, both stay as they are written.
    private static let table: [String: String] = {
        var table: [String: String] = [:]
        let requests: [Any] = [
            ContainerCreateRequest(config: ContainerConfig()), ContainerConfig(), HealthConfig(), HostConfig(), LogConfig(), PortBinding(), RestartPolicy(), Mount(), Mount.BindOptionsSpec(),
            Mount.VolumeOptionsSpec(), Mount.TmpfsOptionsSpec(), Ulimit(Name: "", Hard: 0, Soft: 0), DeviceMapping(PathOnHost: "", PathInContainer: "", CgroupPermissions: ""), DeviceRequest(),
            NetworkingConfig(), EndpointSettings(), EndpointSettings.IPAM(), ExecCreateRequest(), ExecStartRequest(), ContainerUpdateRequest(), NetworkCreateRequest(), IPAMConfiguration(), IPAMPool(),
            NetworkConnectRequest(), NetworkDisconnectRequest(), VolumeCreateRequest(),
        ]
        for request in requests {
            for child in Mirror(reflecting: request).children {
                guard var name = child.label else { continue }
                if name.hasPrefix("_") { name.removeFirst() }
                let lower = name.lowercased()
                // Two spellings of one word: which is meant depends on the place, so what the client wrote counts.
                table[lower] = table[lower].map { $0 == name ? name : "" } ?? name
            }
        }
        table["config"] = nil
        return table.filter { !$0.value.isEmpty }
    }()

    private static let exact = Set(table.values)

    static func name(_ key: String) -> String { exact.contains(key) ? key : table[key.lowercased()] ?? key }
}

/// A key that a decoding strategy makes up.
struct FieldName: CodingKey {
    let stringValue: String
    let intValue: Int?
    init(_ name: String) { (stringValue, intValue) = (name, nil) }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { (stringValue, self.intValue) = (String(intValue), intValue) }
}
