"""`berth-supervisor fsck`: finds what is damaged, says what it would do, repairs what can be had again."""
import subprocess

import pytest

from conftest import busybox_image
from engine import BIN, Engine
from fakeregistry import FakeRegistry
from registry import layer


@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have engines of their own."""


@pytest.fixture(scope="module")
def registry():
    r = FakeRegistry()
    r.image("app", "latest", [busybox_image(), layer({"two": b"2"})], config={"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    yield r
    r.stop()


@pytest.fixture
def stopped(tmp_path, registry):
    """An engine with an image and a container, stopped."""
    engine = Engine(tmp_path / "e", "--bridge", "none").start()
    try:
        docker = engine.clients()["docker"]
        docker.ok("pull", f"{registry.name}/app")
        docker.ok("create", "--name", "checked", "--network", "none", f"{registry.name}/app", "cat", "/two")
        engine.stop()
        yield engine
    finally:
        engine.stop()


def fsck(engine, *args):
    r = subprocess.run([BIN / "berth-supervisor", "fsck", "--root", engine.folder / "data/supervisor", *args], capture_output=True, text=True, timeout=60)
    assert not r.stderr, r.stderr
    return r.returncode, r.stdout


def root(engine):
    return engine.folder / "data/supervisor"


def largest_blob(engine):
    return max((root(engine) / "content/blobs/sha256").iterdir(), key=lambda p: p.stat().st_size)


def test_a_healthy_store_is_clean(stopped):
    assert fsck(stopped) == (0, f"{root(stopped)}: clean\n")


def test_a_flipped_bit_is_found_by_reading_and_not_by_a_quick_look(stopped):
    blob = largest_blob(stopped)
    blob.chmod(0o600)
    with open(blob, "r+b") as f:
        f.seek(1000)
        byte = f.read(1)
        f.seek(1000)
        f.write(bytes([byte[0] ^ 1]))
    assert fsck(stopped, "--quick")[0] == 0
    status, out = fsck(stopped)
    assert status == 4 and f"sha256:{blob.name}" in out and "the file's digest is" in out and "would remove the record" in out
    assert blob.exists(), "without --repair nothing is changed"


def test_damage_is_repaired_and_the_next_pull_brings_back_what_was_lost(stopped, registry):
    largest_blob(stopped).unlink()
    (root(stopped) / "content/blobs/sha256" / ("0" * 64)).write_text("nobody's")
    (root(stopped) / "snapshots/overlay/snapshots/4711/fs").mkdir(parents=True)
    status, out = fsck(stopped, "--quick")
    assert status == 4 and "the file is missing" in out and "has no record" in out and "folder 4711" in out
    assert fsck(stopped, "--repair")[0] == 1
    assert fsck(stopped) == (0, f"{root(stopped)}: clean\n")
    stopped.start()
    docker = stopped.clients()["docker"]
    docker.ok("pull", f"{registry.name}/app")
    assert docker.ok("start", "-a", "checked") == "2"
    docker.ok("rm", "-f", "checked")


def test_a_layer_below_a_container_is_told_and_left(stopped):
    folders = sorted((root(stopped) / "snapshots/overlay/snapshots").iterdir(), key=lambda p: int(p.name))
    (folders[0] / "fs").rename(stopped.folder / "away")
    status, out = fsck(stopped, "--repair")
    assert status == 4 and "containers stand on it" in out and "not repairable here" in out
    (stopped.folder / "away").rename(folders[0] / "fs")
    assert fsck(stopped)[0] == 0


def test_a_running_supervisor_is_not_checked(stopped):
    stopped.start()
    r = subprocess.run([BIN / "berth-supervisor", "fsck", "--root", root(stopped)], capture_output=True, text=True)
    assert r.returncode == 1 and "another supervisor uses" in r.stderr
