"""berth-runtime in runc's place under the real containerd, dockerd and podman (with its conmon); skipped where those are not set up."""
import json
import shutil
import subprocess

import pytest

from conftest import busybox_image
from engine import wait_for
from peers import Ctr, Peers
from registry import Registry


@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have programs of their own."""


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    p = Peers(tmp_path_factory.mktemp("peers"))
    yield p
    p.close()


@pytest.fixture(scope="module")
def runtime(peers):
    return peers.bin / "berth-runtime"


def leftovers(word):
    """Cgroups of a container, alone or with what managers put before its name, and mounts. Real runtimes leave others' with longer names where no hierarchy is mounted."""
    found = subprocess.run(f"find /sys/fs/cgroup '(' -name '{word}' -o -name '*-{word}*' ')' -type d; grep {word} /proc/self/mounts", shell=True, capture_output=True, text=True)
    return found.stdout


# containerd


@pytest.fixture(scope="module")
def ctr(peers, tmp_path_factory):
    registry = Registry(tmp_path_factory.mktemp("registry"))
    registry.push("busybox", "latest", [busybox_image()], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    c = Ctr(peers, peers.containerd()[1], "io.containerd.runc.v2")
    c.image = f"{registry.name}/busybox:latest"
    c.ok("images", "pull", "--plain-http", c.image)
    yield c
    registry.stop()


def test_containerds_own_shim_runs_it(ctr, runtime):
    assert ctr.ok(*ctr.container("--rm", "--runc-binary", runtime, ctr.image, "one", "sh", "-c", "echo from $(hostname); exit 0")).startswith("from")
    assert ctr.run(*ctr.container("--rm", "--runc-binary", runtime, ctr.image, "two", "sh", "-c", "exit 42")).returncode == 42
    assert "executable file not found in $PATH" in ctr.fails(*ctr.container("--rm", "--runc-binary", runtime, ctr.image, "three", "nowhere"))
    assert not leftovers("three")


def test_containerds_own_shim_execs_pauses_updates_and_kills_with_it(ctr, runtime):
    ctr.ok(*ctr.container("-d", "--runc-binary", runtime, "--memory-limit", "50000000", ctr.image, "life", "sleep", "1000"))
    try:
        assert ctr.ok("tasks", "exec", "--fifo-dir", ctr.fifos, "--exec-id", "e1", "life", "sh", "-c", "echo inside") == "inside"
        ctr.ok("tasks", "pause", "life")
        assert "PAUSED" in ctr.ok("tasks", "ls")
        ctr.ok("tasks", "resume", "life")
        ctr.ok("tasks", "kill", "-s", "SIGKILL", "life")
        wait_for("the task's end", lambda: "STOPPED" in ctr.ok("tasks", "ls"))
    finally:
        ctr.run("tasks", "rm", "-f", "life")
        ctr.run("containers", "rm", "life")
    assert not leftovers("life")


def test_containerds_own_shim_checkpoints_and_restores_with_it(ctr, runtime):
    ctr.ok(*ctr.container("-d", "--runc-binary", runtime, "--null-io", ctr.image, "saved", "sleep", "1000"))
    path = ctr.peers.folder / "checkpoint"
    try:
        r = ctr.run("tasks", "checkpoint", "--image-path", path, "saved")
        if r.returncode != 0 and "criu failed" in r.stderr:
            pytest.skip(f"CRIU cannot on this kernel: {r.stderr.strip()[-300:]}")
        assert r.returncode == 0, r.stderr
        assert (path / "inventory.img").exists()
    finally:
        ctr.run("tasks", "rm", "-f", "saved")
        ctr.run("containers", "rm", "saved")


# dockerd


@pytest.fixture(scope="module")
def docker(peers, runtime):
    process, docker = peers.dockerd(peers.containerd("cd")[1], "--add-runtime", f"ours={runtime}", "--default-runtime", "ours")
    peers.ok(*docker, "import", "-c", 'CMD ["sh"]', "-c", "ENV PATH=/bin", "-", "busybox:latest", input=busybox_image())
    return docker


def test_dockerd_runs_it(peers, docker):
    assert "ours" in peers.ok(*docker, "info", "--format", "{{.DefaultRuntime}}")
    assert peers.ok(*docker, "run", "--rm", "--network", "none", "busybox", "echo", "hello") == "hello"
    for program, code in [(("sh", "-c", "exit 5"), 5), (("nowhere",), 127), (("/etc",), 126), (("sh", "-c", "sh -c 'kill -9 $$'; exit $?"), 137)]:
        assert peers.run(*docker, "run", "--rm", "--network", "none", "busybox", *program).returncode == code, program


def test_dockerds_options_reach_the_container(peers, docker):
    look = "grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; id -u; cat /proc/self/oom_score_adj; ulimit -n"
    options = ("--user", "1000", "--security-opt", "no-new-privileges", "--oom-score-adj", "300", "--ulimit", "nofile=512:512", "--read-only", "--tmpfs", "/t", "--pids-limit", "30")
    out = peers.ok(*docker, "run", "--rm", "--network", "none", *options, "busybox", "sh", "-c", look).split("\n")
    assert [line.split()[-1] for line in out] == ["0000000000000000", "1", "2", "1000", "300", "512"]


def test_dockerd_execs_pauses_updates_and_stops_with_it(peers, docker):
    name = peers.ok(*docker, "run", "-d", "--network", "none", "--memory", "64m", "busybox", "sleep", "1000")
    try:
        assert peers.ok(*docker, "exec", name, "echo", "inside") == "inside"
        assert peers.run(*docker, "exec", name, "sh", "-c", "exit 9").returncode == 9
        peers.ok(*docker, "pause", name)
        assert peers.ok(*docker, "inspect", "--format", "{{.State.Status}}", name) == "paused"
        peers.ok(*docker, "unpause", name)
        peers.ok(*docker, "update", "--memory", "80m", "--memory-swap", "80m", "--cpus", "0.5", name)
        assert "sleep 1000" in peers.ok(*docker, "top", name)
        peers.ok(*docker, "kill", name)
        assert peers.ok(*docker, "wait", name) == "137"
    finally:
        peers.run(*docker, "rm", "-f", name)
    assert not leftovers(name)


# podman and conmon


@pytest.fixture(scope="module")
def podman(peers, runtime):
    base = peers.folder / "podman"
    root = base / "rootfs"
    for name in ("bin", "etc", "tmp"):
        (root / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for name in ("sh", "echo", "sleep", "cat", "id", "true", "grep"):
        (root / "bin" / name).symlink_to("busybox")
    command = ("env", "PODMAN_IGNORE_CGROUPSV1_WARNING=1", f"XDG_RUNTIME_DIR={base}", "podman", "--root", base / "root", "--runroot", base / "run", "--tmpdir", base / "tmp",
               "--runtime", runtime, "--cgroup-manager", "cgroupfs", "--events-backend", "file", "--storage-driver", "vfs")

    class Podman:
        rootfs = str(root)

        def run(self, *args, **options):
            return peers.run(*command, *args, **options)

        def ok(self, *args, **options):
            return peers.ok(*command, *args, **options)
    p = Podman()
    yield p
    p.run("rm", "-a", "-f", "-t", "0")
    p.run("pod", "rm", "-a", "-f")


def test_podman_runs_and_execs_with_it(podman):
    assert podman.ok("run", "--rm", "--network", "none", "--rootfs", podman.rootfs, "echo", "hello") == "hello"
    assert podman.run("run", "--rm", "--network", "none", "--rootfs", podman.rootfs, "sh", "-c", "exit 3").returncode == 3
    assert podman.run("run", "--rm", "--network", "none", "--rootfs", podman.rootfs, "nowhere").returncode == 127
    assert podman.run("run", "--rm", "--network", "none", "--rootfs", podman.rootfs, "/etc").returncode == 126


def test_podmans_life_of_a_container(podman):
    podman.ok("run", "-d", "--name", "life", "--network", "none", "--memory", "64m", "--rootfs", podman.rootfs, "sleep", "1000")
    assert podman.ok("exec", "life", "id") == "uid=0 gid=0"
    assert podman.run("exec", "life", "sh", "-c", "exit 7").returncode == 7
    assert podman.run("exec", "life", "nowhere").returncode == 127
    podman.ok("pause", "life")
    assert podman.ok("inspect", "--format", "{{.State.Status}}", "life") == "paused"
    podman.ok("unpause", "life")
    assert "life" in podman.ok("stats", "--no-stream", "--format", "{{.Name}}", "life")
    assert "sleep 1000" in podman.ok("top", "life")
    podman.ok("kill", "life")
    assert podman.ok("wait", "life") == "137"
    identity = podman.ok("inspect", "--format", "{{.Id}}", "life")
    podman.ok("rm", "-f", "-t", "0", "life")
    assert not leftovers(identity)


def test_podmans_terminal(podman):
    assert podman.ok("run", "--rm", "-t", "--network", "none", "--rootfs", podman.rootfs, "sh", "-c", "[ -t 1 ] && echo terminal").strip() == "terminal"


def test_podmans_user_namespaces(podman):
    out = podman.ok("run", "--rm", "--network", "none", "--uidmap", "0:100000:5000", "--gidmap", "0:100000:5000", "--rootfs", podman.rootfs, "cat", "/proc/self/uid_map")
    assert out.split() == ["0", "100000", "5000"]


def test_podmans_checkpoint(podman):
    podman.ok("run", "-d", "--name", "saved", "--network", "none", "--rootfs", podman.rootfs, "sleep", "1000")
    r = podman.run("container", "checkpoint", "saved")
    if r.returncode != 0 and "criu failed" in r.stderr:
        podman.run("rm", "-f", "-t", "0", "saved")
        pytest.skip(f"CRIU cannot on this kernel: {r.stderr.strip()[-300:]}")
    assert r.returncode == 0, r.stderr
    assert podman.ok("inspect", "--format", "{{.State.Checkpointed}}", "saved") == "true"
    podman.ok("container", "restore", "saved")
    assert podman.ok("inspect", "--format", "{{.State.Running}}", "saved") == "true"
    assert podman.ok("exec", "saved", "echo", "alive") == "alive"
    podman.ok("rm", "-f", "-t", "0", "saved")


def test_features_say_what_podman_and_dockerd_ask(peers, runtime):
    features = json.loads(peers.ok(runtime, "features"))
    assert features["ociVersionMax"] == "1.3.0"
    assert features["linux"]["seccomp"]["enabled"] and "SCMP_ACT_NOTIFY" in features["linux"]["seccomp"]["actions"]
    assert features["linux"]["mountExtensions"]["idmap"]["enabled"]
    assert features["annotations"]["org.opencontainers.runc.checkpoint.enabled"] == "true"
