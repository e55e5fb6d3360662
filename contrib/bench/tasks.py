#!/usr/bin/env python3
"""Tasks through berth-supervisor, berth-shim and berth-runtime beside a stock containerd with its shim and crun, driven by the stock `ctr`. Needs root and
the peers of Tests/EndToEnd/peers.py.

    tasks.py [RUNS [CONTAINERS]]     BERTH_BIN names the folder of our programs; CONTAINERS (500) are started at 16 in parallel, 0 leaves that out

Prints a table: `ctr run --rm` of `true` without a network, medians of runs in turn; containers started per second, errors, memory per container; memory of the
daemon right after its start.
"""
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "Tests/EndToEnd"))
from engine import REPO  # noqa: E402
from peers import Ctr, Peers  # noqa: E402
from registry import Registry  # noqa: E402


def memory(pid):
    """(Pss, anonymous) in MiB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return tuple(int(re.search(rf"^{field}: +(\d+)", text, re.M).group(1)) / 1024 for field in ("Pss", "Anonymous"))


def shims(folder):
    """Pids of the shims whose working directory lies below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str((process / "cwd").readlink()).startswith(str(folder)) and "shim" in (process / "comm").read_text():
                found.append(int(process.name))
        except OSError:
            pass
    return found


def pid_of(folder, program):
    """The daemon that was started with `folder` among its arguments: what Popen knows is nsenter's."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(words[0].decode(errors="replace")).name == program and any(str(folder).encode() in w for w in words[1:]):
            return int(process.name)
    raise SystemExit(f"no {program} below {folder}")


class Stack:
    def __init__(self, peers, name, program, place, runtime, *options):
        self.peers, self.name, self.folder = peers, name, peers.folder / place
        self.socket = (peers.supervisor if place == "s" else peers.containerd)(place)[1]
        self.daemon = pid_of(self.folder, program)
        time.sleep(2)
        self.idle = memory(self.daemon)
        self.ctr, self.options, self.runs = Ctr(peers, self.socket, runtime), options, []

    def run(self, *args):
        return self.ctr.run(*self.ctr.container(*self.options, *args), timeout=120)


def life(stack, image, number):
    start = time.monotonic()
    r = stack.run("--rm", image, f"life{number}", "true")
    assert r.returncode == 0, r.stderr
    stack.runs.append((time.monotonic() - start) * 1000)


def many(stack, image, count):
    before = memory(stack.daemon)
    start = time.monotonic()
    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(lambda n: stack.run("-d", image, f"many{n}", "sleep", "100000"), range(count)))
    seconds = time.monotonic() - start
    errors = [r.stderr.strip().splitlines()[-1] for r in results if r.returncode != 0]
    if errors:
        print(f"{stack.name}: {len(errors)} errors, the first: {errors[0]}", file=sys.stderr)
    time.sleep(5)
    found = [memory(pid) for pid in shims(stack.folder)]
    daemon = memory(stack.daemon)
    row = (count / seconds, len(errors), sum(f[0] for f in found) / count, sum(f[1] for f in found) / count, (daemon[0] - before[0]) / count)
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: (stack.ctr.run("tasks", "rm", "-f", f"many{n}", timeout=120), stack.ctr.run("containers", "rm", f"many{n}", timeout=120)), range(count)))
    return row


def main():
    runs, count = int(sys.argv[1]) if len(sys.argv) > 1 else 20, int(sys.argv[2]) if len(sys.argv) > 2 else 500
    folder = Path(tempfile.mkdtemp(prefix="berth-test-tasks-", dir="/tmp"))
    (folder / "registry").mkdir()
    peers, registry = Peers(folder), Registry(folder / "registry")
    try:
        busybox = subprocess.run([REPO / "contrib/dev/make-busybox-image.sh"], check=True, capture_output=True).stdout
        registry.push("busybox", "latest", [busybox], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
        image = f"{registry.name}/busybox:latest"
        stacks = [
            Stack(peers, "Berth", "berth-supervisor", "s", "io.containerd.berth.v1"),
            Stack(peers, "containerd, its shim, crun", "containerd", "c", "io.containerd.runc.v2", "--runc-binary", "crun")]
        for stack in stacks:
            stack.ctr.ok("images", "pull", "--plain-http", image)
        client = []
        for number in range(runs + 2):
            for stack in stacks:
                life(stack, image, number)
            start = time.monotonic()
            stacks[0].ctr.ok("version")
            client.append((time.monotonic() - start) * 1000)
        ours, theirs = (statistics.median(s.runs[2:]) for s in stacks)
        print(f"| measure | unit | {stacks[0].name} | {stacks[1].name} | ratio |\n|---|---|---|---|---|")

        def row(what, unit, a, b, digits=1):
            print(f"| {what} | {unit} | {a:.{digits}f} | {b:.{digits}f} | {a / b if b else 0:.2f} |")
        row("`ctr run --rm` of `true`, no network", "ms", ours, theirs)
        alone = statistics.median(client)
        row(f"the same without what `ctr version` takes ({alone:.0f} ms)", "ms", ours - alone, theirs - alone)
        row("daemon after its start (Pss)", "MiB", stacks[0].idle[0], stacks[1].idle[0])
        row("of these anonymous", "MiB", stacks[0].idle[1], stacks[1].idle[1])
        if count:
            a, b = (many(stack, image, count) for stack in stacks)
            row(f"{count} containers, 16 at a time: started per second", "1/s", a[0], b[0])
            row("errors", "", a[1], b[1], 0)
            row("shim memory per container (Pss)", "MiB", a[2], b[2], 2)
            row("of these anonymous", "MiB", a[3], b[3], 2)
            row("daemon memory per container (Pss)", "MiB", a[4], b[4], 3)
    finally:
        peers.close()
        registry.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
