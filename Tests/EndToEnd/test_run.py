"""The options of `run`, each by what the process inside sees."""
import json
import os
import pty
import select
import time

import pytest

from conftest import IMAGE
from engine import wait_for


def inside(cli, options, *command):
    return cli.ok("run", "--rm", *options, IMAGE, *command)


def test_output_goes_to_the_stream_it_was_written_to(cli):
    r = cli.run("run", "--rm", IMAGE, "sh", "-c", "echo out; echo err >&2")
    assert (r.stdout, r.stderr) == ("out\n", "err\n")


def test_a_detached_run_prints_the_id_and_leaves_it_running(cli, name):
    id = cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    assert len(id) == 64 and cli.inspect(name)["State"]["Running"] is True


def test_piped_stdin_reaches_the_process_and_its_end_too(cli):
    assert cli.ok("run", "--rm", "-i", IMAGE, "cat", input="one\ntwo\n") == "one\ntwo"


def test_megabytes_through_stdin_and_back_arrive_whole(cli):
    data = os.urandom(3_000_000)
    r = cli.run("run", "--rm", "-i", IMAGE, "cat", input=data)
    assert r.stdout == data


def test_output_goes_on_after_stdin_has_ended(cli):
    assert cli.ok("run", "--rm", "-i", IMAGE, "sh", "-c", "cat >/dev/null; sleep 0.2; echo after", input="x") == "after"


def test_rm_removes_the_container(cli, name):
    cli.ok("run", "--rm", "--name", name, IMAGE, "true")
    wait_for("the removal", lambda: "No such" in cli.run("container", "inspect", name).stderr)


@pytest.mark.parametrize("options,command,expected", [
    (["-e", "A=b c"], ["sh", "-c", 'echo "$A"'], "b c"),
    (["-w", "/tmp"], ["pwd"], "/tmp"),
    (["-w", "/made/for/it"], ["pwd"], "/made/for/it"),
    (["-u", "nobody"], ["id", "-un"], "nobody"),
    (["-u", "1234:5678"], ["sh", "-c", "id -u; id -g"], "1234\n5678"),
    (["--hostname", "web1"], ["hostname"], "web1"),
    (["--entrypoint", "echo"], ["from", "entrypoint"], "from entrypoint"),
    (["--tmpfs", "/scratch:size=1m"], ["sh", "-c", "grep -c ' /scratch tmpfs' /proc/mounts"], "1"),
    (["--cap-drop", "ALL"], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t0000000000000000"),
    ([], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t00000000a80425fb"),
    (["--cap-add", "NET_ADMIN"], ["grep", "CapEff", "/proc/self/status"], "CapEff:\t00000000a80435fb"),
    (["--ulimit", "nofile=100:200"], ["sh", "-c", "ulimit -Sn; ulimit -Hn"], "100\n200"),
    (["--network", "none"], ["sh", "-c", "ls /sys/class/net"], "lo"),
    ([], ["sh", "-c", "grep Seccomp: /proc/self/status"], "Seccomp:\t2"),
    (["--security-opt", "seccomp=unconfined"], ["sh", "-c", "grep Seccomp: /proc/self/status"], "Seccomp:\t0"),
    (["--security-opt", "no-new-privileges"], ["sh", "-c", "grep NoNewPrivs /proc/self/status"], "NoNewPrivs:\t1"),
    (["--pids-limit", "50"], ["sh", "-c", "cat /sys/fs/cgroup/pids/pids.max 2>/dev/null || cat /sys/fs/cgroup/pids.max"], "50"),
    (["--add-host", "db:10.9.8.7"], ["sh", "-c", "grep 10.9.8.7 /etc/hosts"], "10.9.8.7\tdb"),
    (["--dns", "9.9.9.9"], ["sh", "-c", "grep ^nameserver /etc/resolv.conf"], "nameserver 9.9.9.9"),
    (["--sysctl", "net.ipv4.ip_forward=0"], ["cat", "/proc/sys/net/ipv4/ip_forward"], "0"),
    (["--shm-size", "8m"], ["sh", "-c", "df -k /dev/shm | tail -1 | awk '{print $2}'"], "8192"),
])
def test_the_process_sees_what_the_option_says(cli, options, command, expected):
    assert inside(cli, options, *command) == expected


def test_a_read_only_root_refuses_writes_but_not_in_tmpfs(cli):
    assert inside(cli, ["--read-only", "--tmpfs", "/t"], "sh", "-c", "touch /x 2>/dev/null || touch /t/x && echo only tmpfs") == "only tmpfs"


def test_memory_and_cpus_become_limits_of_the_cgroup(cli):
    script = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null; cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null; true"
    out = inside(cli, ["--memory", "64m", "--cpus", "0.5"], "sh", "-c", script)
    assert out.split()[:2] == ["67108864", "50000"]


def test_a_bind_mount_shows_and_changes_the_host_folder(cli, tmp_path):
    (tmp_path / "a").write_text("from the host")
    assert inside(cli, ["-v", f"{tmp_path}:/data"], "sh", "-c", "cat /data/a; echo from inside >/data/b") == "from the host"
    assert (tmp_path / "b").read_text() == "from inside\n"


def test_a_read_only_bind_mount_refuses_writes(cli, tmp_path):
    r = cli.run("run", "--rm", "-v", f"{tmp_path}:/data:ro", IMAGE, "touch", "/data/x")
    assert r.returncode == 1 and "Read-only file system" in r.stderr


def test_a_named_volume_outlives_the_container(cli, name):
    inside(cli, ["-v", f"{name}:/data"], "sh", "-c", "echo kept >/data/f")
    assert inside(cli, ["-v", f"{name}:/data"], "cat", "/data/f") == "kept"
    cli.ok("volume", "rm", name)


def test_a_new_named_volume_starts_with_the_image_content(cli, name):
    assert inside(cli, ["-v", f"{name}:/etc"], "sh", "-c", "test -s /etc/passwd && echo copied") == "copied"


def test_privileged_has_every_capability_and_the_devices(cli):
    out = inside(cli, ["--privileged"], "sh", "-c", "grep CapEff /proc/self/status; grep Seccomp: /proc/self/status; test -e /dev/kmsg && echo kmsg")
    everything = next(l.split()[1] for l in open("/proc/self/status") if l.startswith("CapBnd"))
    assert out.split() == ["CapEff:", everything, "Seccomp:", "0", "kmsg"]


def test_a_seccomp_profile_file_is_applied(cli, tmp_path):
    profile = tmp_path / "p.json"
    profile.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}]}))
    r = cli.run("run", "--rm", "--security-opt", f"seccomp={profile}", IMAGE, "mkdir", "/x")
    assert r.returncode == 1 and "Operation not permitted" in r.stderr


