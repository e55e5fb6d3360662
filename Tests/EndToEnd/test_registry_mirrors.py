"""Where images come from: mirrors of Docker Hub, hosts.toml for any registry, and what happens when the first place has it not, or lies."""
import subprocess

import pytest

from conftest import busybox_image
from engine import Engine
from registry import LyingRegistry, Registry, free_port, layer



@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have engines of their own and start next to nothing on them."""


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    r.push("library/fromhub", "latest", [busybox_image()], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    r.push("team/app", "v1", [layer({"app": b"one"})])
    yield r
    r.stop()


def engine_with(tmp_path, *args):
    return Engine(tmp_path / "engine", "--bridge", "none", *args)


@pytest.fixture
def mirrored(tmp_path, registry):
    """An engine whose first mirror is down and whose second one has the images."""
    engine = engine_with(tmp_path, "--registry-mirror", f"http://127.0.0.1:{free_port()}", "--registry-mirror", f"http://{registry.name}/").start()
    yield engine
    engine.stop()


def test_an_image_of_docker_hub_comes_from_the_mirror(mirrored):
    docker = mirrored.clients()["docker"]
    out = docker.ok("pull", "fromhub")
    assert "latest: Pulling from library/fromhub" in out and "docker.io/library/fromhub:latest" in out
    assert docker.inspect("fromhub", "image")["RepoTags"] == ["fromhub:latest"]
    assert docker.ok("run", "--rm", "--network", "none", "fromhub", "echo", "from the mirror") == "from the mirror"


def test_info_names_the_mirrors(mirrored, registry):
    assert f"http://{registry.name}" in mirrored.clients()["docker"].ok("info", "-f", "{{.RegistryConfig.Mirrors}}")


def test_mirrors_are_for_docker_hub_alone(mirrored):
    port = free_port()
    assert f"127.0.0.1:{port}: connect: connection refused" in mirrored.clients()["docker"].fails("pull", f"127.0.0.1:{port}/library/fromhub")


def test_a_mirror_without_a_scheme_is_refused(tmp_path):
    program = engine_with(tmp_path, "--registry-mirror", "mirror.example:5000")
    with pytest.raises(AssertionError, match="invalid mirror"):
        program.start()


@pytest.fixture
def hosts(tmp_path):
    """An engine with a certs.d of its own; writes the hosts.toml of a registry."""
    folder = tmp_path / "certs.d"
    folder.mkdir()
    engine = engine_with(tmp_path, "--registry-config-path", str(folder)).start()

    def write(host, text):
        (folder / host).mkdir(exist_ok=True)
        (folder / host / "hosts.toml").write_text(text)

    engine.write_hosts = write
    yield engine
    engine.stop()


def test_hosts_toml_gives_any_registry_mirrors_in_order(hosts, registry):
    hosts.write_hosts("registry.example", f'''
server = "http://127.0.0.1:{free_port()}"

[host."http://127.0.0.1:{free_port()}"]
  capabilities = ["pull", "resolve"]

[host."http://{registry.name}"]   # the one that has it
  capabilities = ["pull", "resolve"]
  [host."http://{registry.name}".header]
    x-team = ["a"]
''')
    docker = hosts.clients()["docker"]
    docker.ok("pull", "registry.example/team/app:v1")
    assert docker.ok("images", "-q", "registry.example/team/app")


def test_a_place_that_may_only_resolve_is_not_asked_for_content(hosts, registry):
    hosts.write_hosts("registry.example", f'server = "http://127.0.0.1:{free_port()}"\n[host."http://{registry.name}"]\ncapabilities = ["resolve"]\n')
    assert "connection refused" in hosts.clients()["docker"].fails("pull", "registry.example/team/app:v1")


def test_pushes_go_past_mirrors_to_the_server(hosts, registry, tmp_path):
    hosts.write_hosts("registry.example", f'server = "http://{registry.name}"\n[host."http://127.0.0.1:{free_port()}"]\ncapabilities = ["pull", "resolve"]\n')
    docker = hosts.clients()["docker"]
    docker.ok("pull", "registry.example/team/app:v1")
    docker.ok("tag", "registry.example/team/app:v1", "registry.example/pushed/app:v2")
    docker.ok("push", "registry.example/pushed/app:v2")
    assert registry.call("GET", "/v2/pushed/app/manifests/v2").status == 200


@pytest.mark.parametrize("text", ['server = 1\n', 'colour = "red"\n', '[host."http://x"]\ncapabilities = ["fly"]\n', 'server = "unfinished\n'])
def test_a_hosts_toml_that_is_not_understood_fails_the_pull_by_its_name(hosts, text):
    hosts.write_hosts("registry.example", text)
    assert "registry.example/hosts.toml" in hosts.clients()["docker"].fails("pull", "registry.example/team/app:v1")


@pytest.mark.parametrize("lie", ["manifest404", "error500", "digest"])
def test_a_mirror_that_has_it_not_or_lies_is_passed_over(hosts, registry, lie):
    liar = LyingRegistry(lie)
    registry.push("liar", "latest", [layer({"file": b"x" * 1000})])
    try:
        hosts.write_hosts("registry.example", f'server = "http://{registry.name}"\n[host."http://{liar.name}"]\n')
        hosts.clients()["docker"].ok("pull", "registry.example/liar", timeout=120)
    finally:
        liar.stop()
