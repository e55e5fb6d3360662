"""Several engines on one machine, and what an engine leaves on the host when it ends."""
import json
import subprocess

import pytest

from conftest import IMAGE, new_engine
from engine import wait_for

SERVE = "mkdir -p /www; echo $0 >/www/index.html; exec httpd -f -p 80 -h /www"


def on_the_host(bridge, network):
    """Which links and tables of an engine exist."""
    links = [n for n in (bridge, f"br-{network[:12]}") if subprocess.run(["ip", "link", "show", n], capture_output=True).returncode == 0]
    table = subprocess.run(["nft", "list", "table", "inet", f"berth-{bridge}"], capture_output=True).returncode == 0
    return links + ["table"] * table


def fetch(address):
    return subprocess.run(["curl", "-fs", "-m", "5", f"http://{address}/"], capture_output=True, text=True).stdout.strip()


@pytest.fixture
def start(tmp_path):
    engines = []

    def make(name):
        engines.append(new_engine(tmp_path / name))
        return engines[-1], next(iter(engines[-1].clients().values()))
    yield make
    for engine in engines:
        if engine.process.poll() is None:
            client = next(iter(engine.clients().values()))
            if ids := client.run("ps", "-aq").stdout.split():
                client.run("rm", "-f", *ids)
        engine.stop()


def test_two_engines_do_not_disturb_each_other(start):
    served = {}
    for name in ("one", "two"):
        engine, client = start(name)
        client.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", SERVE, name)
        served[name] = (client, client.ok("port", "web", "80"), json.loads(client.ok("network", "inspect", "bridge"))[0])
    for name, (client, address, _) in served.items():
        wait_for(f"the server of {name}", lambda: fetch(address) == name)
    bridges = {n["Options"]["com.docker.network.bridge.name"] for _, _, n in served.values()}
    subnets = {n["IPAM"]["Config"][0]["Subnet"] for _, _, n in served.values()}
    assert len(bridges) == 2 and len(subnets) == 2
    served["one"][0].ok("rm", "-f", "web")
    assert fetch(served["two"][1]) == "two"


def test_an_engine_without_containers_leaves_nothing_on_the_host(start):
    engine, client = start("one")
    network = client.ok("network", "create", "extra")
    bridge = json.loads(client.ok("network", "inspect", "bridge"))[0]["Options"]["com.docker.network.bridge.name"]
    client.ok("run", "--rm", "--network", "extra", "-p", "127.0.0.1::80", IMAGE, "true")
    assert len(on_the_host(bridge, network)) == 3
    engine.stop()
    assert on_the_host(bridge, network) == []
    engine.start()
    assert client.ok("run", "--rm", "--network", "extra", IMAGE, "echo", "still here") == "still here"


def test_an_engine_that_ends_leaves_running_containers_their_network(start):
    engine, client = start("one")
    client.ok("run", "-d", "--name", "web", "-p", "127.0.0.1::80", IMAGE, "sh", "-c", SERVE, "up")
    address = client.ok("port", "web", "80")
    wait_for("the server", lambda: fetch(address) == "up")
    engine.stop()
    assert fetch(address) == "up"
    engine.start()
    assert fetch(address) == "up" and client.ok("exec", "web", "echo", "hi") == "hi"


def test_the_roots_may_be_symbolic_links(start, tmp_path):
    for name in ("run", "data"):
        (tmp_path / f"real-{name}").mkdir()
        (tmp_path / "one").mkdir(exist_ok=True)
        (tmp_path / "one" / name).symlink_to(tmp_path / f"real-{name}")
    engine, client = start("one")
    client.ok("run", "-d", "--name", "keeper", "-v", "kept:/v", IMAGE, "sh", "-c", "echo word >/v/file; exec sleep 1000")
    assert wait_for("the file", lambda: client.run("exec", "keeper", "cat", "/v/file").stdout) == "word\n"
    client.ok("cp", "keeper:/v/file", str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "word\n"
    assert client.ok("info", "-f", "{{.DockerRootDir}}") == str(tmp_path / "real-data")
    assert "overlay" not in subprocess.run(["grep", str(tmp_path), "/proc/self/mountinfo"], capture_output=True, text=True).stdout
