import DockerAPI
import FoundationEssentials
import Testing

@testable import berth

/// What `run` and `create` make of their flags. The bodies are decoded with the daemon's own types, so that the two sides cannot drift apart.
struct ContainerOptionTests {
    private func request(_ words: String...) throws -> ContainerRequest {
        let flags = try FlagParser(flags: CreateFlags.all, interspersed: false).parse(words[...])
        return try ContainerRequest(flags, image: "busybox", command: ["true"], proxies: [])
    }

    private func decoded(_ request: ContainerRequest) throws -> ContainerCreateRequest {
        try JSONDecoder().decode(ContainerCreateRequest.self, from: Data(request.body.text.utf8))
    }

    private func failure(_ words: String...) -> String {
        do {
            let flags = try FlagParser(flags: CreateFlags.all, interspersed: false).parse(words[...])
            _ = try ContainerRequest(flags, image: "busybox", command: [], proxies: [])
            return ""
        } catch { return (error as? CommandFailure)?.message ?? "\(error)" }
    }

    @Test func `the daemon's types read what the client sends`() throws {
        let body = try decoded(
            request(
                "-it", "-e", "A=1", "-m", "64m", "--cpus", "1.5", "-p", "127.0.0.1:8080:80/udp", "-v", "/a:/b:ro", "-v", "/anon", "--ulimit", "nofile=1:2",
                "--restart", "on-failure:3", "--health-cmd", "true", "--health-interval", "5s", "--mount", "type=tmpfs,target=/t,tmpfs-size=1m",
                "--device", "/dev/null:/dev/x:r", "--label", "k=v", "--network", "name=net,alias=web,ip=10.0.0.5", "--stop-timeout", "3"))
        #expect(body.config.Env == ["A=1"])
        #expect(body.config.Tty == true)
        let host = try #require(body.HostConfig)
        #expect(host.Memory == 64 << 20)
        #expect(host.NanoCpus == 1_500_000_000)
        #expect(host.Binds == ["/a:/b:ro"])
    }

    @Test func `attached input is closed with its client`() throws {
        #expect(try request("-i").config["StdinOnce"] == true)
        #expect(try request("-a", "stdout").config["AttachStderr"] == false)
        var detached = try request("-i")
        detached.detach()
        #expect(detached.config["OpenStdin"] == true && detached.config["AttachStdin"] == false && detached.config["StdinOnce"] == false)
    }

    @Test func `capabilities are spelled as the kernel spells them`() throws {
        #expect(try request("--cap-add", "net_admin", "--cap-add", "CAP_SYS_TIME", "--cap-add", "NET_ADMIN").hostConfig["CapAdd"] == ["CAP_NET_ADMIN", "CAP_SYS_TIME"])
        #expect(try request("--cap-drop", "all").hostConfig["CapDrop"] == ["ALL"])
    }

    @Test func `port specs`() throws {
        var ports = PortSpecs()
        for spec in ["80", "8080:80", "[::1]:443:443/tcp", "9000-9001:90-91/udp", "7000-7010:70", "published=1,target=2,protocol=sctp"] { try ports.publish(spec) }
        #expect(ports.exposed == ["80/tcp", "443/tcp", "90/udp", "91/udp", "70/tcp", "2/sctp"])
        #expect(ports.bindings.first { $0.port == "80/tcp" }?.addresses.map(\.hostPort) == ["", "8080"])
        #expect(ports.bindings.first { $0.port == "443/tcp" }?.addresses.first?.ip == "::1")
        #expect(ports.bindings.first { $0.port == "70/tcp" }?.addresses.first?.hostPort == "7000-7010")
        for wrong in ["", "x:80", "80/foo", "1.2.3:80:80", "99999", "1-2:3-5", ":"] {
            #expect(throws: CommandFailure.self, "\(wrong)") {
                var ports = PortSpecs()
                try ports.publish(wrong)
            }
        }
    }

    @Test func `mounts`() throws {
        #expect(try MountSpec.mount("type=bind,src=/a,dst=/b,ro,bind-propagation=rslave")["BindOptions"]?["Propagation"] == "rslave")
        #expect(try MountSpec.mount("target=/v,volume-opt=type=nfs,volume-driver=d")["VolumeOptions"]?["DriverConfig"]?["Options"]?["type"] == "nfs")
        #expect(try MountSpec.mount("type=tmpfs,target=/t,tmpfs-mode=700")["TmpfsOptions"]?["Mode"] == 448)
        #expect(try MountSpec.mount("type=bind,\"source=/a,b\",target=/t")["Source"] == "/a,b")
        for wrong in ["", "x", "type=bind", "type=,target=/a", "type=bind,target=/a,volume-nocopy=true", "target=/a,readonly=maybe", "target=/a,foo=bar"] {
            #expect(throws: InvalidValue.self, "\(wrong)") { try MountSpec.mount(wrong) }
        }
    }

    @Test func `contradictions are told`() {
        #expect(failure("--rm", "--restart", "always") == "conflicting options: cannot specify both --restart and --rm")
        #expect(failure("--no-healthcheck", "--health-cmd", "x") == "--no-healthcheck conflicts with --health-* options")
        #expect(failure("--network", "a", "--network", "host").hasPrefix("conflicting options: cannot attach both"))
        #expect(failure("--network-alias", "x") == "network-scoped aliases are only supported for user-defined networks")
        #expect(failure("--gpus", "all").hasPrefix("--gpus is not supported"))
        #expect(failure("--security-opt", "foo") == "Invalid --security-opt: \"foo\"")
        #expect(failure("--memory-swappiness", "101") == "invalid value: 101. Valid memory swappiness range is 0-100")
    }
}
