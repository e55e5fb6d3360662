#!/usr/bin/env python3
"""`create`, `start` and `delete -f` of a container of /bin/true beside steps.c, which does the same namespaces, mounts and exec in three processes and nothing else.

usage: steps.py [--n 60] [--config config.json] RUNTIME      (needs root, cc, busybox-static)

Medians of runs made in turn, in ms. Of a config that is given, root, program and mounts of files are replaced, as shared/tools/runtime-bench.py does.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("runtime")
parser.add_argument("--n", type=int, default=60)
parser.add_argument("--config")
arguments = parser.parse_args()
null = os.open(os.devnull, os.O_RDWR)


def spawn(*words):
    words = [str(word) for word in words]
    pid = os.posix_spawn(words[0], words, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, number) for number in (0, 1, 2)])
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        raise SystemExit(f"{' '.join(words)}: exit code {code}")


with tempfile.TemporaryDirectory(prefix="berth-test-steps-") as folder:
    folder, runtime = Path(folder), shutil.which(arguments.runtime)
    root = folder / "rootfs"
    for name in ("bin", "proc", "sys", "dev"):
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/true")
    subprocess.run(["cc", "-O2", "-static", "-o", folder / "steps", Path(__file__).parent / "steps.c"], check=True)
    if not arguments.config:
        subprocess.run([runtime, "spec", "-b", folder], check=True)
    spec = json.loads(Path(arguments.config or folder / "config.json").read_text())
    spec["root"]["path"] = str(root)
    spec["process"].update(terminal=False, args=["/bin/true"], cwd="/")
    spec["mounts"] = [mount for mount in spec["mounts"] if mount.get("type") != "bind"]
    spec.pop("hooks", None)
    spec["linux"].pop("cgroupsPath", None)
    for namespace in spec["linux"]["namespaces"]:
        namespace.pop("path", None)
    (folder / "config.json").write_text(json.dumps(spec))
    programs = {
        "runtime": lambda id: ((runtime, "create", "-b", folder, id), (runtime, "start", id), (runtime, "delete", "-f", id)),
        "C program": lambda id: ((folder / "steps", "create", folder / id, root), (folder / "steps", "start", folder / id), (folder / "steps", "delete", folder / id)),
    }
    taken = {name: [] for name in programs}
    for turn in range(arguments.n + 3):
        for name, commands in programs.items():
            started = time.perf_counter()
            for command in commands(f"steps-{os.getpid()}-{turn}"):
                spawn(*command)
            if turn >= 3:
                taken[name].append((time.perf_counter() - started) * 1e3)
    medians = {name: statistics.median(times) for name, times in taken.items()}
    print("  ".join(f"{name} {median:.2f} ms" for name, median in medians.items()), f" ratio {medians['runtime'] / medians['C program']:.2f}")
