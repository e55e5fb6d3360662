"""The real Docker, containerd, runc and crun of Debian 13 beside our programs, all in one mount namespace (../shared/tools/peers.sh)."""
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from engine import BIN, REPO, alive, wait_for

SCRIPT = Path(os.environ.get("BERTH_PEERS", REPO.parent / "shared/tools/peers.sh"))


class Peers:
    """A mount namespace whose root is the peers' root; programs of both sides run in it and share /tmp with the host."""

    def __init__(self, folder):
        if not SCRIPT.exists():
            pytest.skip(f"the real containerd is not here: no {SCRIPT}")
        root = Path(subprocess.run([SCRIPT, "path"], capture_output=True, text=True).stdout.strip())
        if not (root / ".ready").exists():
            pytest.skip(f"the real containerd is not set up: run {SCRIPT} setup")
        self.folder, self.programs = Path(folder), []
        # everything below /tmp is the same path inside
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for program in ("berth", "berthd", "berth-supervisor", "berth-shim", "berth-runtime", "berth-init"):
            if (BIN / program).exists():
                shutil.copy(BIN / program, self.bin)
        (self.bin / "containerd-shim-berth-v1").symlink_to("berth-shim")
        self.lib = self.folder / "lib"
        self.lib.mkdir()
        for program in ("berth-supervisor", "berthd"):
            for name, path in re.findall(r"(\S+) => (/\S+)", subprocess.run(["ldd", BIN / program], capture_output=True, text=True).stdout):
                # libnftables too: what a newer one writes crashes the host's, in nft and in every program that loads it
                if name.startswith("libnft") or not any((root / d / name).exists() for d in ("usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib")):
                    shutil.copy(path, self.lib)
        self.holder = subprocess.Popen([SCRIPT, "run", "sleep", "infinity"], stdin=subprocess.DEVNULL)
        wait_for("the peers' namespace", lambda: Path(f"/proc/{self.holder.pid}/comm").read_text() == "sleep\n")

    def argv(self, *command):
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-r", "-w", "--", "env", f"LD_LIBRARY_PATH={self.lib}",
                f"PATH={self.bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *map(str, command)]

    def run(self, *command, input=None, timeout=60):
        binary = isinstance(input, bytes)
        return subprocess.run(self.argv(*command), input=input if input is not None else "", capture_output=True, timeout=timeout, text=not binary)

    def ok(self, *command, input=None, timeout=60):
        r = self.run(*command, input=input, timeout=timeout)
        assert r.returncode == 0, f"{' '.join(map(str, command))}: exit {r.returncode}\n{r.stderr}\n{r.stdout}"
        return r.stdout.strip()

    def fails(self, *command, timeout=60):
        r = self.run(*command, timeout=timeout)
        assert r.returncode != 0, f"{' '.join(map(str, command))} succeeded: {r.stdout}"
        return r.stderr

    def start(self, *command, environment={}):
        """A program that runs until `stop`, or the test's end."""
        log = open(self.folder / f"{Path(str(command[0])).name}-{len(self.programs)}.log", "ab")
        process = subprocess.Popen(self.argv("env", *(f"{k}={v}" for k, v in environment.items()), *command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        process.log = Path(log.name)
        self.programs.append(process)
        return process

    def stop(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def close(self):
        for process in reversed(self.programs):
            self.stop(process)
        self.holder.terminate()
        self.holder.wait()

    # Daemons

    def supervisor(self, name="s", *args, environment={}):
        """Ours; returns (process, socket)."""
        base = self.folder / name
        base.mkdir(exist_ok=True)
        socket = base / "s.sock"
        process = self.start(self.bin / "berth-supervisor", "--address", socket, "--root", base / "root", "--state", base / "run", "--log-level", "debug", *args, environment=environment)
        self.wait_for_containerd(process, socket)
        return process, socket

    def containerd(self, name="c", environment={}):
        """The real one; returns (process, socket)."""
        base = self.folder / name
        base.mkdir(exist_ok=True)
        socket = base / "c.sock"
        (base / "config.toml").write_text(f'version = 2\nroot = "{base}/root"\nstate = "{base}/run"\n[grpc]\n  address = "{socket}"\n')
        process = self.start("containerd", "--config", base / "config.toml", environment=environment)
        self.wait_for_containerd(process, socket)
        return process, socket

    def wait_for_containerd(self, process, socket):
        def answers():
            assert process.poll() is None, process.log.read_text()[-2000:]
            return self.run("ctr", "--address", socket, "--connect-timeout", "1s", "version").returncode == 0
        wait_for(f"{socket}", answers, 20, 0.1)

    def dockerd(self, containerd, *args, name="d"):
        """The real one on a given containerd; returns (process, docker command prefix)."""
        base = self.folder / name
        base.mkdir(exist_ok=True)
        process = self.start("dockerd", "--containerd", containerd, "-H", f"unix://{base}/d.sock", "--data-root", base / "data", "--exec-root", base / "run", "--pidfile",
                             base / "pid", "--bridge", "none", "--iptables=false", "--ip6tables=false", *args)
        docker = ("docker", "-H", f"unix://{base}/d.sock")

        def answers():
            assert process.poll() is None, process.log.read_text()[-2000:]
            return self.run(*docker, "version").returncode == 0
        wait_for("dockerd", answers, 30, 0.2)
        return process, docker

    def berthd(self, containerd, *args, name="b"):
        """Ours on a given containerd; returns (process, docker command prefix)."""
        base = self.folder / name
        base.mkdir(exist_ok=True)
        process = self.start(self.bin / "berthd", "-H", f"unix://{base}/d.sock", "--containerd", containerd, "--data-root", base / "data", "--exec-root", base / "run",
                             "--pidfile", base / "pid", "--bridge", "none", *args)
        docker = ("docker", "-H", f"unix://{base}/d.sock")

        def answers():
            assert process.poll() is None, process.log.read_text()[-2000:]
            return self.run(*docker, "version").returncode == 0
        wait_for("berthd", answers, 30, 0.2)
        return process, docker


class Ctr:
    """The stock `ctr` on one socket."""

    def __init__(self, peers, socket, runtime=None):
        self.peers, self.prefix, self.runtime = peers, ("ctr", "--address", str(socket)), runtime
        self.fifos = str(peers.folder / "fifos")

    def run(self, *args, **options):
        return self.peers.run(*self.prefix, *args, **options)

    def ok(self, *args, **options):
        return self.peers.ok(*self.prefix, *args, **options)

    def fails(self, *args, **options):
        return self.peers.fails(*self.prefix, *args, **options)

    def container(self, *args):
        """`ctr run` with this runtime; the last arguments are image, id and command."""
        return ("run", "--fifo-dir", self.fifos, *(("--runtime", self.runtime) if self.runtime else ()), *args)
