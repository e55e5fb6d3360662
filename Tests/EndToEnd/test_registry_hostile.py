"""Registries that lie, stall or never end: a clear error, nothing kept, and an engine that goes on."""
import gzip
import io
import itertools
import json
import os
import re
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from engine import BIN, Engine, wait_for
from fakeregistry import CONFIG, INDEX, LAYER, Answer, FakeRegistry
from registry import MANIFEST, digest, layer

ARCHIVE = layer({"file": os.urandom(300_000)})



@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have engines of their own and start next to nothing on them."""


@pytest.fixture
def registry():
    r = FakeRegistry()
    yield r
    r.stop()


class Strict(Engine):
    """berthd over a supervisor of its own whose limits are low enough to be met in a test."""

    def __init__(self, folder):
        super().__init__(folder, "--bridge", "none", "--containerd", folder / "s.sock")

    def start(self, seconds=20):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "s.toml").write_text("[transfer]\nidle_seconds = 2\nlayer_bytes = 50_000_000\nlayer_entries = 1000\n")
        with open(self.folder / "s.log", "ab") as log:
            self.supervisor = subprocess.Popen(
                [BIN / "berth-supervisor", "--config", self.folder / "s.toml", "--address", self.folder / "s.sock", "--root", self.folder / "root",
                 "--state", self.folder / "run", "--log-level", "debug"], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for("the supervisor's socket", (self.folder / "s.sock").exists)
        return super().start(seconds)

    def supervisor_pid(self):
        return self.supervisor.pid

    def stop(self):
        super().stop()
        self.supervisor.wait()

    def stored(self):
        """Every file of content and every folder of a snapshot."""
        root = self.folder / "root"
        return sorted(str(p.relative_to(root)) for pattern in ("content/blobs/*/*", "content/ingest/*", "snapshots/*/snapshots/*") for p in root.glob(pattern))


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    engine = Strict(tmp_path_factory.mktemp("strict")).start()
    yield engine
    engine.stop()


def bomb():
    """40 GB of zeros in one file, packed into some kilobytes of gzip members that repeat."""
    info = tarfile.TarInfo("zeros")
    info.size = 40 << 30
    return gzip.compress(info.tobuf(tarfile.GNU_FORMAT), mtime=0) + gzip.compress(bytes(64 << 20), mtime=0) * 640


def many():
    """More members than the engine takes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i in range(1100):
            tar.addfile(tarfile.TarInfo(f"f{i}"))
    return out.getvalue()


def blob_answer(registry, wanted, answer):
    registry.intercept = lambda r: answer(r) if r.route.endswith(wanted) and r.command == "GET" else None


def wrong_bytes(registry):
    registry.image("liar", "latest", [ARCHIVE])
    packed = gzip.compress(ARCHIVE, 1, mtime=0)
    blob_answer(registry, digest(packed), lambda r: Answer(200, packed[:-20] + bytes(20)))
    return r"(?i)digest|verif|checksum|invalid data"


def wrong_size(registry):
    registry.image("liar", "latest", [ARCHIVE], change=lambda m: m["layers"][0].update(size=m["layers"][0]["size"] - 7))
    return r"size validation"


def wrong_config(registry):
    registry.image("liar", "latest", [ARCHIVE])
    blob_answer(registry, json.loads(registry.manifests["liar", "latest"])["config"]["digest"], lambda r: Answer(200, b"{" + b" " * 1000 + b"}"))
    return r"size validation|verification failed"


def wrong_manifest(registry):
    target = registry.image("liar", "latest", [ARCHIVE])
    data = registry.manifests["liar", "latest"]
    registry.intercept = lambda r: Answer(200, data.replace(b'"liar"', b"") [:-1] + b" ", {"Content-Type": MANIFEST}) if r.route.endswith(target["digest"]) else None
    return r"verification failed|size validation"


def another_diff_id(registry):
    registry.image("liar", "latest", [ARCHIVE], packed=[gzip.compress(layer({"other": b"y"}), mtime=0)])
    return r"wrong diff id"


def not_gzip(registry):
    registry.image("liar", "latest", [ARCHIVE], packed=[b"\x1f\x8b\x08" + os.urandom(1000)])
    return r"gzip"


def not_tar(registry):
    noise = os.urandom(4096)
    registry.image("liar", "latest", [noise], packed=[gzip.compress(noise, mtime=0)])
    return r"invalid tar header"


