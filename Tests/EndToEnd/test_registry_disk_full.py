"""A disk that fills up at every step of an image's life: a clear error, what was there stays, and everything works again when there is room."""
import gzip
import os
import subprocess
import threading

import pytest

from conftest import busybox_image
from engine import Engine, wait_for
from fakeregistry import Answer, FakeRegistry
from registry import digest, layer

SIZE = 96 << 20


@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have an engine of their own."""


@pytest.fixture(scope="module")
def registry():
    r = FakeRegistry()
    r.image("kept", "latest", [busybox_image()], config={"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    yield r
    r.stop()


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A small file system of its own for the engine's data."""
    folder = tmp_path_factory.mktemp("disk")
    file, target = folder / "image", folder / "fs"
    with open(file, "wb") as f:
        f.truncate(SIZE)
    target.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "4096", file], check=True)
    subprocess.run(["mount", "-o", "loop", file, target], check=True)
    yield target
    subprocess.run(["umount", target], check=True)


@pytest.fixture(scope="module")
def small(disk, registry, tmp_path_factory):
    engine = Engine(tmp_path_factory.mktemp("e"), "--bridge", "none")
    (engine.folder / "data").symlink_to(disk / "data")
    (disk / "data").mkdir()
    engine.start()
    engine.clients()["docker"].ok("pull", f"{registry.name}/kept")
    yield engine
    engine.stop()


@pytest.fixture
def docker(small):
    return small.clients()["docker"]


