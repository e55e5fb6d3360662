"""What clients rely on in single requests: Go's reading of bodies, frames of exec, links, addresses of a container's own, logs of the local driver."""
import json
import socket
import time

import pytest

from conftest import IMAGE
from engine import ForeignEngine


@pytest.mark.parametrize("body,expected", [
    ("{not json", "invalid JSON: invalid character 'n' looking for beginning of object key string"),
    ('{"Image":"x",}', "invalid JSON: invalid character '}' looking for beginning of object key string"),
    ('{"Image"', "invalid JSON: unexpected EOF"),
    ('{"unknown":-}', "invalid JSON: invalid character '}' in numeric literal"),
    ('{"unknown":"\\q"}', "invalid JSON: invalid character 'q' in string escape code"),
    ("", "invalid JSON: got EOF while reading request body"),
    ("{} x", "unexpected content after JSON"),
])
def test_malformed_json_is_told_in_go_words(engine, body, expected):
    assert engine.request("POST", "/containers/create", body) == (400, {"message": expected})


def test_fields_are_taken_in_any_spelling(engine, docker, name):
    status, answer = engine.request("POST", f"/containers/create?name={name}", {"image": IMAGE, "cmd": ["true"], "labels": {"tty": "x"}, "hostconfig": {"memory": 7 << 20}})
    assert status == 201, answer
    seen = docker.inspect(name)
    assert seen["Config"]["Cmd"] == ["true"] and seen["Config"]["Labels"] == {"tty": "x"} and seen["HostConfig"]["Memory"] == 7 << 20


def exec_output(engine, container, exec_tty, start_tty):
    """What the connection carries after the head of the answer."""
    _, made = engine.request("POST", f"/containers/{container}/exec", {"Cmd": ["echo", "hello"], "AttachStdout": True, "Tty": exec_tty})
    body = json.dumps({"Tty": start_tty, "Detach": False})
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(20)
        s.connect(str(engine.socket))
        s.sendall(f"POST /v1.44/exec/{made['Id']}/start HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n{body}".encode())
        data = b""
        while chunk := s.recv(4096):
            data += chunk
    head, _, content = data.partition(b"\r\n\r\n")
    return head, content


@pytest.mark.parametrize("exec_tty", [False, True])
@pytest.mark.parametrize("start_tty", [False, True])
def test_frames_of_an_exec_follow_its_start(engine, docker, name, exec_tty, start_tty):
    docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    text = b"hello\r\n" if exec_tty else b"hello\n"
    head, content = exec_output(engine, name, exec_tty, start_tty)
    assert content == (text if start_tty else b"\x01\x00\x00\x00\x00\x00\x00" + bytes([len(text)]) + text)


