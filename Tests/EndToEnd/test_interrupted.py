"""Clients that go away: what they began is brought to an end all the same."""
import socket
import threading

from conftest import IMAGE
from engine import wait_for

STUBBORN = ("sh", "-c", "trap 'echo asked' TERM; while :; do sleep 0.05; done")


def test_a_stop_goes_on_without_its_client(engine, docker, name):
    docker.ok("run", "-d", "--name", name, IMAGE, *STUBBORN)
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(engine.socket))
        s.sendall(f"POST /v1.44/containers/{name}/stop?t=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
        wait_for("the signal", lambda: "asked" in docker.ok("logs", name))
    wait_for("the end of the container", lambda: docker.inspect(name)["State"]["Status"] == "exited")
    assert docker.inspect(name)["State"]["ExitCode"] == 137


def test_a_restart_goes_on_without_its_client(engine, docker, name):
    docker.ok("run", "-d", "--name", name, IMAGE, *STUBBORN)
    before = docker.inspect(name)["State"]
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(engine.socket))
        s.sendall(f"POST /v1.44/containers/{name}/restart?t=1 HTTP/1.1\r\nHost: d\r\nContent-Length: 0\r\n\r\n".encode())
        wait_for("the signal", lambda: "asked" in docker.ok("logs", name))
    wait_for("the second run", lambda: docker.inspect(name)["State"]["StartedAt"] != before["StartedAt"])
    assert docker.inspect(name)["State"]["Running"]


def test_an_image_is_loaded_when_the_answer_has_begun(engine, docker, name):
    """Docker's own test helpers close the answer of a quiet load without reading it."""
    docker.ok("tag", IMAGE, f"{name}:x")
    archive = docker.run("save", f"{name}:x", input=b"").stdout
    docker.ok("rmi", f"{name}:x")
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(str(engine.socket))
        head = f"POST /v1.44/images/load?quiet=1 HTTP/1.1\r\nHost: d\r\nContent-Type: application/x-tar\r\nContent-Length: {len(archive)}\r\n\r\n"
        s.sendall(head.encode() + archive)
        assert b"200 OK" in s.recv(64)
    docker.ok("rmi", f"{name}:x")


def test_a_container_that_removes_itself_can_be_restarted(docker, name):
    docker.ok("run", "-d", "--rm", "--name", name, IMAGE, "sleep", "1000")
    docker.ok("restart", "-t", "0", name)
    assert docker.inspect(name)["State"]["Running"]
    docker.ok("stop", "-t", "0", name)
    wait_for("its removal", lambda: docker.run("inspect", name).returncode != 0)


def test_the_events_of_stop_and_restart(engine, docker, name):
    docker.ok("run", "-d", "--name", name, "--init", IMAGE, "sleep", "1000")
    events = docker.start("events", "--filter", f"container={name}", "--format", "{{.Action}} {{.Actor.Attributes.signal}}")
    lines = []
    threading.Thread(target=lambda: lines.extend(line.decode().strip() for line in events.stdout), daemon=True).start()
    try:
        wait_for("the reader", lambda: engine.request("GET", "/info")[1]["NEventsListener"] > 0)
        docker.ok("restart", name)
        docker.ok("stop", name)
        want = ["kill 15", "die <no value>", "stop <no value>", "start <no value>", "restart <no value>", "kill 15", "die <no value>", "stop <no value>"]
        wait_for(f"events, got {lines}", lambda: [line.replace(" <no value>", "").strip() for line in lines] == [w.replace(" <no value>", "") for w in want], 10)
    finally:
        events.terminate()
        events.wait()