def schema1(registry):
    registry.manifest("liar", "latest", {"schemaVersion": 1, "name": "liar", "tag": "latest", "fsLayers": []}, "application/vnd.docker.distribution.manifest.v1+prettyjws")
    return r"Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed"


def html(registry):
    registry.intercept = lambda r: Answer(200, b"<html>log in first</html>", {"Content-Type": "text/html"}) if "manifests" in r.route else None
    return r"unsupported media type text/html"


def two_meanings(registry):
    registry.image("liar", "latest", [ARCHIVE], change=lambda m: m.update(manifests=[]))
    return r"expected manifest but found an index"


def deep_index(registry):
    last = registry.image("liar", "leaf", [ARCHIVE])
    for i in range(12):
        last = registry.manifest("liar", "latest", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**last, "platform": {"os": "linux", "architecture": "amd64"}}]}, INDEX)
    return r"nested too deeply"


def endless_manifest(registry):
    registry.intercept = lambda r: Answer(200, chunks=itertools.repeat(b" " * 65536), headers={"Content-Type": MANIFEST}) if "manifests" in r.route and r.command == "GET" else Answer(404)
    return r"more than 4194304 bytes"


def endless_layer(registry):
    registry.image("liar", "latest", [ARCHIVE])
    packed = gzip.compress(ARCHIVE, 1, mtime=0)
    blob_answer(registry, digest(packed), lambda r: Answer(200, packed, chunks=itertools.repeat(b"x" * 65536)))
    return r"registry sent more than the \d+ bytes"


def gzip_bomb(registry):
    registry.image("liar", "latest", [b"?"], packed=[bomb()])
    return r"content of more than 50000000 bytes"


def too_many_files(registry):
    registry.image("liar", "latest", [many()])
    return r"more than 1000 members"


def huge_config(registry):
    registry.image("liar", "latest", [ARCHIVE], change=lambda m: m["config"].update(size=1 << 40))
    return r"image configuration of \d+ bytes is too large"


def negative_size(registry):
    registry.image("liar", "latest", [ARCHIVE], change=lambda m: m["layers"][0].update(size=-1))
    return r"invalid size"


def redirects_for_ever(registry):
    registry.image("liar", "latest", [ARCHIVE])
    registry.intercept = lambda r: Answer(307, headers={"Location": r.path}) if "blobs" in r.route else None
    return r"stopped after 10 redirects"


def silent(registry):
    def wait(r):
        time.sleep(20)
        return Answer(500)
    registry.intercept = lambda r: wait(r) if "manifests" in r.route else None
    return r"timeout"


@pytest.mark.parametrize("lie", [
    wrong_bytes, wrong_size, wrong_config, wrong_manifest, another_diff_id, not_gzip, not_tar, schema1, html, two_meanings, deep_index, endless_manifest, endless_layer,
    gzip_bomb, too_many_files, huge_config, negative_size, redirects_for_ever, silent,
], ids=lambda f: f.__name__)
def test_a_lie_is_told_and_nothing_of_it_stays(strict, registry, lie):
    docker = strict.clients()["docker"]
    before = strict.stored()
    expected = lie(registry)
    error = docker.fails("pull", f"{registry.name}/liar", timeout=60)
    assert re.search(expected, error), error
    assert docker.ok("images", "-aq") == ""
    wait_for(f"only what was there, not {strict.stored()}", lambda: strict.stored() == before, 5)


def drip(data, every=0.3):
    for byte in data:
        yield bytes([byte])
        time.sleep(every)


def test_a_registry_that_drips_is_given_up(strict, registry):
    registry.image("liar", "latest", [ARCHIVE])
    packed = gzip.compress(ARCHIVE, 1, mtime=0)
    blob_answer(registry, digest(packed), lambda r: Answer(200, chunks=drip(packed), length=len(packed)))
    start = time.monotonic()
    error = strict.clients()["docker"].fails("pull", f"{registry.name}/liar", timeout=90)
    assert re.search(r"registry sent only \d+ bytes", error), error
    assert time.monotonic() - start < 60


def test_the_engine_takes_the_true_image_after_all_that(strict, registry):
    registry.image("liar", "latest", [ARCHIVE])
    docker = strict.clients()["docker"]
    docker.ok("pull", f"{registry.name}/liar")
    docker.ok("rmi", f"{registry.name}/liar")
    peak = int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{strict.supervisor_pid()}/status").read_text())[1])
    assert peak < 300 << 10, f"{peak} KiB"
