"""Our supervisor in containerd's place and containerd in ours, driven by the real programs; skipped where those are not set up."""
import hashlib
import json
import os
import re
import signal
import subprocess
import time

import pytest

from conftest import busybox_image
from engine import wait_for
from peers import Ctr, Peers
from registry import Registry, certificates


@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have programs of their own."""


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    p = Peers(tmp_path_factory.mktemp("peers"))
    yield p
    p.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    r.push("busybox", "latest", [busybox_image()], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    yield r
    r.stop()


@pytest.fixture(scope="module")
def image(registry):
    return f"{registry.name}/busybox:latest"


@pytest.fixture(scope="module")
def ours(peers):
    return peers.supervisor()[1]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def theirs(peers, authority):
    return peers.containerd(environment={"SSL_CERT_FILE": authority / "ca.crt"})[1]


# ctr names a runtime of its own where it is given none
BERTH, RUNC = "io.containerd.berth.v1", "io.containerd.runc.v2"

# Who is above, who is below: (name, containerd's place, runtime)
STACKS = {
    "ctr - berth-supervisor - berth-shim": ("ours", BERTH),
    "ctr - berth-supervisor - containerd-shim-runc-v2": ("ours", RUNC),
    "ctr - containerd - berth-shim": ("theirs", BERTH),
}


@pytest.fixture(scope="module", params=STACKS)
def ctr(request, peers, image):
    place, runtime = STACKS[request.param]
    c = Ctr(peers, request.getfixturevalue(place), runtime)
    c.ok("images", "pull", "--plain-http", image)
    return c


@pytest.fixture
def name(request):
    return f"t{time.monotonic_ns()}"


def gone(ctr, name):
    ctr.run("tasks", "kill", "-s", "KILL", name)
    ctr.run("tasks", "rm", "-f", name)
    ctr.run("containers", "rm", name)


# Containers

def test_run_prints_and_returns_the_exit_code(ctr, image, name):
    assert ctr.ok(*ctr.container("--rm", image, name, "echo", "hello")) == "hello"
    assert ctr.run(*ctr.container("--rm", image, name, "sh", "-c", "echo oops >&2; exit 42")).returncode == 42
    assert name not in ctr.ok("containers", "ls", "-q")


def test_run_with_a_terminal(ctr, peers, image, name):
    command = " ".join(peers.argv(*ctr.prefix, *ctr.container("--rm", "-t", image, name, "tty")))
    r = subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    assert "/dev/pts/0" in r.stdout or "/dev/console" in r.stdout, r.stdout + r.stderr


def test_a_detached_container_is_executed_in_paused_updated_measured_and_killed(ctr, image, name):
    ctr.ok(*ctr.container("-d", image, name, "sh", "-c", "trap 'exit 7' TERM; while :; do sleep 0.1; done"))
    try:
        assert "RUNNING" in ctr.ok("tasks", "ls")
        assert ctr.ok("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", "e1", name, "echo", "inside") == "inside"
        assert ctr.run("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", "e2", name, "sh", "-c", "exit 5").returncode == 5
        assert ctr.ok("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", "e3", name, "cat", input="through stdin\n") == "through stdin"
        ctr.ok("tasks", "pause", name)
        assert "PAUSED" in ctr.ok("tasks", "ls")
        ctr.ok("tasks", "resume", name)
        if ctr.runtime != RUNC:  # Go's cgroup library finds no cgroup mount in a root below another one
            assert re.search(r"(?i)pids", ctr.ok("tasks", "metrics", name))
        assert len(ctr.ok("tasks", "ps", name).splitlines()) >= 2
        ctr.ok("tasks", "kill", "-s", "TERM", name)
        wait_for("the end", lambda: "STOPPED" in ctr.ok("tasks", "ls"))
        assert "exit code 7" in ctr.run("tasks", "rm", name).stderr
    finally:
        gone(ctr, name)


def test_a_detached_container_is_attached_to(ctr, peers, image, name):
    ctr.ok(*ctr.container("-d", image, name, "sh", "-c", "while :; do echo tick; sleep 0.1; done"))
    attached = peers.start(*ctr.prefix, "tasks", "attach", name)
    try:
        wait_for("output", lambda: "tick" in attached.log.read_text())
        ctr.ok("tasks", "kill", "-s", "KILL", name)
        wait_for("the end of attach", lambda: attached.poll() is not None)
        assert attached.returncode == 137
    finally:
        peers.stop(attached)
        gone(ctr, name)


def test_a_missing_program_and_a_missing_container_are_told(ctr, image, name):
    assert "no such file" in ctr.fails(*ctr.container("--rm", image, name, "/nowhere"))
    gone(ctr, name)
    assert "not found" in ctr.fails("tasks", "kill", "nobody")


def test_an_out_of_memory_container_is_told(ctr, peers, image, name):
    events = peers.start(*ctr.prefix, "events")
    time.sleep(0.5)
    ctr.run(*ctr.container("--rm", "--memory-limit", str(16 << 20), image, name, "sh", "-c", "x=a; while :; do x=$x$x; done"))
    try:
        if ctr.runtime != RUNC:  # its cgroup library finds no cgroup mount here
            wait_for("the event", lambda: any(name in line and "/tasks/oom" in line for line in events.log.read_text().splitlines()), 5)
    finally:
        peers.stop(events)
    assert name not in ctr.ok("containers", "ls", "-q")


def test_events_tell_a_life_in_order(ctr, peers, image, name):
    events = peers.start(*ctr.prefix, "events")
    time.sleep(0.5)
    ctr.ok(*ctr.container("--rm", image, name, "true"))
    topics = lambda: [t for line in events.log.read_text().splitlines() if name in line for t in re.findall(r" (/\S+) ", line)]
    wanted = ["/containers/create", "/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete", "/containers/delete"]
    try:
        wait_for("all events", lambda: [t for t in topics() if t in wanted] == wanted)
    except AssertionError:
        raise AssertionError(topics()) from None
    finally:
        peers.stop(events)


# Images and what they are made of: ours alone

@pytest.fixture
def mine(peers, ours, image):
    c = Ctr(peers, ours, BERTH)
    c.ok("images", "pull", "--plain-http", image)
    return c


def test_images_are_tagged_exported_removed_imported_and_mounted(mine, image, tmp_path):
    archive = tmp_path / "image.tar"
    mine.ok("images", "tag", "--force", image, "example.org/tagged:1")
    assert "example.org/tagged:1" in mine.ok("images", "ls", "-q")
    mine.ok("images", "export", "--platform", "linux/amd64", archive, "example.org/tagged:1")
    mine.ok("images", "rm", "--sync", "example.org/tagged:1")
    assert "example.org/tagged:1" not in mine.ok("images", "ls", "-q")
    mine.ok("images", "import", archive)
    assert "example.org/tagged:1" in mine.ok("images", "ls", "-q")
    assert "complete" in mine.ok("images", "check")
    target = tmp_path / "mounted"
    target.mkdir()
    mine.ok("images", "mount", image, target)
    assert "busybox" in mine.peers.ok("ls", f"{target}/bin")
    mine.ok("images", "unmount", "--rm", target)



def test_the_transfer_service_pulls_too(mine, image, registry):
    reference = f"{registry.name}/busybox:transfer"
    registry.push("busybox", "transfer", [busybox_image()], {"Cmd": ["true"]})
    mine.ok("images", "pull", "--local=false", "--plain-http", reference)
    assert reference in mine.ok("images", "ls", "-q")


def test_content_snapshots_leases_and_namespaces(mine, image, name):
    digest = mine.ok("images", "ls", f"name=={image}").splitlines()[1].split()[2]
    manifest = json.loads(mine.ok("content", "get", digest))
    assert digest in mine.ok("content", "ls", "-q")
    assert mine.ok("content", "get", manifest["config"]["digest"]).startswith("{")
    layers = mine.ok("snapshots", "ls").splitlines()[1:]
    chain = next(l.split()[0] for l in layers if "Committed" in l)
    mine.ok("snapshots", "prepare", name, chain)
    assert "overlay" in mine.ok("snapshots", "mounts", "/mnt", name)
    assert name in mine.ok("snapshots", "usage")
    assert chain in mine.ok("snapshots", "info", name)
    mine.ok("snapshots", "commit", f"{name}-committed", name)
    mine.ok("snapshots", "rm", f"{name}-committed")
    mine.ok("leases", "create", "--id", name, "k=v")
    assert "k=v" in mine.ok("leases", "ls")
    mine.ok("leases", "delete", "--sync", name)
    mine.ok("namespaces", "create", name, "a=b")
    assert "a=b" in mine.ok("namespaces", "ls")
    mine.ok("namespaces", "rm", name)
    assert "overlayfs" in mine.ok("plugins", "ls")
    assert mine.ok("sandboxes", "ls").split() == ["ID", "CREATED", "RUNTIME"]


def test_the_collector_keeps_what_refers_back_to_something_kept(mine, image, name):
    manifest = mine.ok("images", "ls", f"name=={image}").splitlines()[1].split()[2]
    blobs = {}
    mine.ok("leases", "create", "--id", name)
    for kind in ("kept", "lost"):
        data = f"{name} {kind}"
        blobs[kind] = "sha256:" + hashlib.sha256(data.encode()).hexdigest()
        mine.ok("content", "ingest", f"{name}-{kind}", input=data)

    def labelled():
        """ctr takes no lease for what it ingests: a collection that earlier tests have left behind may take the blob before it has its label, as in containerd."""
        r = mine.run("content", "label", blobs["kept"], f"containerd.io/gc.bref.content={manifest}")
        if r.returncode == 0:
            return True
        assert "not found" in r.stderr, r.stderr
        mine.ok("content", "ingest", f"{name}-again-{time.monotonic_ns()}", input=f"{name} kept")
        return False

    wait_for("the label", labelled)
    mine.ok("leases", "delete", "--sync", name)
    listed = mine.ok("content", "ls", "-q")
    assert blobs["kept"] in listed and blobs["lost"] not in listed


# counts in memory and writes into its own layer: both must go on where they were
COUNTING = "i=0; while :; do i=$((i+1)); echo $i >/count; sleep 0.05; done"


def count(ctr, name):
    out = ctr.run("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", f"e{time.monotonic_ns()}", name, "cat", "/count").stdout.strip()
    return int(out or 0)


@pytest.mark.parametrize("runtime", [BERTH, RUNC])
def test_a_container_goes_on_from_its_checkpoint(peers, ours, image, name, runtime):
    if peers.run("which", "criu").returncode != 0:
        pytest.skip("no criu beside the real containerd")
    ctr = Ctr(peers, ours, runtime)
    ctr.ok("images", "pull", "--plain-http", image)
    ctr.ok(*ctr.container("-d", image, name, "sh", "-c", COUNTING))
    checkpoint = f"example.org/checkpoint:{name}"
    try:
        wait_for("some counting", lambda: count(ctr, name) > 5)
        ctr.ok("containers", "checkpoint", "--task", "--rw", "--image", name, checkpoint)
        saved = count(ctr, name)
        gone(ctr, name)
        kinds = ctr.ok("content", "get", ctr.ok("images", "ls", f"name=={checkpoint}").splitlines()[1].split()[2])
        assert "container.criu.checkpoint.criu.tar" in kinds and "container.checkpoint.config.v1+proto" in kinds
        ctr.ok("containers", "restore", "--rw", "--live", name, checkpoint)
        wait_for("counting to go on", lambda: count(ctr, name) > max(saved, 5))
        assert "RUNNING" in ctr.ok("tasks", "ls")
    finally:
        gone(ctr, name)
        ctr.run("images", "rm", checkpoint)


def test_without_criu_a_checkpoint_is_refused_and_the_container_goes_on(peers, image, name):
    process, socket = peers.supervisor("nocriu", environment={"PATH": peers.bin})
    ctr = Ctr(peers, socket, BERTH)
    try:
        ctr.ok("images", "pull", "--plain-http", image)
        ctr.ok(*ctr.container("-d", image, name, "sh", "-c", COUNTING))
        assert "checkpoint failed" in ctr.fails("tasks", "checkpoint", name)
        before = count(ctr, name)
        wait_for("counting", lambda: count(ctr, name) > before)
    finally:
        gone(ctr, name)
        peers.stop(process)


def test_a_container_that_asks_to_be_restarted_is(peers, image, name):
    base = peers.folder / "restart"
    base.mkdir()
    (base / "config.toml").write_text('version = 2\n[plugins."io.containerd.internal.v1.restart"]\n  interval = "200ms"\n')
    process, socket = peers.supervisor("restart", "--config", base / "config.toml")
    ctr = Ctr(peers, socket, BERTH)
    labels = ("--label", "containerd.io/restart.status=running", "--label", "containerd.io/restart.policy=on-failure:1")
    try:
        ctr.ok("images", "pull", "--plain-http", image)
        # fails once and lives on from then
        ctr.ok(*ctr.container("-d", *labels, image, name, "sh", "-c", "[ -e /once ] && exec sleep 1000; touch /once; exit 3"))
        wait_for("a restart", lambda: "RUNNING" in ctr.ok("tasks", "ls"))
        assert '"containerd.io/restart.count": "1"' in ctr.ok("containers", "info", name)
        ctr.ok("tasks", "kill", "-s", "KILL", name)
        wait_for("the end", lambda: "STOPPED" in ctr.ok("tasks", "ls"))
        ctr.ok("containers", "label", name, "containerd.io/restart.policy=always")
        wait_for("another restart", lambda: "RUNNING" in ctr.ok("tasks", "ls"))
        ctr.ok("containers", "label", name, "containerd.io/restart.status=stopped")
        wait_for("the end", lambda: name not in ctr.ok("tasks", "ls"))
    finally:
        gone(ctr, name)
        peers.stop(process)


def test_a_restarted_supervisor_finds_its_containers_and_tells_what_it_missed(peers, image, name):
    process, socket = peers.supervisor("r")
    ctr = Ctr(peers, socket, BERTH)
    ctr.ok("images", "pull", "--plain-http", image)
    ctr.ok(*ctr.container("-d", image, f"{name}-lives", "sleep", "1000"))
    ctr.ok(*ctr.container("-d", image, f"{name}-ends", "sh", "-c", "sleep 1; exit 3"))
    process.kill()
    process.wait()
    time.sleep(1.5)
    process, socket = peers.supervisor("r")
    listed = {line.split()[0]: line.split()[2] for line in ctr.ok("tasks", "ls").splitlines()[1:]}
    assert listed == {f"{name}-lives": "RUNNING", f"{name}-ends": "STOPPED"}
    assert ctr.ok("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", "e", f"{name}-lives", "echo", "still here") == "still here"
    assert "exit code 3" in ctr.run("tasks", "rm", f"{name}-ends").stderr
    gone(ctr, f"{name}-lives")
    peers.stop(process)


def test_containers_of_our_shim_survive_a_restart_of_containerd(peers, image, name):
    process, socket = peers.containerd("cr")
    ctr = Ctr(peers, socket, BERTH)
    ctr.ok("images", "pull", "--plain-http", image)
    ctr.ok(*ctr.container("-d", image, name, "sleep", "1000"))
    process.kill()
    process.wait()
    process, socket = peers.containerd("cr")
    assert "RUNNING" in ctr.ok("tasks", "ls")
    assert ctr.ok("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", "e", name, "echo", "still here") == "still here"
    gone(ctr, name)
    peers.stop(process)


# dockerd on our supervisor

@pytest.fixture(scope="module", params=["graph driver", "containerd snapshotter"])
def dockerd(request, peers, registry, image):
    name = request.param.split()[0]
    process, socket = peers.supervisor(f"ds-{name}")
    config = peers.folder / f"{name}.json"
    config.write_text(json.dumps({"features": {"containerd-snapshotter": name == "containerd"}, "live-restore": True, "insecure-registries": [registry.name]}))
    daemon, docker = peers.dockerd(socket, "--config-file", config, name=f"dd-{name}")

    class Docker:
        prefix = docker

        def run(self, *args, **options):
            return peers.run(*docker, *args, **options)

        def ok(self, *args, **options):
            return peers.ok(*docker, *args, **options)

        def restart(self):
            nonlocal daemon
            peers.stop(daemon)
            daemon, _ = peers.dockerd(socket, "--config-file", config, name=f"dd-{name}")

    yield Docker()
    peers.stop(daemon)
    peers.stop(process)


def test_dockerd_pulls_runs_logs_executes_and_stops(dockerd, image, name):
    dockerd.ok("pull", image)
    assert dockerd.ok("run", "--rm", "--network", "none", image, "echo", "from dockerd") == "from dockerd"
    assert dockerd.run("run", "--rm", "--network", "none", image, "sh", "-c", "exit 9").returncode == 9
    dockerd.ok("run", "-d", "--name", name, "--network", "none", image, "sh", "-c", "echo line; trap 'exit 0' TERM; while :; do sleep 0.1; done")
    wait_for("the log", lambda: dockerd.ok("logs", name) == "line")
    assert dockerd.ok("exec", name, "echo", "in exec") == "in exec"
    dockerd.ok("stop", "-t", "5", name)
    assert dockerd.ok("inspect", "-f", "{{.State.ExitCode}}", name) == "0"
    dockerd.ok("rm", name)


def test_dockerd_pushes(dockerd, registry, image, name):
    dockerd.ok("pull", image)
    dockerd.ok("tag", image, f"{registry.name}/pushed-by-dockerd:{name}")
    assert "digest: sha256:" in dockerd.ok("push", f"{registry.name}/pushed-by-dockerd:{name}")


@pytest.mark.parametrize("builder", ["0", "1"], ids=["its first builder", "buildkit"])
def test_dockerd_builds_and_prunes(dockerd, peers, image, name, builder):
    dockerd.ok("pull", image)
    built = f"built:{name}"
    dockerfile = f"FROM {image}\nRUN echo made >/made\nENV A=b\nCMD [\"cat\", \"/made\"]\n"
    # the builder's RUN has no network of dockerd's to join
    peers.ok("env", f"DOCKER_BUILDKIT={builder}", *dockerd.prefix, "build", "--network", "none", "-t", built, "-", input=dockerfile, timeout=120)
    assert dockerd.ok("run", "--rm", "--network", "none", built) == "made"
    dockerd.ok("rmi", built)
    if builder == "1":
        dockerd.ok("builder", "prune", "-af")
    assert "reclaimed space" in dockerd.ok("system", "prune", "-f")
    assert dockerd.ok("run", "--rm", "--network", "none", image, "echo", "still here") == "still here"


def test_containers_survive_a_restart_of_dockerd(dockerd, image, name):
    dockerd.ok("pull", image)
    dockerd.ok("run", "-d", "--name", name, "--network", "none", image, "sleep", "1000")
    pid = dockerd.ok("inspect", "-f", "{{.State.Pid}}", name)
    dockerd.restart()
    assert dockerd.ok("inspect", "-f", "{{.State.Pid}} {{.State.Running}}", name) == f"{pid} true"
    assert dockerd.ok("exec", name, "echo", "again") == "again"
    dockerd.ok("rm", "-f", name)


# berthd on stock containerd, and other runtimes below our shim

def test_berthd_on_the_real_containerd(peers, theirs, authority, tmp_path, name):
    # containerd 1.7's transfer service speaks TLS alone
    registry = Registry(tmp_path, f"  tls:\n    certificate: {authority}/server.crt\n    key: {authority}/server.key\n", cafile=authority / "ca.crt")
    registry.push("busybox", "latest", [busybox_image()], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    image = f"{registry.name}/busybox:latest"
    process, docker = peers.berthd(theirs)
    try:
        peers.ok(*docker, "pull", image)
        assert peers.ok(*docker, "run", "--rm", "--network", "none", image, "echo", "on containerd") == "on containerd"
        peers.ok(*docker, "run", "-d", "--name", name, "--network", "none", image, "sh", "-c", "echo line; trap 'exit 0' TERM; while :; do sleep 0.1; done")
        wait_for("the log", lambda: peers.ok(*docker, "logs", name) == "line")
        assert peers.ok(*docker, "exec", name, "echo", "in exec") == "in exec"
        peers.ok(*docker, "stop", "-t", "5", name)
        assert peers.ok(*docker, "inspect", "-f", "{{.State.ExitCode}}", name) == "0"
        peers.ok(*docker, "rm", name)
        dockerfile = f'FROM {image}\nENV A=1\nRUN echo $A >/made\nFROM scratch\nCOPY --from=0 /made /bin/busybox /\nCMD ["/busybox", "cat", "/made"]'
        build = ("env", "DOCKER_BUILDKIT=0", *docker, "build", "--network", "none", "-t", f"{name}-built", "-")
        peers.ok(*build, input=dockerfile)
        assert peers.ok(*build, input=dockerfile).count("Using cache") == 4
        assert peers.ok(*docker, "run", "--rm", "--network", "none", f"{name}-built") == "1"
        peers.ok(*docker, "rmi", f"{name}-built", image)
    finally:
        peers.stop(process)
        registry.stop()


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_other_runtimes_below_our_shim(peers, ours, image, name, runtime):
    process, docker = peers.berthd(ours, "--add-runtime", f"{runtime}=/usr/bin/{runtime}", name=f"b-{runtime}")
    try:
        peers.ok(*docker, "pull", image)
        run = (*docker, "run", "--runtime", runtime, "--network", "none")
        assert peers.ok(*run, "--rm", image, "echo", runtime) == runtime
        peers.ok(*run, "-d", "--name", name, image, "sleep", "1000")
        assert peers.ok(*docker, "exec", name, "echo", "in exec") == "in exec"
        peers.ok(*docker, "pause", name)
        peers.ok(*docker, "unpause", name)
        peers.ok(*docker, "rm", "-f", name)
        r = peers.run(*run, "--name", f"{name}-oom", "-m", "16m", "--memory-swap", "16m", image, "sh", "-c", "x=a; while :; do x=$x$x; done")
        assert r.returncode == 137
        assert peers.ok(*docker, "inspect", "-f", "{{.State.OOMKilled}}", f"{name}-oom") == "true"
        peers.ok(*docker, "rm", f"{name}-oom")
    finally:
        peers.stop(process)
