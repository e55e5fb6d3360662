"""What a container sees of itself, and what it must not see of the host."""
import os

from conftest import IMAGE


def test_every_namespace_is_its_own(docker):
    out = docker.ok("run", "--rm", IMAGE, "sh", "-c", "for n in pid mnt net uts ipc cgroup; do readlink /proc/self/ns/$n; done").split()
    for kind, link in zip(["pid", "mnt", "net", "uts", "ipc"], out):
        assert link != os.readlink(f"/proc/self/ns/{kind}"), kind
    assert docker.ok("run", "--rm", IMAGE, "sh", "-c", "echo $$") == "1"


def test_dev_has_the_nodes_of_the_specification_and_no_others(docker):
    out = docker.ok("run", "--rm", IMAGE, "ls", "/dev").split()
    assert sorted(out) == sorted("fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero".split())


def test_masked_and_read_only_paths(docker):
    script = "for p in /proc/kcore /proc/keys /proc/timer_list; do test -e $p && test -s $p && echo readable $p; done; ls -A /sys/firmware /proc/scsi /proc/acpi 2>/dev/null | grep -v : | grep .; echo x 2>/dev/null >/proc/sysrq-trigger && echo wrote; touch /proc/sys/x 2>/dev/null && echo touched; echo done"
    assert docker.ok("run", "--rm", IMAGE, "sh", "-c", script) == "done"


def test_only_stdio_is_open(docker):
    # ls itself opens one descriptor for the folder it lists
    assert docker.ok("run", "--rm", IMAGE, "ls", "/proc/self/fd").split() == ["0", "1", "2", "3"]


def test_a_working_directory_through_proc_self_fd_is_refused(docker):
    for n in (3, 7, 9, 12):
        r = docker.run("run", "--rm", "-w", f"/proc/self/fd/{n}", IMAGE, "pwd")
        assert r.returncode != 0, r.stdout


def test_the_runtime_cannot_be_overwritten_from_inside(docker, engine):
    import hashlib
    from engine import BIN
    digest = lambda: {p: hashlib.sha256((BIN / p).read_bytes()).hexdigest() for p in ("berth-runtime", "berth-shim")}
    before = digest()
    script = "for i in $(seq 50); do for p in /proc/[0-9]*/exe; do (echo x >$p) 2>/dev/null; done; done"
    docker.run("run", "--rm", "--cap-add", "SYS_PTRACE", IMAGE, "sh", "-c", script)
    docker.run("run", "--rm", "--entrypoint", "/proc/self/exe", IMAGE, "version")
    assert digest() == before


def test_the_cgroup_files_are_read_only(docker):
    r = docker.run("run", "--rm", IMAGE, "sh", "-c", "mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x")
    assert r.returncode != 0


def test_dangerous_calls_are_refused_by_default(docker):
    assert docker.run("run", "--rm", IMAGE, "unshare", "-U", "true").returncode != 0
    assert docker.run("run", "--rm", IMAGE, "mount", "-t", "tmpfs", "x", "/tmp").returncode != 0


def test_the_state_folders_are_closed_to_other_users(engine):
    for folder in (engine.folder / "data", engine.folder / "run"):
        for path in (p for p in folder.glob("*") if p.is_dir()):
            assert path.stat().st_mode & 0o077 == 0 or folder.stat().st_mode & 0o077 == 0, path


def test_a_symlinked_mount_target_does_not_leave_the_root(docker, tmp_path, name):
    context = f"{name}-image"
    docker.ok("run", "--name", name, IMAGE, "sh", "-c", "ln -s /../../../../../../tmp/escape /trap")
    docker.ok("commit", name, context)
    (tmp_path / "f").write_text("x")
    docker.run("run", "--rm", "-v", f"{tmp_path}:/trap", context, "true")
    assert not os.path.exists("/tmp/escape")
    docker.ok("rm", name)
    docker.ok("rmi", context)
