"""The stock compose, from the Debian packages beside us, on our engine; skipped where those are not set up."""
import subprocess

import pytest

from conftest import IMAGE
from peers import Peers

COMPOSE = """
services:
  web:
    image: {image}
    command: sh -c "mkdir -p /www; echo from web >/www/index.html; exec httpd -f -p 80 -h /www"
    ports: ["127.0.0.1::80"]
    healthcheck: {{test: ["CMD", "wget", "-q", "-O-", "http://127.0.0.1/"], interval: 200ms}}
    volumes: ["data:/data"]
    environment: {{COLOUR: blue}}
  client:
    image: {image}
    depends_on: {{web: {{condition: service_healthy}}}}
    command: sh -c "wget -q -O- http://web/ && sleep 100"
volumes: {{data: {{}}}}
"""


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    p = Peers(tmp_path_factory.mktemp("peers"))
    if p.run("docker", "compose", "version").returncode:
        p.close()
        pytest.skip("compose is not set up beside the peers")
    yield p
    p.close()


@pytest.fixture
def compose(peers, engine, tmp_path, name):
    (tmp_path / "compose.yaml").write_text(COMPOSE.format(image=IMAGE))
    prefix = ["docker", "-H", engine.host, "compose", "-p", name, "-f", str(tmp_path / "compose.yaml")]
    yield lambda *args, timeout=60: peers.ok(*prefix, *args) if timeout == 60 else peers.run(*prefix, *args, timeout=timeout)
    peers.run(*prefix, "down", "-v", "-t", "0")


def test_a_project_comes_up_in_order_and_goes_down(compose, docker, name):
    compose("up", "-d", "--wait")
    assert "from web" in compose("logs", "client")
    assert compose("exec", "-T", "web", "sh", "-c", "echo $COLOUR") == "blue"
    port = compose("port", "web", "80")
    assert subprocess.run(["curl", "-fs", f"http://{port}/"], capture_output=True, text=True).stdout == "from web\n"
    assert len(compose("ps", "-q").split()) == 2
    assert "httpd" in compose("top", "web")
    compose("down", "-v", "-t", "0")
    assert not docker.ok("ps", "-aq", "--filter", f"label=com.docker.compose.project={name}")
    assert not docker.ok("volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={name}")
    assert not docker.ok("network", "ls", "-q", "--filter", f"label=com.docker.compose.project={name}")


def test_services_stop_start_restart_scale_and_run_once(compose):
    compose("up", "-d", "--wait")
    compose("stop", "-t", "0")
    compose("start")
    compose("restart", "-t", "0")
    compose("up", "-d", "--wait", "--scale", "client=3")
    assert len(compose("ps", "-q", "client").split()) == 3
    assert compose("run", "--rm", "client", "echo", "once").splitlines()[-1] == "once"
