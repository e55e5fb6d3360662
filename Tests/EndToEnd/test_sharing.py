"""What containers share with each other and with the host: IPC and shared memory, network files, links, parts of volumes."""
import subprocess

import pytest

from conftest import IMAGE
from engine import ForeignEngine, wait_for


def test_containers_share_memory_when_asked(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-a", "--ipc", "shareable", "--shm-size", "3m", IMAGE, "sh", "-c", "echo said >/dev/shm/word; exec sleep 1000")
    wait_for("the word", lambda: docker.run("exec", f"{name}-a", "cat", "/dev/shm/word").stdout == "said\n")
    docker.ok("run", "-d", "--name", f"{name}-b", "--ipc", f"container:{name}-a", IMAGE, "sleep", "1000")
    # the third joins the second, which has it from the first
    assert docker.ok("run", "--rm", "--name", name, "--ipc", f"container:{name}-b", IMAGE, "sh", "-c", "cat /dev/shm/word; df -k /dev/shm | awk 'NR==2 {print $2}'") == "said\n3072"
    docker.ok("stop", "-t", "0", f"{name}-a")
    assert docker.ok("exec", f"{name}-b", "cat", "/dev/shm/word") == "said", "who has joined keeps it"


def test_private_memory_cannot_be_joined(docker, name):
    docker.ok("run", "-d", "--name", name, "--ipc", "private", IMAGE, "sleep", "1000")
    assert "non-shareable IPC (hint: use IpcMode:shareable for the donor container)" in docker.fails("run", "--rm", "--name", f"{name}-b", "--ipc", f"container:{name}", IMAGE, "true", code=125)


def test_the_ipc_namespace_of_the_host_needs_no_message_queue_filesystem_there(docker, name):
    assert docker.ok("run", "--rm", "--name", name, "--ipc", "host", IMAGE, "sh", "-c", "grep -c mqueue /proc/mounts") == "1"


def test_names_and_servers_of_the_host_are_there_in_its_network(docker, name):
    out = docker.ok("run", "--rm", "--name", name, "--network", "host", IMAGE, "sh", "-c", "cat /etc/hosts; echo ---; cat /etc/resolv.conf")
    hosts, resolv = out.split("---\n")
    assert hosts == open("/etc/hosts").read()
    assert [line for line in open("/etc/resolv.conf").read().splitlines() if line.startswith("nameserver")] == [line for line in resolv.splitlines() if line.startswith("nameserver")]


def test_the_engines_files_are_read_only_in_a_read_only_container(docker, name):
    out = docker.ok("run", "--rm", "--name", name, "--read-only", IMAGE, "sh", "-c", "for f in hosts hostname resolv.conf; do (echo x >>/etc/$f) 2>&1; done; true")
    assert out.count("Read-only file system") == 3


@pytest.mark.parametrize("option", ["--pid", "--ipc"])
def test_a_namespace_of_nobody_is_refused_at_create(docker, name, option):
    assert "No such container: berth-test-nobody" in docker.fails("create", "--name", name, option, "container:berth-test-nobody", IMAGE, code=1)


def test_an_unknown_network_is_an_error_of_the_start(docker, name):
    docker.ok("create", "--name", name, "--network", f"{name}-net", IMAGE, "true")
    assert f"network {name}-net not found" in docker.fails("start", name)
    docker.ok("network", "create", f"{name}-net")
    docker.ok("start", "-a", name)


def test_a_network_can_be_removed_as_soon_as_its_container_has_ended(docker, name):
    for _ in range(5):
        docker.ok("network", "create", name)
        docker.ok("run", "--name", f"{name}-c", "--network", name, IMAGE, "true")
        docker.ok("network", "rm", name)
        docker.ok("rm", f"{name}-c")


@pytest.fixture
def shared_mount(tmp_path):
    """A folder whose mounts travel."""
    subprocess.run(["mount", "-t", "tmpfs", "berth-test", tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    yield tmp_path
    subprocess.run(["umount", "-R", tmp_path], check=True)


def test_mounts_travel_as_the_volume_says(docker, name, shared_mount):
    """What the host mounts arrives with slave and shared, what the container mounts reaches the host with shared alone, and never with the default."""
    (shared_mount / "in").mkdir()
    (shared_mount / "out").mkdir()
    script = "mount -t tmpfs inner /v/out && echo inner >/v/out/word; echo mounted >/v/ready; while [ ! -e /v/go ]; do sleep 0.05; done; cat /v/in/word || true"
    for propagation, arrives, leaves in [("rshared", True, True), ("rslave", True, False), ("rprivate", False, False)]:
        docker.ok("run", "-d", "--name", f"{name}-{propagation}", "--cap-add", "SYS_ADMIN", "-v", f"{shared_mount}:/v:{propagation}", IMAGE, "sh", "-c", script)
        wait_for("the container's mount", (shared_mount / "ready").exists)
        assert (shared_mount / "out/word").exists() == leaves, propagation
        subprocess.run(["mount", "-t", "tmpfs", "outer", shared_mount / "in"], check=True)
        (shared_mount / "in/word").write_text("outer\n")
        (shared_mount / "go").touch()
        assert docker.ok("wait", f"{name}-{propagation}") == "0"
        assert ("outer" in docker.ok("logs", f"{name}-{propagation}")) == arrives, propagation
        for path in ["in", *(["out"] if leaves else [])]:
            subprocess.run(["umount", shared_mount / path], check=True)
        for file in ["ready", "go"]:
            (shared_mount / file).unlink()


def test_a_volume_that_cannot_be_shared_is_refused(docker, name, shared_mount):
    subprocess.run(["mount", "--make-private", shared_mount], check=True)
    for propagation, kind in [("shared", "shared"), ("rslave", "shared or slave")]:
        assert f"path {shared_mount} is mounted on {shared_mount} but it is not a {kind} mount" in docker.fails(
            "run", "--rm", "--name", f"{name}-{propagation}", "-v", f"{shared_mount}:/v:{propagation}", IMAGE, "true", code=125)


def test_a_link_is_a_name_of_the_other_container(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-db", IMAGE, "sleep", "1000")
    docker.ok("run", "-d", "--name", f"{name}-app", "--link", f"{name}-db:store", IMAGE, "sleep", "1000")
    docker.ok("rename", f"{name}-db", f"{name}-new")
    assert docker.inspect(f"{name}-app")["HostConfig"]["Links"] == [f"/{name}-new:/{name}-app/store"]
    assert docker.inspect(f"{name}-app/store")["Name"] == f"/{name}-new"
    names = docker.ok("ps", "--filter", f"name=^/?{name}-n[a-z]+$", "--format", "{{.Names}}", "--no-trunc")
    assert names == f"{name}-new,{name}-app/store"


def test_a_part_of_a_volume(docker, name):
    docker.ok("run", "--rm", "--name", name, "-v", f"{name}:/v", IMAGE, "sh", "-c", "mkdir -p /v/a/b; echo deep >/v/a/b/f; ln -s a/b /v/in; ln -s / /v/out")

    def part(path):
        return ("run", "--rm", "--name", name, "--mount", f"type=volume,src={name},dst=/p,volume-subpath={path}", IMAGE, "sh", "-c", "cat /p/f 2>/dev/null || cat /p")
    assert docker.ok(*part("a/b")) == docker.ok(*part("in")) == docker.ok(*part("a/b/f")) == "deep"
    assert "path concatenation escapes the base directory" in docker.fails(*part("out/etc"), code=125)
    assert "cannot access path" in docker.fails(*part("nothing"), code=127)
    assert "subpath must be a relative path within the volume" in docker.fails(*part("../x"), code=125)


def test_binds_of_the_engines_own_files_follow_the_host(engine, docker, name):
    if isinstance(engine, ForeignEngine):
        pytest.skip("the data root of a foreign engine is not known")
    root = f"{engine.folder}/data"
    docker.ok("create", "--name", name, "-v", f"{root}:/v", IMAGE)
    assert docker.inspect(name)["Mounts"][0]["Propagation"] == "rslave"
    assert docker.ok("run", "--rm", "-v", "/:/host:ro", IMAGE, "cat", "/host/etc/passwd") == open("/etc/passwd").read().rstrip("\n"), "also where the host's root does not share"
    assert 'must use either propagation mode "rslave" or "rshared"' in docker.fails("create", "--mount", f"type=bind,src={root},dst=/v,bind-propagation=private", IMAGE)


def test_a_container_may_manage_its_cgroups_when_told_so(docker, name):
    make = 'd=/sys/fs/cgroup; [ -d $d/pids ] && d=$d/pids; mkdir $d/own'
    docker.ok("run", "--rm", "--name", name, "--security-opt", "writable-cgroups=true", IMAGE, "sh", "-c", make)
    assert "Read-only file system" in docker.fails("run", "--rm", "--name", name, IMAGE, "sh", "-c", make)


def test_nothing_is_mounted_below_proc(cli, tmp_path):
    for mount in (["-v", f"{tmp_path}:/proc/sys"], ["--tmpfs", "/proc/bus"]):
        assert "cannot be mounted because it is inside /proc" in cli.fails("run", "--rm", *mount, IMAGE, "true")
    assert "cannot be mounted because it is not of type proc" in cli.fails("run", "--rm", "-v", f"{tmp_path}:/proc", IMAGE, "true")
    (tmp_path / "uptime").write_text("1.00 1.00\n")
    assert cli.ok("run", "--rm", "-v", f"{tmp_path}/uptime:/proc/uptime", IMAGE, "cat", "/proc/uptime") == "1.00 1.00", "lxcfs gives these"


def test_a_part_of_a_volume_that_is_not_there_ends_with_127(cli, name):
    r = cli.run("run", "--rm", "--mount", f"type=volume,src={name},dst=/v,volume-subpath=not/there", IMAGE, "true")
    cli.run("volume", "rm", name)
    assert r.returncode == 127 and "cannot access path" in r.stderr and "no such file or directory" in r.stderr, r.stderr
