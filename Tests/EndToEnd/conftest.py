"""One engine for the whole run, in a folder of its own, with a busybox image; every test ends with nothing left behind."""
import os
import shutil
import subprocess
import tempfile
import uuid

import pytest

import leaks
from engine import BIN, REPO, Client, Engine, ForeignEngine, wait_for

IMAGE = "busybox:latest"
# A bridge, and so a packet filter table, and a parent cgroup of our own: an engine that serves on this machine is not disturbed, nor are we by it.
BRIDGE = f"bt{os.getpid()}"


def busybox_image():
    return subprocess.run([REPO / "contrib/dev/make-busybox-image.sh"], check=True, capture_output=True).stdout


def new_engine(folder, *args):
    engine = Engine(folder, *args).start()
    berth = Client(BIN / "berth", engine.host)
    r = berth.run("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "-", IMAGE, input=busybox_image())
    assert r.returncode == 0, r.stderr
    return engine


@pytest.fixture(scope="session")
def engine():
    """The engine that all tests share. Tests that kill daemons use it too: it must survive that.

    E2E_HOST=unix:///… runs the tests against another engine, such as a stock dockerd: where that fails, the test is wrong.
    """
    if host := os.environ.get("E2E_HOST"):
        foreign = ForeignEngine(host)
        client = foreign.clients()["docker"]
        r = client.run("import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "-", IMAGE, input=busybox_image())
        assert r.returncode == 0, r.stderr
        yield foreign
        return
    folder = tempfile.mkdtemp(prefix=f"berth-test-{os.getpid()}-", dir="/tmp")
    engine = new_engine(folder, "--bridge", BRIDGE, "--cgroup-parent", f"/{BRIDGE}")
    # The kernel takes its time to remove what was in the network namespaces of an earlier run: that is not to count as having been there before.
    try:
        wait_for("the end of an earlier run's links", lambda: not leaks.links(BRIDGE), 5)
    except AssertionError:
        pass
    yield engine
    engine.stop()
    subprocess.run(["ip", "link", "delete", BRIDGE], check=True)
    for parent in leaks.cgroup_parents(BRIDGE):
        parent.rmdir()
    assert subprocess.run(["nft", "list", "table", "inet", f"berth-{BRIDGE}"], capture_output=True).returncode == 1, "the table goes with an idle engine"
    left = leaks.snapshot(folder, BRIDGE)
    if not os.environ.get("KEEP"):
        shutil.rmtree(folder)
    assert not left["mounts"] and not left["processes"], left


@pytest.fixture(params=["docker", "berth"])
def cli(request, engine):
    """The stock client and our own, in turn."""
    client = engine.clients().get(request.param)
    if client is None and isinstance(engine, ForeignEngine):
        pytest.skip("berth is not built")
    if client is None:
        pytest.fail("there is no docker client on this machine: install docker-cli")
    return client


@pytest.fixture
def docker(engine):
    """The stock client where the client makes no difference."""
    clients = engine.clients()
    return clients.get("docker") or clients["berth"]


@pytest.fixture
def name():
    return f"berth-test-{uuid.uuid4().hex[:10]}"


@pytest.fixture(autouse=True)
def nothing_is_left(engine):
    """Removes the test's containers, volumes and networks, then compares the machine with what it was before."""
    if isinstance(engine, ForeignEngine):
        yield
        client = engine.clients()["docker"]
        if ids := client.run("ps", "-aq", "--filter", "name=berth-test-").stdout.split():
            client.run("rm", "-f", "-v", *ids)
        return
    before = leaks.snapshot(engine.folder, BRIDGE)
    yield
    if engine.process.poll() is not None:
        engine.start()
    client = next(iter(engine.clients().values()))
    if ids := client.run("ps", "-aq").stdout.split():
        client.run("rm", "-f", "-v", *ids)
    client.run("network", "prune", "-f")
    client.run("volume", "prune", "-a", "-f")
    state = {}

    def same():
        state.update(leaks.snapshot(engine.folder, BRIDGE))
        return state == before

    try:
        wait_for("nothing left behind", same, 10)
    except AssertionError:
        difference = {k: (before[k], state[k]) for k in state if state[k] != before[k]}
        raise AssertionError(f"left behind (before, after): {difference}") from None
