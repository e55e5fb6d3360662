"""What must be the same after a container as before it: processes, mounts, links, namespaces, cgroups, packet filter elements, files."""
import json
import os
import re
import subprocess
from pathlib import Path


def mounts(folder):
    """Mounts below an engine's folder, and overlay or nsfs mounts anywhere: a root file system must never be visible on the host."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(l.split(" ", 3)[3] for l in lines if f" {folder}" in l)


def links(bridge):
    """Ends of veth pairs on the engine's bridge, and those on none: what a removed network leaves hanging. Those on other bridges are another engine's."""
    out = subprocess.run(["ip", "-j", "link", "show", "type", "veth"], capture_output=True, text=True).stdout
    return sorted(l["ifname"] for l in json.loads(out or "[]") if l.get("master", bridge) == bridge)


def cgroup_parents(parent):
    """The engine's own parent cgroup in every hierarchy."""
    return [p for p in [*Path("/sys/fs/cgroup").glob(parent), *Path("/sys/fs/cgroup").glob(f"*/{parent}")] if p.is_dir()]


def cgroups(parent):
    return sorted(str(p) for base in cgroup_parents(parent) for p in base.iterdir() if p.is_dir())


def filter_elements(bridge):
    """Elements in the maps and sets of the engine's packet filter table: published ports."""
    out = subprocess.run(["nft", "-j", "list", "table", "inet", f"berth-{bridge}"], capture_output=True, text=True).stdout
    return len(re.findall(r'"concat"', out))


def shims(folder):
    """Processes of this engine that belong to one container: shims and runtimes, found by the paths in their command lines."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if re.search(r"berth-(shim|runtime)", command.split(" ")[0]) and str(folder) in command:
            found.append(f"{pid} {command}")
    return found


def bundles(folder):
    run = Path(folder) / "run"
    return sorted(str(p.relative_to(run)) for p in run.glob("**/*") if re.search(r"[0-9a-f]{64}", p.name))


def host_files():
    """The host's own configuration: a path that climbs out of a root file system would change it."""
    return sorted((e.name, e.inode(), e.stat(follow_symlinks=False).st_mtime_ns) for e in os.scandir("/etc") if not e.is_dir(follow_symlinks=False))


def snapshot(folder, bridge):
    return {"host files": host_files(), "mounts": mounts(folder), "links": links(bridge), "cgroups": cgroups(bridge), "ports": filter_elements(bridge), "processes": shims(folder), "bundles": bundles(folder)}
