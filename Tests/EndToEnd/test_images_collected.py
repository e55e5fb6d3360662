"""Images on the move while the collector runs all the time: what a transfer has found it holds on to."""
import random
import threading

import pytest

from conftest import IMAGE
from engine import ForeignEngine, wait_for
from grpc_call import call
from registry import Registry, layer


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.stop()


@pytest.fixture
def collecting(engine):
    """The collector runs over and over until the test ends: a lease that is deleted synchronously is a collection."""
    if isinstance(engine, ForeignEngine):
        pytest.skip("the collector of another engine is not ours to call")
    path, over, count = engine.folder / "run/supervisor.sock", threading.Event(), [0]

    def collect():
        while not over.is_set():
            call(path, "moby", "leases.v1.Leases/Create", {1: "for-nothing"})
            call(path, "moby", "leases.v1.Leases/Delete", {1: "for-nothing", 2: 1})
            count[0] += 1

    thread = threading.Thread(target=collect)
    thread.start()
    yield
    over.set()
    thread.join()
    assert count[0] > 20, "the collector ran"


def test_a_pull_keeps_what_it_finds_of_an_image_that_was_just_removed_and_a_list_tells_of_what_is_there(engine, docker, registry, name, collecting):
    layers = [layer({f"file{i}": bytes([i]) * 4000}) for i in range(3)]
    for tag in ("a", "b", "c"):
        registry.push(name, tag, layers)

    def again(tag):
        reference = f"{registry.name}/{name}"
        for turn in range(100):
            status, answer = engine.request("POST", f"/images/create?fromImage={reference}&tag={tag}")
            if "errorDetail" in answer or status != 200:
                failures.append(f"{tag}, turn {turn}: {answer}")
            engine.request("DELETE", f"/images/{reference}:{tag}")

    # An image is there whole or not at all, whoever removes or pulls it meanwhile.
    def look(*paths):
        while any(thread.is_alive() for thread in threads):
            for path in paths:
                status, answer = engine.request("GET", path)
                if status != 200 and not (status == 404 and "o such image" in str(answer)):
                    failures.append(f"{path}: {status} {answer}")
                if status == 200 and path.endswith(":a/json") and (answer["Os"] != "linux" or len(answer["RootFS"]["Layers"]) != 3):
                    failures.append(f"{path}: {answer}")

    failures = []
    threads = [threading.Thread(target=again, args=(tag,)) for tag in ("a", "b", "c")]
    image = f"/images/{registry.name}/{name}:a"
    lookers = [threading.Thread(target=look, args=paths) for paths in (("/images/json", "/system/df"), (f"{image}/json", f"{image}/history"), (f"{image}/history",))]
    for thread in threads + lookers:
        thread.start()
    for thread in threads + lookers:
        thread.join()
    assert not failures
    assert name not in docker.ok("images")


def test_what_is_removed_goes_also_when_the_supervisor_dies_before_it_has_collected(engine, docker, registry, name):
    if isinstance(engine, ForeignEngine):
        pytest.skip("another engine's supervisor is not ours to end")
    blobs = engine.folder / "data/supervisor/content/blobs/sha256"
    before = set(blobs.iterdir())
    registry.push(name, "once", [layer({"file": random.randbytes(4000)})])
    reference = f"{registry.name}/{name}:once"
    docker.ok("pull", reference)
    assert len(new := set(blobs.iterdir()) - before) == 3, "manifest, configuration and layer"
    # A removal is collected half a second later, together with those that follow it.
    assert engine.request("DELETE", f"/images/{reference}")[0] == 200
    engine.kill("supervisor")
    wait_for("the supervisor again", lambda: docker.run("images").returncode == 0)
    wait_for("the blobs of the removed image are gone", lambda: not any(blob.exists() for blob in new))


def test_an_archive_that_is_loaded_keeps_what_was_there_of_it(docker, name, tmp_path, collecting):
    docker.ok("tag", IMAGE, f"{name}:v1")
    docker.ok("commit", docker.ok("create", "--name", name, IMAGE, "true"), f"{name}:v2")
    docker.ok("save", "-o", tmp_path / "image.tar", f"{name}:v2")
    for _ in range(10):
        docker.ok("rmi", f"{name}:v2")
        docker.ok("load", "-i", tmp_path / "image.tar")
        docker.ok("run", "--rm", f"{name}:v2", "true")
    docker.ok("rmi", f"{name}:v1", f"{name}:v2")


def test_an_image_that_is_removed_while_it_is_saved_is_saved_whole(docker, registry, name, tmp_path, collecting):
    registry.push(name, "v1", [layer({f"file{i}": random.Random(i).randbytes(3 << 20)}) for i in range(4)])
    reference = f"{registry.name}/{name}:v1"
    docker.ok("pull", "-q", reference)
    docker.ok("save", "-o", tmp_path / "image.tar", reference)
    expected = (tmp_path / "image.tar").read_bytes()
    saving = docker.start("save", reference)
    got = saving.stdout.read(4096)
    docker.ok("rmi", reference)
    got += saving.stdout.read()
    assert saving.wait(30) == 0, saving.stderr.read()
    assert got == expected
