"""Health checks: a probe's verdict is its exit status, every time, and a stopped container is not healthy."""
import json

import pytest

from conftest import IMAGE
from engine import wait_for

READY = ["--health-cmd", "test -e /ready", "--health-interval", "100ms", "--health-retries", "2"]


def health(docker, name):
    return json.loads(docker.ok("inspect", "-f", "{{json .State.Health}}", name))


def test_a_healthy_container_stays_healthy(docker, name):
    """Several at once, since a probe's end and the news of it race."""
    names = [f"{name}-{i}" for i in range(4)]
    for n in names:
        docker.ok("run", "-d", "--name", n, *READY, IMAGE, "sh", "-c", "touch /ready; exec sleep 100")
    seen = {n: {} for n in names}

    def enough():
        for n in names:
            seen[n].update({r["Start"]: r for r in health(docker, n)["Log"]})
        return all(len(results) >= 15 for results in seen.values())
    wait_for("fifteen probes of each", enough, 30)
    failed = [r for results in seen.values() for r in list(results.values())[1:] if r["ExitCode"] != 0]
    assert not failed
    assert {health(docker, n)["Status"] for n in names} == {"healthy"}


def test_the_verdict_follows_the_command(cli, name):
    cli.ok("run", "-d", "--name", name, *READY, IMAGE, "sleep", "100")
    assert health(cli, name)["Status"] == "starting"
    wait_for("the second failure", lambda: health(cli, name)["Status"] == "unhealthy")
    assert health(cli, name)["FailingStreak"] >= 2
    cli.ok("exec", name, "touch", "/ready")
    wait_for("a success", lambda: health(cli, name)["Status"] == "healthy")
    assert health(cli, name)["FailingStreak"] == 0
    assert "(healthy)" in cli.ok("ps", "--filter", f"name={name}", "--format", "{{.Status}}")


def test_a_restart_begins_anew_and_keeps_what_was_said(docker, name):
    docker.ok("run", "-d", "--name", name, "--health-cmd", "true", "--health-interval", "1s", IMAGE, "sleep", "100")
    wait_for("the first success", lambda: health(docker, name)["Status"] == "healthy")
    docker.ok("stop", "-t", "0", name)
    assert health(docker, name)["Status"] == "unhealthy"
    docker.ok("start", name)
    now = health(docker, name)
    assert now["Status"] == "starting" and now["FailingStreak"] == 0 and now["Log"]


@pytest.mark.parametrize("command, output, code", [("echo seen; exit 3", "seen\n", 3), ("sleep 10", "Health check exceeded timeout (300ms)", -1)])
def test_output_and_time_are_told(docker, name, command, output, code):
    docker.ok("run", "-d", "--name", name, "--health-cmd", command, "--health-interval", "100ms", "--health-timeout", "300ms", IMAGE, "sleep", "100")
    wait_for("a result", lambda: health(docker, name)["Log"])
    result = health(docker, name)["Log"][0]
    assert result["ExitCode"] == code and result["Output"].startswith(output), result
