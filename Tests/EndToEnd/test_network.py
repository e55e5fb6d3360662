"""The default bridge, published ports and user-defined networks."""
import json
import socket
import subprocess
import urllib.request

import pytest

from conftest import IMAGE
from engine import wait_for

SERVE = "mkdir -p /www; echo $0 >/www/index.html; exec httpd -f -p 80 -h /www"


def fetch(address):
    def once():
        try:
            return urllib.request.urlopen(f"http://{address}/", timeout=3).read().decode().strip()
        except OSError:
            return None
    return wait_for(f"an answer of {address}", once)


def serve(cli, name, *options):
    cli.ok("run", "-d", "--name", name, *options, IMAGE, "sh", "-c", SERVE, name)


def test_the_bridge_gives_an_address_and_a_default_route(cli):
    out = cli.ok("run", "--rm", IMAGE, "sh", "-c", "ip -4 -o addr show eth0; ip route; cat /sys/class/net/eth0/address")
    gateway = json.loads(cli.ok("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    assert f"default via {gateway} dev eth0" in out and "inet " in out


def test_a_published_port_answers_from_everywhere(cli, name):
    serve(cli, name, "-p", "80")
    port = cli.ok("port", name, "80").splitlines()[0].rsplit(":", 1)[1]
    assert fetch(f"127.0.0.1:{port}") == name
    gateway = json.loads(cli.ok("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    assert fetch(f"{gateway}:{port}") == name
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True).stdout.split()
    if own:
        assert fetch(f"{own[0]}:{port}") == name
    assert cli.ok("run", "--rm", IMAGE, "wget", "-qO-", f"http://{gateway}:{port}/") == name
    # from the container itself, through the host's address
    assert cli.ok("exec", name, "wget", "-qO-", f"http://{gateway}:{port}/") == name


def test_containers_on_the_bridge_reach_each_other(cli, name):
    serve(cli, name)
    address = cli.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name)
    wait_for("the server", lambda: cli.run("run", "--rm", IMAGE, "wget", "-qO-", f"http://{address}/").stdout.strip() == name)


ECHO = "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53)); print(flush=True); s.sendto(*s.recvfrom(100))"


def test_udp_is_published(cli, name):
    cli.ok("run", "-d", "--name", name, "-p", "127.0.0.1::53/udp", IMAGE, "sleep", "1000")
    port = int(cli.ok("port", name, "53/udp").rsplit(":", 1)[1])
    # busybox has no datagram server: the host's Python answers inside the container's network namespace
    server = subprocess.Popen(["nsenter", "-n", "-t", str(cli.inspect(name)["State"]["Pid"]), "python3", "-c", ECHO], stdout=subprocess.PIPE)
    server.stdout.readline()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(b"ping", ("127.0.0.1", port))
        assert s.recv(100) == b"ping"
    server.wait(5)


def test_a_port_that_is_taken_is_named_and_nothing_stays(cli, name):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        error = cli.fails("run", "-d", "--name", name, "-p", f"127.0.0.1:{port}:80", IMAGE, "sleep", "1000", code=125)
        assert f"127.0.0.1:{port}" in error and ("address already in use" in error or "port is already allocated" in error)
    cli.ok("rm", name)
    serve(cli, name, "-p", f"127.0.0.1:{port}:80")
    assert "port is already allocated" in cli.fails("run", "--rm", "-p", f"127.0.0.1:{port}:80", IMAGE, "true", code=125)


def test_names_resolve_on_a_network_of_ones_own(cli, name):
    cli.ok("network", "create", name)
    serve(cli, name + "-a", "--network", name, "--network-alias", "alias")
    for host in (name + "-a", "alias"):
        wait_for(host, lambda: cli.run("run", "--rm", "--network", name, IMAGE, "wget", "-qO-", f"http://{host}/").stdout.strip() == name + "-a")
    cli.ok("rm", "-f", name + "-a")
    cli.ok("network", "rm", name)


def test_networks_are_isolated_from_each_other(cli, name):
    cli.ok("network", "create", name)
    serve(cli, name + "-a")
    address = cli.ok("inspect", "-f", "{{.NetworkSettings.IPAddress}}", name + "-a")
    assert cli.run("run", "--rm", "--network", name, IMAGE, "wget", "-T", "1", "-qO-", f"http://{address}/").returncode != 0
    cli.ok("network", "rm", name)


def test_connect_and_disconnect_a_running_container(cli, name):
    cli.ok("network", "create", "--subnet", "10.211.7.0/24", name)
    cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    cli.ok("network", "connect", "--ip", "10.211.7.9", name, name)
    assert "10.211.7.9/24" in cli.ok("exec", name, "ip", "-4", "-o", "addr")
    assert "has active endpoints" in cli.fails("network", "rm", name)
    cli.ok("network", "disconnect", name, name)
    assert "10.211.7.9" not in cli.ok("exec", name, "ip", "-4", "-o", "addr")
    cli.ok("network", "rm", name)


def test_predefined_networks_stay(cli):
    for network in ("bridge", "host", "none"):
        assert "pre-defined network and cannot be removed" in cli.fails("network", "rm", network)


@pytest.mark.parametrize("options", [["--subnet", "nonsense"], ["--subnet", "10.1.0.0/16", "--gateway", "10.2.0.1"], ["-d", "nosuchdriver"]])
def test_a_network_that_makes_no_sense_is_refused(cli, name, options):
    cli.fails("network", "create", *options, name, code=1)


def test_a_renamed_container_has_its_new_name_in_its_network_too(cli, name):
    cli.ok("network", "create", f"{name}-net")
    cli.ok("run", "-d", "--name", name, "--network", f"{name}-net", IMAGE, "sleep", "60")
    cli.ok("rename", name, f"{name}-new")
    try:
        network = json.loads(cli.ok("network", "inspect", f"{name}-net"))[0]
        assert [container["Name"] for container in network["Containers"].values()] == [f"{name}-new"]
        assert f"{name}-new" in cli.inspect(f"{name}-new")["NetworkSettings"]["Networks"][f"{name}-net"]["DNSNames"]
        cli.ok("run", "--rm", "--network", f"{name}-net", IMAGE, "ping", "-c", "1", f"{name}-new")
        cli.fails("run", "--rm", "--network", f"{name}-net", IMAGE, "ping", "-c", "1", name)
    finally:
        cli.ok("rm", "-f", f"{name}-new")
        cli.ok("network", "rm", f"{name}-net")


def test_a_network_may_have_a_smaller_mtu_than_ipv6_needs(cli, name):
    cli.ok("network", "create", "-o", "com.docker.network.driver.mtu=1000", name)
    try:
        assert cli.ok("run", "--rm", "--network", name, IMAGE, "cat", "/sys/class/net/eth0/mtu") == "1000"
    finally:
        cli.ok("network", "rm", name)


def test_networks_that_a_request_names_stand_for_the_default_one(engine, docker, name):
    for net in ("a", "b"):
        docker.ok("network", "create", f"{name}-{net}")
    try:
        status, answer = engine.request("POST", f"/containers/create?name={name}", {
            "Image": IMAGE, "Cmd": ["sleep", "60"], "NetworkingConfig": {"EndpointsConfig": {f"{name}-a": {}, f"{name}-b": {}}}})
        assert status == 201, answer
        docker.ok("start", name)
        assert docker.ok("exec", name, "ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
        docker.ok("stop", "-t", "0", name)
        docker.ok("network", "disconnect", f"{name}-b", name)
        docker.ok("start", name)
        assert docker.ok("exec", name, "ls", "/sys/class/net").split() == ["eth0", "lo"]
    finally:
        docker.run("rm", "-f", name)
        for net in ("a", "b"):
            docker.ok("network", "rm", f"{name}-{net}")