@pytest.fixture
def filler(disk):
    """Fills the disk up to so many bytes; empties it again at the end."""
    path = disk / "filler"

    def fill(left=0):
        state = os.statvfs(disk)
        size = max(0, state.f_bavail * state.f_frsize - left)
        r = subprocess.run(["fallocate", "-l", str(size), path], capture_output=True)
        if left == 0:  # the last blocks too
            with open(disk / "filler2", "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(bytes(4096))
                except OSError:
                    pass
        return r.returncode

    yield fill
    for name in ("filler", "filler2"):
        (disk / name).unlink(missing_ok=True)


def used(disk):
    state = os.statvfs(disk)
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def still_works(docker, registry):
    assert docker.ok("run", "--rm", "--network", "none", f"{registry.name}/kept", "echo", "works") == "works"


@pytest.mark.parametrize("kind", ["blob", "layer", "inodes"])
def test_a_pull_that_does_not_fit_fails_clearly_and_gives_the_space_back(docker, registry, disk, kind):
    content = {"blob": {"big": os.urandom(150 << 20)}, "layer": {f"zeros{i}": bytes(9 << 20) for i in range(20)}, "inodes": {f"f{i}": b"" for i in range(9000)}}[kind]
    if kind == "layer":
        content = {name: data + os.urandom(1) for name, data in content.items()}
    registry.image(kind, "latest", [layer(content)])
    before = used(disk)
    error = docker.fails("pull", f"{registry.name}/{kind}", timeout=120)
    assert "no space left on device" in error.lower(), error
    wait_for(f"the space back: {before} before, {used(disk)} now", lambda: used(disk) <= before + (1 << 20), 10)
    still_works(docker, registry)


def test_a_full_disk_refuses_changes_and_keeps_what_is_there(docker, registry, filler, small):
    filler()
    for command in (("tag", f"{registry.name}/kept", "other:name"), ("create", "--name", "full", "--network", "none", f"{registry.name}/kept"), ("volume", "create", "full")):
        r = docker.run(*command)
        assert r.returncode == 0 or "no space left" in r.stderr.lower() or "disk is full" in r.stderr.lower(), r.stderr
    assert f"{registry.name}/kept" in docker.ok("images", "--format", "{{.Repository}}")
    small.kill("supervisor")
    wait_for("the supervisor again on a full disk", lambda: docker.run("images").returncode == 0, 20)
    assert f"{registry.name}/kept" in docker.ok("images", "--format", "{{.Repository}}")


def test_what_has_arrived_of_a_layer_that_does_not_fit_unpacked_is_given_back(docker, registry, disk):
    archive = layer({"zeros": bytes(120 << 20), "tail": os.urandom(20 << 20)})
    packed = gzip.compress(archive, 1, mtime=0)
    registry.image("head", "latest", [archive], packed=[packed])
    enough = threading.Event()

    def first_half():
        """The head, which fills the disk unpacked, and then nothing until the pull has failed."""
        yield packed[: 12 << 20]
        enough.wait(60)

    registry.intercept = lambda r: Answer(200, chunks=first_half(), length=len(packed)) if r.route.endswith(digest(packed)) else None
    before = used(disk)
    try:
        error = docker.fails("pull", f"{registry.name}/head", timeout=120)
        assert "no space left on device" in error.lower(), error
        wait_for("the space back", lambda: used(disk) <= before + (1 << 20), 10, lambda: f"{before} before, {used(disk)} now")
    finally:
        registry.intercept = lambda r: None
        enough.set()


def test_everything_works_again_when_there_is_room(docker, registry, disk):
    still_works(docker, registry)
    docker.run("rm", "-f", "full")
    docker.run("rmi", "other:name")
    docker.run("volume", "rm", "full")
    docker.ok("tag", f"{registry.name}/kept", "after:full")
    docker.ok("rmi", "after:full")
    # It was given up above, and comes back with the collection after a removal.
    wait_for("the reserve again", lambda: (disk / "data/supervisor/reserve").exists())


def test_an_archive_that_does_not_fit_is_refused(docker, registry, disk, tmp_path):
    import io
    import json
    import tarfile
    archive = layer({"big": os.urandom(120 << 20)})
    out = io.BytesIO()
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(archive)]}}).encode()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("l.tar", archive), ("c.json", config), ("manifest.json", json.dumps([{"Config": "c.json", "RepoTags": ["big:1"], "Layers": ["l.tar"]}]).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    before = used(disk)
    (tmp_path / "big.tar").write_bytes(out.getvalue())
    assert "no space left" in docker.fails("load", "-i", tmp_path / "big.tar", timeout=120).lower()
    wait_for("the space back", lambda: used(disk) <= before + (1 << 20), 10)
    still_works(docker, registry)


def test_an_import_and_a_commit_that_do_not_fit_are_refused(docker, registry, disk, filler):
    before = used(disk)
    assert b"no space left" in docker.fails("import", "-", "big:import", input=layer({"big": os.urandom(120 << 20)}), timeout=120).lower()
    wait_for("the space back", lambda: used(disk) <= before + (1 << 20), 10)
    docker.ok("run", "--name", "grown", "--network", "none", f"{registry.name}/kept", "dd", "if=/dev/urandom", "of=/big", "bs=1M", "count=12")
    filler(4 << 20)
    before = used(disk)
    assert "no space left" in docker.fails("commit", "grown", "big:commit").lower()
    wait_for("the space back", lambda: used(disk) <= before + (1 << 20), 10)
    assert "big" not in docker.ok("images", "--format", "{{.Repository}}").split()
    (disk / "filler").unlink()
    docker.ok("commit", "grown", "big:commit")
    docker.ok("rm", "grown")
    docker.ok("rmi", "big:commit")


def test_a_container_whose_log_has_no_room_goes_on(docker, registry, disk, filler):
    docker.ok("run", "-d", "--name", "talks", "--network", "none", f"{registry.name}/kept", "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; echo $i >/dev/shm/i; sleep 0.01; done")

    def said():
        return int((docker.run("logs", "--tail", "1", "talks").stdout.split() or ["0"])[-1])

    def counted():
        return int(docker.run("exec", "talks", "cat", "/dev/shm/i").stdout or 0)

    wait_for("the first lines", lambda: said() > 5)
    filler()
    at = counted()
    wait_for("it to go on on a full disk", lambda: counted() > at + 200)
    (disk / "filler").unlink()
    (disk / "filler2").unlink()
    at = counted()
    wait_for("its lines to be kept again", lambda: said() > at + 20)
    assert docker.ok("inspect", "-f", "{{.State.Running}} {{.RestartCount}}", "talks") == "true 0"
    docker.ok("rm", "-f", "talks")
    still_works(docker, registry)