def test_network_host_shares_the_host_links(cli):
    assert inside(cli, ["--network", "host"], "ls", "/sys/class/net").split() == sorted(os.listdir("/sys/class/net"))


def test_network_of_another_container_is_the_same_namespace(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    theirs = cli.ok("exec", name, "readlink", "/proc/self/ns/net")
    assert inside(cli, ["--network", f"container:{name}"], "readlink", "/proc/self/ns/net") == theirs


def test_labels_are_recorded(cli, name):
    cli.ok("run", "-d", "--name", name, "--label", "tier=web", "--label", "bare", IMAGE, "true")
    assert cli.inspect(name)["Config"]["Labels"] == {"tier": "web", "bare": ""}


def test_init_reaps_and_forwards(cli, name):
    cli.ok("run", "-d", "--name", name, "--init", IMAGE, "sleep", "1000")
    assert "sleep" not in cli.ok("exec", name, "cat", "/proc/1/comm")
    started = time.monotonic()
    cli.ok("stop", "-t", "10", name)
    assert time.monotonic() - started < 5, "SIGTERM did not reach the process"


class Terminal:
    """A client run on a pseudo-terminal."""

    def __init__(self, client, *args, rows=33, columns=101):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(client.env(), TERM="xterm")
            argv = client.argv(*args)
            os.execv(argv[0], argv)
        self.resize(rows, columns)
        self.output = b""

    def resize(self, rows, columns):
        import fcntl, struct, termios
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, text):
        os.write(self.fd, text.encode())

    def expect(self, text, seconds=15):
        end = time.monotonic() + seconds
        while text.encode() not in self.output:
            left = end - time.monotonic()
            assert left > 0, f"expected {text!r} in {self.output!r}"
            if select.select([self.fd], [], [], left)[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:
                    data = b""
                assert data or text.encode() in self.output, f"expected {text!r}, the terminal closed after {self.output!r}"
                self.output += data
        self.output = self.output.split(text.encode(), 1)[1]

    def exit_code(self):
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError(f"the client did not end: {self.output!r}")


def test_a_terminal_has_a_tty_its_size_and_the_exit_code(cli):
    t = Terminal(cli, "run", "--rm", "-it", IMAGE, "sh")
    t.expect("# ")
    wait_for_size = "until [ \"$(stty size)\" = '33 101' ]; do sleep 0.05; done; tty; echo si''zed\n"
    t.send(wait_for_size)
    t.expect("/dev/pts/0")
    t.expect("sized")
    t.resize(40, 120)
    t.send("until [ \"$(stty size)\" = '40 120' ]; do sleep 0.05; done; echo re''sized\n")
    t.expect("resized")
    t.send("exit 3\n")
    assert t.exit_code() == 3


def test_detach_keys_leave_the_container_running(cli, name):
    t = Terminal(cli, "run", "-it", "--name", name, IMAGE, "sh")
    t.expect("# ")
    t.send("\x10\x11")
    assert t.exit_code() == 0
    assert cli.inspect(name)["State"]["Running"] is True
    t = Terminal(cli, "attach", name)
    t.send("echo still he''re\n")
    t.expect("still here")
    t.send("exit\n")
    t.exit_code()


def test_exec_with_a_terminal(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    t = Terminal(cli, "exec", "-it", name, "sh")
    t.expect("# ")
    t.send("tty; exit 5\n")
    t.expect("/dev/pts/")
    assert t.exit_code() == 5
