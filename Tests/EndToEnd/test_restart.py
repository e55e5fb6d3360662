"""Nothing above a container can kill it: SIGKILL to the daemons while containers print and serve."""
import fcntl
import os
import signal
import subprocess
import threading
import time
import urllib.request

import pytest

from conftest import IMAGE, new_engine
from engine import BIN, Engine, alive, wait_for
from grpc_call import call, message

PRINT = "i=0; while :; do echo line $i; i=$((i+1)); usleep 10000; done"
SERVE = "mkdir -p /www; echo up >/www/index.html; exec httpd -f -p 80 -h /www"


class Visitor(threading.Thread):
    """Asks a published port again and again; every failure counts."""

    def __init__(self, address):
        super().__init__(daemon=True)
        self.address, self.asked, self.failed, self.go = address, 0, [], True

    def run(self):
        while self.go:
            try:
                assert urllib.request.urlopen(f"http://{self.address}/", timeout=5).read() == b"up\n"
            except Exception as e:
                self.failed.append(str(e))
            self.asked += 1
            time.sleep(0.005)


@pytest.mark.parametrize("victims", [("berthd",), ("supervisor",), ("berthd", "supervisor")], ids="+".join)
def test_containers_go_on_when_daemons_are_killed(engine, docker, name, victims):
    printing, serving, ending = f"{name}-p", f"{name}-s", f"{name}-e"
    docker.ok("run", "-d", "--name", printing, IMAGE, "sh", "-c", PRINT)
    docker.ok("run", "-d", "--name", serving, "-p", "127.0.0.1::80", IMAGE, "sh", "-c", SERVE)
    docker.ok("run", "-d", "--name", ending, IMAGE, "sh", "-c", "sleep 1; exit 33")
    pids = {n: docker.inspect(n)["State"]["Pid"] for n in (printing, serving)}
    visitor = Visitor(docker.ok("port", serving, "80"))
    wait_for("the server", lambda: subprocess.run(["curl", "-fs", f"http://{visitor.address}/"], capture_output=True).returncode == 0)
    visitor.start()

    engine.kill(*victims)
    ended = time.time()
    time.sleep(1.5)  # the third container ends while nobody is there: the time is the test's subject, not a wait
    if "berthd" in victims:
        engine.start()
    wait_for("an answer", lambda: docker.run("ps").returncode == 0)

    def found():
        r = docker.run("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", ending)
        return r.stdout.strip() == "exited 33"
    wait_for("the exit code of the container that ended meanwhile", found)
    finished = docker.ok("inspect", "-f", "{{.State.FinishedAt}}", ending)
    assert abs(time.mktime(time.strptime(finished[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - ended) < 5, "the time of the real end"

    assert {n: docker.inspect(n)["State"]["Pid"] for n in pids} == pids
    assert docker.ok("exec", printing, "echo", "exec works") == "exec works"
    follower = docker.start("logs", "-f", "--tail", "1", printing)
    first = follower.stdout.readline()
    assert first.startswith(b"line ") and int(follower.stdout.readline().split()[1]) == int(first.split()[1]) + 1
    docker.ok("stop", "-t", "0", printing)
    assert follower.wait(10) == 0
    numbers = [int(l.split()[1]) for l in docker.ok("logs", printing).splitlines()]
    assert numbers == list(range(len(numbers))) and len(numbers) > 50, "every line exactly once"

    visitor.go = False
    visitor.join()
    assert visitor.asked > 50 and not visitor.failed, visitor.failed[:3]


def test_a_restart_keeps_everything_that_was_acknowledged(engine, docker, name):
    docker.ok("create", "--name", name, "--label", "k=v", IMAGE, "true")
    docker.ok("volume", "create", name)
    docker.ok("network", "create", name)
    engine.kill("berthd", "supervisor")
    engine.start()
    assert docker.inspect(name)["Config"]["Labels"] == {"k": "v"}
    assert docker.ok("start", name) == name and docker.ok("wait", name) == "0"
    assert name in docker.ok("volume", "ls", "-q").split() and name in docker.ok("network", "ls", "--format", "{{.Name}}").split()


def test_a_stopped_and_started_daemon_finds_its_supervisor_again(engine, docker, name):
    docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    supervisor = engine.supervisor_pid()
    engine.process.terminate()
    engine.process.wait(20)
    engine.start()
    assert engine.supervisor_pid() == supervisor
    assert docker.inspect(name)["State"]["Running"] is True


def test_a_killed_shim_ends_its_container_and_leaves_nothing(engine, docker, name):
    docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    pid = docker.inspect(name)["State"]["Pid"]
    shim = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    subprocess.run(["kill", "-9", str(shim)], check=True)
    wait_for("the end", lambda: docker.inspect(name)["State"]["Status"] == "exited")
    assert docker.inspect(name)["State"]["ExitCode"] != 0
    docker.ok("start", name)
    assert docker.inspect(name)["State"]["Running"] is True


def test_a_container_whose_shim_was_killed_is_removed_with_its_attach_socket(engine, docker, name):
    identity = docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    socket = engine.folder / "run/io" / f"{identity[:20]}.sock"
    assert socket.exists()
    pid = docker.inspect(name)["State"]["Pid"]
    shim = int(open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[1])
    subprocess.run(["kill", "-9", str(shim)], check=True)
    wait_for("the end", lambda: docker.inspect(name)["State"]["Status"] == "exited")
    docker.ok("rm", name)
    assert not socket.exists()


def test_what_an_interrupted_create_left_goes_at_the_next_start(engine, docker, name):
    kept = docker.ok("create", "--name", name, IMAGE, "true")
    containers = engine.folder / "data/daemon/containers"
    stray = containers / ("ab" * 32)
    stray.mkdir(mode=0o710)
    (stray / "hostname").write_text("never finished\n")
    engine.kill("berthd")
    engine.start()
    assert not stray.exists()
    assert (containers / kept).exists() and docker.ok("ps", "-aq", "--no-trunc", "--filter", f"name={name}") == kept


def publish(engine, topic, kind, event):
    call(engine.folder / "run/supervisor.sock", "moby", "events.v1.Events/Publish", {1: topic, 2: {1: f"containerd.events.{kind}", 2: message(event)}})


def publish_end_without_pid(engine, number):
    publish(engine, "/tasks/exit", "TaskExit", {1: number, 2: number, 4: 137, 5: {1: int(time.time())}})


def test_the_end_of_a_process_that_nobody_knows_does_not_hide_how_the_present_one_ended(engine, docker, name):
    """The same news, heard when the life that came after it is over as well."""
    docker.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", "trap 'exit 7' USR1; echo ready; while :; do usleep 10000; done")
    wait_for("the trap", lambda: docker.ok("logs", name) == "ready")
    state, daemon = docker.inspect(name), engine.berthd_pid()
    os.kill(daemon, signal.SIGSTOP)
    try:
        publish_end_without_pid(engine, state["Id"])
        os.kill(state["State"]["Pid"], signal.SIGUSR1)
        wait_for("the end of the process", lambda: not alive(state["State"]["Pid"]))
    finally:
        os.kill(daemon, signal.SIGCONT)
    assert docker.ok("wait", name) == "7"
    assert docker.inspect(name)["State"]["ExitCode"] == 7


def test_the_end_of_a_process_that_nobody_knows_is_not_that_of_the_present_one(engine, docker, name):
    """After a shim that died in the middle of a creation the supervisor tells of an end without a pid; the start has been made once more by then."""
    docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    number = docker.inspect(name)["Id"]
    waiting = docker.start("wait", name)
    publish_end_without_pid(engine, number)
    # A later event that shows: by then the first has been heard, and what it began is done before the container has another name.
    publish(engine, "/tasks/oom", "TaskOOM", {1: number})
    wait_for("the later event", lambda: docker.inspect(name)["State"]["OOMKilled"])
    docker.ok("rename", name, f"{name}-renamed")
    assert docker.inspect(number)["State"]["Running"]
    assert waiting.poll() is None
    docker.ok("kill", number)
    assert waiting.communicate(timeout=10)[0].decode().strip() == "137"


def test_a_container_that_a_new_daemon_starts_is_started_however_often_the_supervisor_is_killed_meanwhile(tmp_path):
    marks, block = tmp_path / "marks", tmp_path / "block"
    slow = tmp_path / "slow"
    slow.write_text(f"""#!/bin/sh
case "$*" in *" create "*) echo >>{marks}; while [ -e {block} ]; do sleep 0.02; done;; esac
exec {BIN}/berth-runtime "$@"
""")
    slow.chmod(0o755)
    engine = new_engine(tmp_path / "engine", "--bridge", "none", "--add-runtime", f"slow={slow}")
    docker = engine.clients()["docker"]
    try:
        number = docker.ok("run", "-d", "--restart", "always", "--runtime", "slow", "--network", "none", IMAGE, "sleep", "1000")
        docker.ok("stop", "-t", "0", number)
        engine.kill("berthd")
        block.touch()
        marks.write_text("")
        engine.start()
        for turn in range(6):
            wait_for("an attempt", lambda: len(marks.read_text()) > turn)
            engine.kill("supervisor")
        block.unlink()
        wait_for("the container", lambda: docker.inspect(number)["State"]["Running"])
        docker.ok("rm", "-f", number)
    finally:
        block.unlink(missing_ok=True)
        engine.stop()
    wait_for("the end of the attempts", lambda: subprocess.run(["pgrep", "-f", str(tmp_path)]).returncode == 1)


def test_a_supervisor_that_still_comes_up_or_goes_is_waited_for(tmp_path):
    """One that an earlier berthd started may hold the directory and not serve yet."""
    engine = Engine(tmp_path / "engine", "--bridge", "none")
    lock = engine.folder / "data/supervisor/supervisor.pid"
    lock.parent.mkdir(parents=True)
    with open(lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)

        def let_go():
            wait_for("an attempt", lambda: engine.log.exists() and "another supervisor uses" in engine.log.read_text())
            fcntl.flock(held, fcntl.LOCK_UN)
        letting = threading.Thread(target=let_go)
        letting.start()
        try:
            engine.start()
            letting.join(10)
            assert engine.request("GET", "/containers/json") == (200, [])
        finally:
            engine.stop()
