"""Behaviour of single commands that users and other people's suites rely on, with the stock client."""
import os
import subprocess
import time

import pytest

from conftest import IMAGE
from engine import wait_for


def test_a_slow_reader_gets_all_of_the_output(docker, name):
    process = docker.start("run", "--name", name, IMAGE, "sh", "-c", "dd if=/dev/zero bs=1024 count=2000 2>/dev/null | cat -v")
    count = 0
    while chunk := os.read(process.stdout.fileno(), 10000):
        count += len(chunk)
        time.sleep(0.002)  # the reader's slowness is what is tested
    assert process.wait() == 0 and count == 4096000


def test_a_container_in_anothers_network_has_its_names(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-a", "--hostname", "first", "--add-host", "other:1.2.3.4", "--dns", "9.9.9.9", IMAGE, "sleep", "1000")
    show = ("sh", "-c", "hostname; cat /etc/hosts /etc/resolv.conf")
    want = docker.ok("exec", f"{name}-a", *show)
    assert want.startswith("first\n") and "1.2.3.4\tother" in want and "9.9.9.9" in want
    assert docker.ok("run", "--rm", "--name", name, "--network", f"container:{name}-a", IMAGE, *show) == want


@pytest.mark.parametrize("option,text", [
    (("--hostname", "x"), "conflicting options: hostname and the network mode"),
    (("--dns", "8.8.8.8"), "conflicting options: dns and the network mode"),
    (("--add-host", "a:1.1.1.1"), "conflicting options: custom host-to-IP mapping and the network mode"),
    (("-p", "80"), "conflicting options: port publishing and the container type network mode"),
    (("-P",), "conflicting options: port publishing and the container type network mode"),
    (("--expose", "80"), "conflicting options: port exposing and the container type network mode"),
    (("--link", "a:b"), "conflicting options: container type network can't be used with links"),
])
def test_what_belongs_to_the_network_of_another_is_refused(docker, option, text):
    assert text in docker.fails("create", "--network", "container:berth-test-other", *option, IMAGE)


@pytest.mark.parametrize("options,text", [
    (("--uts", "host", "--hostname", "x"), "conflicting options: hostname and the UTS mode"),
    (("--cpu-shares=-1",), "invalid CPU shares (-1): value must be a positive integer"),
    (("-v", "berth-test-v:/v:shared"), "invalid mount config"),
    (("--log-driver", "splunk"), "failed to initialize logging driver"),
])
def test_what_cannot_be_is_refused_at_create(docker, options, text):
    assert text in docker.fails("create", *options, IMAGE)


@pytest.mark.parametrize("options,text", [
    (("-u", "-1"), "uids and gids must be in range 0-2147483647"),
    (("--device", "/etc"), 'error gathering device information while adding custom device "/etc": not a device node'),
    (("-w", "/bin/cat"), "Cannot mkdir: /bin/cat is not a directory"),
])
def test_what_the_container_cannot_have_is_said_at_run(docker, name, options, text):
    assert text in docker.fails("run", "--rm", "--name", name, *options, IMAGE, "true", code=125)


def test_a_volume_on_etc_leaves_the_engines_files_in_it(docker, name):
    assert "nameserver 9.9.9.9" in docker.ok("run", "--rm", "--name", name, "-v", "/etc", "--dns", "9.9.9.9", IMAGE, "cat", "/etc/resolv.conf")


def test_the_working_directory_is_there_before_the_first_start(docker, name, tmp_path):
    docker.ok("create", "--name", name, "-w", "/home/foo/bar", IMAGE)
    docker.ok("cp", f"{name}:/home/foo/bar", tmp_path)
    assert (tmp_path / "bar").is_dir()


def test_an_anonymous_volume_goes_with_its_last_container(docker, name):
    docker.ok("create", "--name", f"{name}-a", "-v", "/anonymous", "-v", f"{name}:/named", IMAGE)
    volume = next(m["Name"] for m in docker.inspect(f"{name}-a")["Mounts"] if m["Destination"] == "/anonymous")
    docker.ok("create", "--name", f"{name}-b", "--volumes-from", f"{name}-a", IMAGE)
    docker.ok("rm", f"{name}-a")
    docker.ok("rm", "-v", f"{name}-b")
    assert docker.run("volume", "inspect", volume).returncode == 1
    docker.ok("volume", "inspect", name)


def test_a_port_asked_for_is_not_given_to_another_by_chance(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-a", "-p", "80", IMAGE, "sleep", "1000")
    taken = int(docker.ok("port", f"{name}-a", "80/tcp").splitlines()[0].rsplit(":", 1)[1])
    docker.ok("rm", "-f", f"{name}-a")
    docker.ok("run", "-d", "--name", name, "-P", "-p", "80", "-p", f"{taken + 1}:8080", IMAGE, "sleep", "1000")


def test_ports_follow_the_first_network_that_leads_out(docker, name):
    docker.ok("network", "create", "--internal", f"{name}-in")
    docker.ok("network", "create", f"{name}-out")
    docker.ok("run", "-d", "--name", name, "--network", f"{name}-in", "-p", "80", IMAGE, "httpd", "-f")
    assert docker.ok("port", name) == ""
    docker.ok("network", "connect", f"{name}-out", name)
    port = docker.ok("port", name, "80/tcp").splitlines()[0].rsplit(":", 1)[1]
    assert subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port}/"], capture_output=True, text=True).stdout == "404"


def test_an_exec_knows_the_links(docker, name):
    docker.ok("run", "-d", "--name", f"{name}-db", IMAGE, "sleep", "1000")
    docker.ok("run", "-d", "--name", name, "--link", f"{name}-db:db", IMAGE, "sleep", "1000")
    assert f"DB_NAME=/{name}/db" in docker.ok("exec", name, "env").splitlines()


def test_the_past_is_told_from_its_beginning(docker, name):
    docker.ok("run", "--name", name, "-v", f"{name}:/v", IMAGE, "true")
    docker.ok("commit", "-m", "why", name, f"{name}:x")
    docker.ok("rm", name)
    docker.ok("rmi", f"{name}:x")
    actions = docker.ok("events", "--since", "0", "--until", str(int(time.time()) + 1), "--filter", f"container={name}", "--format", "{{.Action}}").split()
    assert actions == docker.ok("events", "--until", str(int(time.time()) + 1), "--filter", f"container={name}", "--format", "{{.Action}}").split()
    assert {"create", "attach", "start", "die", "commit", "destroy"} <= set(actions)
    out = docker.ok("events", "--since", "0", "--until", str(int(time.time()) + 1), "--filter", f"volume={name}", "--format", "{{.Action}}").split()
    assert out == ["create", "mount", "unmount"]


def test_listings_by_time_show_what_runs(docker, name):
    first = docker.ok("run", "-d", "--name", f"{name}-1", IMAGE, "sleep", "1000")
    docker.ok("run", "--name", f"{name}-2", IMAGE, "true")
    third = docker.ok("run", "-d", "--name", f"{name}-3", IMAGE, "sleep", "1000")
    assert docker.ok("ps", "-q", "--no-trunc", "--filter", f"since={first}") == third
    assert len(docker.ok("ps", "-aq", "--filter", f"since={first}").split()) == 2


def test_a_container_shows_the_image_it_was_made_from(docker, name):
    docker.ok("tag", IMAGE, f"{name}:x")
    docker.ok("create", "--name", name, f"{name}:x")
    assert docker.ok("ps", "-a", "--filter", f"name=^{name}$", "--format", "{{.Image}}") == f"{name}:x"
    docker.ok("commit", name, f"{name}:x")
    assert docker.ok("ps", "-a", "--no-trunc", "--filter", f"name=^{name}$", "--format", "{{.Image}}") == docker.inspect(name)["Image"]
    docker.ok("rm", name)
    docker.ok("rmi", f"{name}:x")


def test_a_kill_between_two_runs_is_the_end_of_them(docker, name):
    docker.ok("run", "-d", "--name", name, "--restart", "always", IMAGE, "false")
    wait_for("a long wait for the next run", lambda: docker.inspect(name)["RestartCount"] >= 4 and docker.inspect(name)["State"]["Status"] == "restarting")
    docker.ok("kill", name)
    assert docker.inspect(name)["State"]["Status"] == "exited"


def test_detach_keys_are_written_in_small_letters(engine, docker, name):
    docker.ok("run", "-d", "-t", "--name", name, IMAGE, "sleep", "1000")
    assert engine.request("POST", f"/containers/{name}/attach?stream=1&stdout=1&detachKeys=ctrl-A,a") == (400, {"message": "Invalid detach keys (ctrl-A,a) provided"})


def test_a_probe_that_takes_too_long_is_shown_with_what_it_said(docker, name):
    docker.ok("run", "-d", "--name", name, "--health-cmd", "echo said so; sleep 60", "--health-interval", "100ms", "--health-timeout", "500ms", "--health-retries", "1", IMAGE, "sleep", "1000")
    log = wait_for("a result", lambda: docker.inspect(name)["State"]["Health"]["Log"])
    assert log[0]["Output"] == "Health check exceeded timeout (500ms): said so\n"


def test_name_servers_that_were_chosen_are_written_as_they_are(docker, name):
    assert "nameserver 127.0.0.1\n" in docker.ok("run", "--rm", "--name", name, "--dns", "127.0.0.1", IMAGE, "cat", "/etc/resolv.conf") + "\n"


def test_a_host_name_with_dots_is_known_by_its_first_part(docker, name):
    assert "foobar.example.com foobar" in docker.ok("run", "--rm", "--name", name, "--hostname", "foobar.example.com", IMAGE, "cat", "/etc/hosts").replace("\t", " ")