def test_a_link_is_known_by_name_and_variables(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-web", "-e", "COLOR=blue", "--expose", "80", IMAGE, "sleep", "1000")
    out = docker.ok("run", "--rm", "--name", name, "--link", f"{name}-web:my-web", IMAGE, "sh", "-c", "env; cat /etc/hosts").splitlines()
    address = docker.inspect(f"{name}-web")["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
    assert {f"MY_WEB_PORT_80_TCP_ADDR={address}", f"MY_WEB_PORT=tcp://{address}:80", "MY_WEB_ENV_COLOR=blue", f"MY_WEB_NAME=/{name}/my-web"} <= set(out)
    assert any(line.startswith(address) and "my-web" in line for line in out)
    assert "could not get container for nosuch" in docker.fails("run", "--rm", "--link", "nosuch:x", IMAGE, "true")


def test_a_link_can_be_removed(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-web", IMAGE, "sleep", "1000")
    docker.ok("create", "--name", name, "--link", f"{name}-web:w", IMAGE)
    docker.ok("rm", "--link", f"{name}/w")
    assert not docker.inspect(name)["HostConfig"]["Links"] and docker.inspect(f"{name}-web")["State"]["Running"]


def test_an_address_for_the_whole_container(engine, docker, name):
    status, answer = engine.request("POST", f"/containers/create?name={name}", {"Image": IMAGE, "Cmd": ["sleep", "1000"], "MacAddress": "02:42:ac:11:00:0a"})
    assert status == 201, answer
    docker.ok("start", name)
    assert "02:42:ac:11:00:0a" in docker.ok("exec", name, "ip", "link", "show", "eth0")


def test_volumes_from_nobody_is_not_a_missing_image(engine):
    status, answer = engine.request("POST", "/containers/create", {"Image": IMAGE, "HostConfig": {"VolumesFrom": ["nosuch"]}})
    assert status == 400 and "No such container: nosuch" in answer["message"] or isinstance(engine, ForeignEngine)


def test_wait_answers_at_an_exit_that_leads_to_a_restart(engine, docker, name):
    docker.ok("run", "-d", "--name", name, "--restart", "always", IMAGE, "sh", "-c", "sleep 1; exit 5")
    begin = time.monotonic()
    status, answer = engine.request("POST", f"/containers/{name}/wait")
    assert status == 200 and answer["StatusCode"] == 5 and time.monotonic() - begin < 10


@pytest.mark.parametrize("arguments", [["-p", "PORT:80"], ["-u", "nosuchuser"], ["--entrypoint", "/nosuch"]])
def test_a_start_that_fails_leaves_no_volume(docker, name, arguments):
    docker.ok("run", "-d", "--name", f"{name}-b", "-p", "80", IMAGE, "sleep", "1000")
    port = docker.ok("port", f"{name}-b", "80").split()[0].rsplit(":", 1)[1]
    before = docker.ok("volume", "ls", "-q")
    docker.fails("run", "--rm", "-v", "/anonymous", *[a.replace("PORT", port) for a in arguments], IMAGE, "true", code=None)
    assert docker.ok("volume", "ls", "-q") == before


def test_logs_of_the_local_driver(docker, name):
    docker.ok("run", "--name", name, "--log-driver", "local", "--log-opt", "max-size=20k", "--log-opt", "max-file=3", IMAGE, "sh", "-c",
              "i=0; while [ $i -lt 1500 ]; do echo line $i; i=$((i+1)); done; echo wrong >&2; head -c 40000 /dev/zero | tr '\\0' x; echo; echo last")
    lines = docker.ok("logs", name).splitlines()
    assert lines[-1] == "last" and lines[-2] == "x" * 40000 and lines[-3] == "line 1499"
    assert docker.ok("logs", "--tail", "1", name) == "last"
    assert docker.run("logs", name).stderr == "wrong\n"
    assert docker.ok("logs", "-t", "--tail", "1", name).endswith("Z last")


def test_an_exec_that_was_never_started_goes_with_its_container(engine, docker, name):
    docker.ok("run", "-d", "--name", name, IMAGE, "sleep", "60")
    exec_id = engine.request("POST", f"/containers/{name}/exec", {"Cmd": ["true"]})[1]["Id"]
    docker.ok("stop", "-t", "0", name)
    for _ in range(2):
        assert engine.request("POST", f"/exec/{exec_id}/start", {"Detach": True})[0] == 404
        docker.ok("start", name)


def test_the_size_of_a_container_is_that_of_its_image_and_its_own(engine, docker, name):
    docker.ok("run", "--name", name, IMAGE, "dd", "if=/dev/zero", "of=/file", "bs=64k", "count=16")
    answers = [engine.request("GET", f"/containers/{name}/json?size=1")[1]]
    answers += [c for c in engine.request("GET", "/containers/json?all=1&size=1")[1] if c["Names"] == [f"/{name}"]]
    answers += [c for c in engine.request("GET", "/system/df?type=container")[1]["Containers"] if c["Names"] == [f"/{name}"]]
    assert len(answers) == 3
    for answer in answers:
        assert answer["SizeRw"] >= 1 << 20 and answer["SizeRootFs"] >= answer["SizeRw"] + 500_000, answer


def test_small_answers_are_dockers(engine):
    assert engine.request("OPTIONS", "/")[0] == 200
    assert engine.request("POST", "/containers/create", {}) == (400, {"message": "config cannot be empty in order to create a container"})
    assert engine.request("POST", "/containers/create", {"Image": ""}) == (400, {"message": "no command specified"})
    assert engine.request("GET", "/info", version="v1.23") == (400, "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version\n")
    status, answer = engine.request("POST", "/images/nosuchimage/push?tag=latest")
    assert (status, answer["message"]) == (404, "An image does not exist locally with the tag: nosuchimage")
