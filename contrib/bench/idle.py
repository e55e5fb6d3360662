#!/usr/bin/env python3
"""What engines with fifty idle containers ask of the processor, by the scheduler's own account (/proc/PID/task/*/schedstat): clock ticks of 10 ms, which /proc/PID/stat counts, are too coarse.

    idle.py [--containers 50] [--seconds 30] NAME=HOST,PATTERN...     PATTERN finds an engine's processes by their command lines

The image busybox:latest must be there. Prints a line for each engine: processes, ms of processor time per minute, and how often they were put on a processor per minute.
"""
import argparse
import re
import subprocess
import time
from pathlib import Path


def processes(pattern):
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(pattern, line) and "idle.py" not in line:
            found.append(folder)
    return found


def ran(folders):
    """Nanoseconds on a processor, and times put on one. A thread that ended meanwhile is not counted."""
    time_, turns = 0, 0
    for folder in folders:
        for file in folder.glob("task/*/schedstat"):
            try:
                fields = file.read_text().split()
            except OSError:
                continue
            time_, turns = time_ + int(fields[0]), turns + int(fields[2])
    return time_, turns


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--containers", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("engines", nargs="+")
    options = parser.parse_args()
    engines = {}
    for argument in options.engines:
        name, rest = argument.split("=", 1)
        engines[name] = rest.split(",", 1)
    names = [f"berth-idle-{n:03}" for n in range(options.containers)]
    try:
        for host, _ in engines.values():
            for name in names:
                subprocess.run(["docker", "-H", host, "run", "-d", "--network", "none", "--name", name, "busybox:latest", "sleep", "100000"], check=True, capture_output=True)
        # What follows the work, as memory that is given back, is not rest.
        time.sleep(20)
        seen = {name: processes(pattern) for name, (_, pattern) in engines.items()}
        before = {name: ran(folders) for name, folders in seen.items()}
        time.sleep(options.seconds)
        for name, folders in seen.items():
            spent, turns = (after - then for after, then in zip(ran(folders), before[name]))
            print(f"{name:12} {len(folders):4} processes {spent / 1e6 * 60 / options.seconds:10.1f} ms {turns * 60 / options.seconds:8.0f} turns per minute")
    finally:
        for host, _ in engines.values():
            subprocess.run(["docker", "-H", host, "rm", "-f", *names], capture_output=True)


main()
