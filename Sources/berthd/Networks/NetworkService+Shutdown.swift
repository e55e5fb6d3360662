import LinuxSystem

extension NetworkService {
    /// Takes the bridges that the engine made and its packet filter table away: what an engine does that ends while no container runs. The next start
    /// makes them anew from the records. Failures are logged: there is nobody left to answer to.
    func withdraw() async {
        do { try await filter.remove() } catch { Log.warning("cannot remove the packet filter table: \(error)") }
        for record in networks.values where record.driver == .bridge {
            let name = record.linkName
            // A bridge that was named with --bridge is its maker's.
            guard name != configuration.bridgeName || configuration.ownsBridge else { continue }
            do {
                try await blocking { () throws(SystemError) in try BridgeDriver.deleteBridge(name) }
            } catch { Log.warning("cannot remove the bridge \(name): \(error)") }
        }
    }
}
