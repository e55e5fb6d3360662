#!/usr/bin/env python3
"""Cold pulls from a registry on loopback: Berth, dockerd and containerd side by side. Needs root, docker-registry and the peers of Tests/EndToEnd/peers.py.

    pull.py [RUNS] [NAME...]     BERTH_BIN names the folder of our programs

Prints for each image and engine the median wall time, the processor time of the engine's daemons with their children, and the daemons' peak resident memory.
"""
import gzip
import io
import os
import random
import re
import shutil
import subprocess
import statistics
import sys
import tarfile
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests/EndToEnd"))
from peers import Ctr, Peers  # noqa: E402
from registry import MANIFEST, Registry, digest  # noqa: E402
import json  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")


def real_files(limit, skip=0):
    """A layer of the machine's own programs and libraries, about `limit` bytes before packing."""
    out, total = io.BytesIO(), 0
    with tarfile.open(fileobj=out, mode="w") as tar:
        for base, _, names in os.walk("/usr/lib"):
            for name in sorted(names):
                path = os.path.join(base, name)
                if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > 20 << 20:
                    continue
                skip -= os.path.getsize(path)
                if skip > 0:
                    continue
                tar.add(path, path.lstrip("/"), recursive=False)
                total += os.path.getsize(path)
                if total >= limit:
                    return tar.close() or out.getvalue()
    return out.getvalue()


def small_files(count):
    rng, out = random.Random(1), io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i in range(count):
            info = tarfile.TarInfo(f"d{i % 100}/f{i}")
            data = bytes(rng.choices(b"abcdefgh \n", k=rng.randrange(200, 8000)))
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def put(registry, name, layers, pack, media):
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]}}).encode()
    descriptors, size = [], 0
    for layer in layers:
        packed = pack(layer)
        size += len(packed)
        descriptors.append({"mediaType": media, **registry.blob(name, packed)})
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **registry.blob(name, config)}, "layers": descriptors}
    registry.call("PUT", f"/v2/{name}/manifests/latest", json.dumps(manifest).encode(), {"Content-Type": MANIFEST})
    print(f"# {name}: {len(layers)} layers, {size / 1e6:.0f} MB packed, {sum(map(len, layers)) / 1e6:.0f} MB unpacked", flush=True)


def images(registry, wanted):
    gz = lambda data: subprocess.run(["gzip", "-6", "-n", "-c"], input=data, capture_output=True, check=True).stdout
    zstd = lambda data: subprocess.run(["zstd", "-q", "-3", "-c"], input=data, capture_output=True, check=True).stdout
    docker = "application/vnd.docker.image.rootfs.diff.tar.gzip"
    made = {
        "one-layer": lambda: put(registry, "one-layer", [real_files(330 << 20)], gz, docker),
        "ten-layers": lambda: put(registry, "ten-layers", [real_files(82 << 20, i * (82 << 20)) for i in range(10)], gz, docker),
        "small-files": lambda: put(registry, "small-files", [small_files(5000)], gz, docker),
        "zstd": lambda: put(registry, "zstd", [real_files(330 << 20, 1)], zstd, "application/vnd.oci.image.layer.v1.tar+zstd"),
    }
    chosen = [n for n in made if not wanted or n in wanted]
    for name in chosen:
        made[name]()
    return chosen


# Engines to measure, by their first word in the output; all of them without it.
ENGINES = os.environ.get("ENGINES", "").split()


def cpu(pids):
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += sum(map(int, fields[11:15]))
    return total / TICK


def peak(pids):
    return sum(int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{p}/status").read_text())[1]) for p in pids) / 1024


def children(pid):
    """The process and all below it: nsenter and env are replaced by the program, containerd is a child of dockerd."""
    found = [pid]
    for p in found:
        for thread in Path(f"/proc/{p}/task").iterdir():
            found += [int(c) for c in (thread / "children").read_text().split()]
    return found


def measure(name, pids, pull, remove, runs):
    if ENGINES and name.split(" ", 1)[1].split()[0] not in ENGINES:
        return
    walls, cpus, peaks = [], [], []
    for _ in range(runs):
        subprocess.run(["sync"])
        all = pids()
        for p in all:
            Path(f"/proc/{p}/clear_refs").write_text("5")
        before, start = cpu(all), time.monotonic()
        pull()
        walls.append(time.monotonic() - start)
        cpus.append(cpu(all) - before)
        peaks.append(peak(all))
        remove()
        time.sleep(1)
    print(f"{name:34} {statistics.median(walls):7.2f} s  {statistics.median(cpus):7.2f} s CPU  {max(peaks):7.0f} MiB", flush=True)


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    folder = Path(tempfile.mkdtemp(prefix="berth-sup-bench-", dir="/tmp"))
    registry, peers = Registry(folder), Peers(folder)
    try:
        chosen = images(registry, sys.argv[2:])
        s, socket = peers.supervisor()
        b, berth = peers.berthd(socket)
        c, containerd_socket = peers.containerd()
        d, docker = peers.dockerd(containerd_socket)
        ctr = Ctr(peers, containerd_socket)
        for name in chosen:
            reference = f"{registry.name}/{name}:latest"
            measure(f"{name} berth", lambda: children(b.pid) + children(s.pid), lambda: peers.ok(*berth, "pull", "-q", reference, timeout=300),
                    lambda: peers.ok(*berth, "rmi", reference), runs)
            measure(f"{name} dockerd", lambda: children(d.pid), lambda: peers.ok(*docker, "pull", "-q", reference, timeout=300), lambda: peers.ok(*docker, "rmi", reference), runs)
            measure(f"{name} ctr image pull", lambda: children(c.pid), lambda: peers.ok(*ctr.prefix, "images", "pull", "--plain-http", reference, timeout=300),
                    lambda: peers.ok(*ctr.prefix, "images", "rm", "--sync", reference), runs)
    finally:
        peers.close()
        registry.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
