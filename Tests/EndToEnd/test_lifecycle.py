"""A container from create to remove: states, logs, exec, signals, events."""
import json
import re
import socket
import time

from conftest import IMAGE
from engine import wait_for


def test_created_started_stopped_and_started_again(cli, name):
    cli.ok("create", "--name", name, IMAGE, "sleep", "1000")
    assert cli.inspect(name)["State"]["Status"] == "created"
    cli.ok("start", name)
    first = cli.inspect(name)["State"]
    assert first["Status"] == "running" and first["Pid"] > 0
    cli.ok("stop", "-t", "1", name)
    state = cli.inspect(name)["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 137)
    cli.ok("start", name)
    cli.ok("restart", "-t", "0", name)
    assert cli.inspect(name)["State"]["Running"] is True


def test_start_attached_shows_output_and_code(cli, name):
    cli.ok("create", "--name", name, IMAGE, "sh", "-c", "echo hello; exit 4")
    r = cli.run("start", "-a", name)
    assert (r.returncode, r.stdout) == (4, "hello\n")


def test_ps_shows_what_runs_and_all_on_request(cli, name):
    cli.ok("run", "-d", "--name", name, "--label", f"test={name}", IMAGE, "sleep", "1000")
    cli.ok("run", "--name", name + "-done", "--label", f"test={name}", IMAGE, "true")
    names = lambda *a: sorted(cli.ok("ps", "--filter", f"label=test={name}", "--format", "{{.Names}}", *a).split())
    assert names() == [name]
    assert names("-a") == [name, name + "-done"]
    assert names("-a", "--filter", "status=exited") == [name + "-done"]
    assert re.match(r"CONTAINER ID\s+IMAGE\s+COMMAND\s+CREATED\s+STATUS\s+PORTS\s+NAMES", cli.ok("ps"))


def test_logs_tail_since_timestamps_and_follow(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", "for i in 1 2 3 4 5; do echo line $i; done; until test -e /go; do sleep 0.05; done; echo last")
    wait_for("the lines", lambda: "line 5" in cli.run("logs", name).stdout)
    assert cli.ok("logs", "--tail", "2", name) == "line 4\nline 5"
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z line 1", cli.ok("logs", "-t", name))
    assert cli.ok("logs", "--since", "2030-01-01T00:00:00Z", name) == ""
    follower = cli.start("logs", "-f", "--tail", "1", name)
    assert follower.stdout.readline() == b"line 5\n"
    cli.ok("exec", name, "touch", "/go")
    assert follower.stdout.read() == b"last\n" and follower.wait(10) == 0


def test_exec_runs_beside_the_process(cli, name):
    cli.ok("run", "-d", "--name", name, "-e", "A=1", IMAGE, "sleep", "1000")
    assert cli.ok("exec", "-e", "B=2", "-w", "/tmp", "-u", "nobody", name, "sh", "-c", "echo $A $B $(pwd) $(id -un)") == "1 2 /tmp nobody"
    assert cli.ok("exec", "-i", name, "cat", input="through stdin") == "through stdin"
    assert cli.run("exec", name, "sh", "-c", "exit 9").returncode == 9
    assert cli.run("exec", name, "no-such-program").returncode in (126, 127)  # 126 in engines before 28
    cli.ok("exec", "-d", name, "touch", "/made")
    wait_for("the detached exec", lambda: cli.run("exec", name, "test", "-e", "/made").returncode == 0)


def test_attach_sees_output_and_ends_with_the_code(cli, name):
    cli.ok("run", "-d", "-i", "--name", name, IMAGE, "sh", "-c", "read x; echo got $x; exit 6")
    r = cli.run("attach", name, input="word\n")
    assert (r.stdout, r.returncode) == ("got word\n", 6)


def test_signals_pause_and_unpause(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", "trap 'echo usr1; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    wait_for("the trap", lambda: "ready" in cli.run("logs", name).stdout)
    cli.ok("pause", name)
    assert cli.inspect(name)["State"]["Status"] == "paused"
    assert "(Paused)" in cli.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}")
    assert "is paused" in cli.fails("exec", name, "true")
    cli.ok("unpause", name)
    cli.ok("kill", "-s", "USR1", name)
    assert cli.ok("wait", name) == "3"
    assert "usr1" in cli.ok("logs", name)


def test_rm_refuses_a_running_container_and_forces(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    assert "container is running" in cli.fails("rm", name)
    cli.ok("rm", "-f", name)
    assert "No such container" in cli.fails("rm", name)


def test_top_rename_port_and_inspect_format(cli, name):
    cli.ok("run", "-d", "--name", name, "-p", "127.0.0.1::80", IMAGE, "sleep", "1000")
    assert "sleep 1000" in cli.ok("top", name)
    cli.ok("rename", name, name + "-new")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", cli.ok("port", name + "-new", "80"))
    assert cli.ok("inspect", "-f", "{{.Name}} {{.State.Running}}", name + "-new") == f"/{name}-new true"


def test_a_restart_policy_restarts_until_its_limit(cli, name):
    cli.ok("run", "-d", "--name", name, "--restart", "on-failure:2", IMAGE, "false")
    wait_for("the last attempt", lambda: cli.inspect(name)["State"]["Status"] == "exited" and cli.inspect(name)["RestartCount"] == 2)


def test_events_tell_the_life_in_order(cli, name):
    since = str(int(time.time()) - 1)
    cli.ok("run", "--name", name, IMAGE, "true")
    cli.ok("rm", name)
    out = cli.ok("events", "--since", since, "--until", str(int(time.time()) + 1), "--filter", f"container={name}", "--format", "{{json .}}")
    actions = [json.loads(l)["Action"] for l in out.splitlines()]
    wanted = ["create", "attach", "start", "die", "destroy"]
    assert [a for a in actions if a in wanted] == wanted


def test_version_and_info_answer(cli):
    assert json.loads(cli.ok("version", "--format", "{{json .Server}}"))["ApiVersion"] >= "1.45"
    info = json.loads(cli.ok("info", "--format", "{{json .}}"))
    assert info["OSType"] == "linux" and info["NCPU"] > 0 and info["Driver"]


def test_a_health_check_turns_healthy(cli, name):
    cli.ok("run", "-d", "--name", name, "--health-cmd", "test -e /ok", "--health-interval", "200ms", "--health-retries", "2", IMAGE, "sleep", "1000")
    wait_for("unhealthy", lambda: cli.inspect(name)["State"]["Health"]["Status"] == "unhealthy")
    cli.ok("exec", name, "touch", "/ok")
    wait_for("healthy", lambda: cli.inspect(name)["State"]["Health"]["Status"] == "healthy")


def test_input_that_stays_open_survives_a_client_that_half_closes(engine, docker, name):
    """Without StdinOnce the standard input belongs to the container: one client's end of input is not its end."""
    docker.ok("run", "-d", "-i", "--name", name, IMAGE, "cat")
    for text in (b"one\n", b"two\n"):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(10)
            s.connect(str(engine.socket))
            s.sendall(f"POST /v1.44/containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n".encode() + text)
            answer = b""
            while text not in answer:
                chunk = s.recv(4096)
                assert chunk, answer
                answer += chunk
            s.shutdown(socket.SHUT_WR)
    assert docker.inspect(name)["State"]["Running"]
