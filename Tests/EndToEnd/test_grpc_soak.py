"""100 000 calls over one connection, from Go's gRPC client to berth-supervisor and from berthd to a stock containerd, without a break."""
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine import BIN, alive, wait_for
from peers import SCRIPT, Peers

# SOAK_CALLS shortens the run while something else keeps the machine busy.
CALLS = int(os.environ.get("SOAK_CALLS", 100_000))
GOCODE = "usr/share/gocode/src/google.golang.org/grpc"


def build(source, program):
    """Builds with the Go of this machine or else of the peers' root, without Go modules: what Debian's golang-google-grpc-dev brings is all there is."""
    prefix = None
    if shutil.which("go") and Path("/", GOCODE).exists():
        prefix = []
    elif SCRIPT.exists():
        root = Path(subprocess.run([SCRIPT, "path"], capture_output=True, text=True).stdout.strip())
        if (root / "usr/bin/go").exists() and (root / GOCODE).exists():
            prefix = [SCRIPT, "run"]
    if prefix is None:
        pytest.skip("no Go with gRPC: install golang-go and golang-google-grpc-dev here or in the peers' root")
    environment = ["env", "GO111MODULE=off", "GOPATH=/usr/share/gocode", "GOCACHE=/var/tmp/berth-test-go", "CGO_ENABLED=0"]
    subprocess.run([*prefix, *environment, "go", "build", "-o", program, source], check=True, timeout=600)


@pytest.fixture
def folder(tmp_path_factory):
    # below /tmp, which the peers' root shares; short, because sockets lie in it
    path = Path("/tmp") / f"berth-test-soak-{tmp_path_factory.getbasetemp().name}"
    path.mkdir()
    yield path
    shutil.rmtree(path)


def test_a_go_client_makes_its_calls_over_one_connection(folder):
    shutil.copy(Path(__file__).parent / "grpc-soak/main.go", folder)
    build(folder / "main.go", folder / "grpc-soak")
    address = folder / "s.sock"
    supervisor = subprocess.Popen([BIN / "berth-supervisor", "--address", address, "--root", folder / "root", "--state", folder / "run"],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for("the supervisor's socket", address.exists)
        soak = subprocess.run([folder / "grpc-soak", address, str(CALLS)], capture_output=True, text=True, timeout=600)
        assert soak.returncode == 0, soak.stderr
        assert soak.stdout.startswith(f"{CALLS} calls")
    finally:
        supervisor.terminate()
        wait_for("the end of the supervisor", lambda: supervisor.poll() is not None)


def ask(path, count):
    """So many requests over one connection, a hundred at a time; each makes berthd ask containerd for its version. Returns how many answers have it."""
    request, batch, answers = b"GET /v1.44/version HTTP/1.1\r\nHost: d\r\n\r\n", 100, 0
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(60)
        s.connect(path)
        reader = s.makefile("rb")
        for _ in range(count // batch):
            s.sendall(request * batch)
            for _ in range(batch):
                assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
                length = 0
                while (line := reader.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                answers += b'"containerd"' in reader.read(length)
    return answers


def test_berthd_makes_its_calls_to_a_stock_containerd_over_one_connection(folder):
    clients = 5
    peers = Peers(folder)
    try:
        _, containerd = peers.containerd()
        process, (_, _, host) = peers.berthd(containerd)
        with ThreadPoolExecutor(clients) as threads:
            answers = threads.map(lambda _: ask(host.removeprefix("unix://"), CALLS // clients), range(clients))
        assert sum(answers) == CALLS
        assert alive(process.pid) and "lost the supervisor's events" not in process.log.read_text()
    finally:
        peers.close()
