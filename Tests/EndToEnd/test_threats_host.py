"""What other users of the host, a container's neighbours and impolite clients can reach. The letters name the classes of docs/threat-model.md."""
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from conftest import IMAGE
from engine import wait_for


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def anonymous(pid):
    """Anonymous memory of a process in KiB."""
    return int(next(l for l in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if l.startswith("Anonymous:")).split()[1])


def test_j_another_user_can_enter_no_folder_of_the_engine(docker, engine, name):
    docker.ok("run", "-d", "--name", name, "-v", f"{name}:/data", IMAGE, "sleep", "100")
    data, run = engine.folder / "data", engine.folder / "run"
    script = f"""
import os, sys
os.setgid(65534); os.setuid(65534)
for top in {[str(data), str(run)]!r}:
    for folder, folders, files in os.walk(top):
        for name in folders:
            path = os.path.join(folder, name)
            if os.access(path, os.R_OK) or os.access(path, os.W_OK): print(path)
        for name in files:
            path = os.path.join(folder, name)
            try: open(path, "rb"); print(path)
            except OSError: pass
"""
    os.chmod(engine.folder, 0o755)
    try:
        out = subprocess.run(["python3", "-c", script], capture_output=True, text=True, check=True).stdout
    finally:
        os.chmod(engine.folder, 0o700)
    assert out == ""


def test_k_no_socket_is_abstract_and_all_are_for_their_owner_alone(docker, engine, name):
    docker.ok("run", "-d", "-i", "--name", name, IMAGE, "cat")
    pids = {str(engine.berthd_pid()), str(engine.supervisor_pid())}
    inodes = set()
    for pid in [p for p in os.listdir("/proc") if p.isdigit()]:
        try:
            if pid not in pids and str(engine.folder) not in Path(f"/proc/{pid}/cmdline").read_text():
                continue
            inodes |= {os.readlink(f"/proc/{pid}/fd/{f}") for f in os.listdir(f"/proc/{pid}/fd")}
        except OSError:
            continue
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        field = line.split()
        if f"socket:[{field[6]}]" in inodes and len(field) > 7:
            assert not field[7].startswith("@"), line
    for path in engine.folder.glob("**/*.sock"):
        mode = path.stat().st_mode
        assert stat.S_ISSOCK(mode) and mode & 0o077 == 0 or path == engine.socket and mode & 0o007 == 0, (path, oct(mode))


def test_l_half_opened_attaches_and_execs_leave_no_descriptor_and_no_memory(docker, engine, name):
    docker.ok("run", "-d", "-i", "--name", name, IMAGE, "cat")

    def impolite(times):
        for i in range(times):
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(engine.socket))
                s.sendall(f"POST /v1.44/containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode())
                if i % 2:
                    s.recv(64)
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(str(engine.socket))
                s.sendall(b"POST /v1.44/containers/" + name.encode() + b"/exec HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")

    daemons = engine.berthd_pid(), engine.supervisor_pid()
    impolite(50)
    before = [descriptors(p) for p in daemons]
    wait_for("descriptors to settle", lambda: sum(descriptors(p) for p in daemons) <= sum(before))
    before = [descriptors(p) for p in daemons]
    memory = [anonymous(p) for p in daemons]
    impolite(400)
    wait_for("the descriptors of broken connections to be closed", lambda: all(descriptors(p) <= b + 8 for p, b in zip(daemons, before)))
    assert all(anonymous(p) < m + 16 * 1024 for p, m in zip(daemons, memory)), (memory, [anonymous(p) for p in daemons])
    assert docker.ok("exec", name, "echo", "still here") == "still here"


@pytest.mark.parametrize("request_text, status", [
    ("GET /_ping HTTP/1.1\r\nHost: x\r\n" + "X: " + "y" * 200_000 + "\r\n\r\n", {"400", "431"}),
    ("POST /v1.44/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {"400"}),
    ("POST /v1.44/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {"400"}),
    ("POST /v1.44/containers/create HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", {"400", "413"}),
    ("\x00\x01\x02\r\n\r\n", {"400"}),
], ids=["huge header", "negative length", "length and chunked", "huge length", "bytes"])
def test_k_a_malformed_request_is_refused_and_nothing_else(engine, request_text, status):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(str(engine.socket))
        s.sendall(request_text.encode("latin1"))
        if "99999999999" in request_text:
            s.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while chunk := s.recv(4096):
                answer += chunk
        except ConnectionResetError:
            pass
    assert answer == b"" or answer.split()[1].decode() in status, answer[:200]
    assert engine.answers()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 20_000, '{"HostConfig":' + "[" * 100_000])
def test_l_brackets_without_end_are_refused(engine, text):
    status, answer = engine.request("POST", "/containers/create", text)
    assert status == 400 and answer["message"], answer
    assert engine.answers()


@pytest.mark.parametrize("cpus", ["0-4294967295", "0-99999999999999999999", "-1", "1-0", "a"])
def test_l_an_endless_cpu_list_is_refused_at_once(docker, cpus, name):
    docker.fails("run", "--rm", "--name", name, "--cpuset-cpus", cpus, IMAGE, "true", code=125, timeout=5)


def test_a_no_program_of_the_host_changes(docker, engine):
    """Class A for exec, where runc 2019 was broken too."""
    import hashlib
    from engine import BIN
    digest = lambda: {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in BIN.iterdir() if p.is_file()}
    before = digest()
    docker.ok("run", "-d", "--name", "berth-test-victim", IMAGE, "sh", "-c", "cp /bin/busybox /tmp/b; while :; do for p in /proc/[0-9]*/exe; do (: >>$p) 2>/dev/null; done; done")
    for _ in range(20):
        docker.run("exec", "berth-test-victim", "/proc/self/exe", "version")
    docker.ok("rm", "-f", "berth-test-victim")
    assert digest() == before
