"""Many containers, and one whose shim is stuck: nobody else's call waits for it, and a restart finds all of them at once.

MANY_SHIMS=1000 runs it at full size."""
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos_api import Api
from conftest import IMAGE
from engine import ForeignEngine, wait_for

COUNT = int(os.environ.get("MANY_SHIMS", "100"))
# Seconds for what should take a tenth of it: the limits of calls to a stuck shim begin at two.
QUICK = 1.5


def timed(call):
    start = time.monotonic()
    result = call()
    return time.monotonic() - start, result


def shim_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


@pytest.fixture
def many(engine, name):
    if isinstance(engine, ForeignEngine):
        pytest.skip("not ours to kill")
    api = Api(engine.socket)
    body = {"Image": IMAGE, "Cmd": ["sleep", "100000"], "HostConfig": {"NetworkMode": "none"}, "Labels": {"many": name}}

    def one(number):
        label = f"{name}-{number}"
        status, answer = api.call("POST", f"/containers/create?name={label}", body)
        assert status == 201, answer
        status, answer = api.call("POST", f"/containers/{label}/start")
        assert status == 204, answer
        return label, api.inspect(label)["State"]["Pid"]

    with ThreadPoolExecutor(16) as pool:
        seconds, pids = timed(lambda: dict(pool.map(one, range(COUNT))))
        print(f"{COUNT} containers started at 16 in parallel: {COUNT / seconds:.0f}/s")
        stuck = f"{name}-0"
        shim = shim_of(pids[stuck])
        yield api, pids, stuck, shim
        os.kill(shim, signal.SIGCONT)
        list(pool.map(lambda label: api.insist("DELETE", f"/containers/{label}?force=1", accept=(204, 404)), pids))


def running(api, name):
    return {c["Names"][0][1:]: c["State"] for c in api.call("GET", f"/containers/json?filters=%7B%22label%22%3A%5B%22many%3D{name}%22%5D%7D")[1]}


def test_one_stuck_shim_delays_nobody_and_a_restart_finds_all(engine, many, name):
    api, pids, stuck, shim = many
    other = f"{name}-1"
    engine.kill("berthd", "supervisor")
    usual, _ = timed(lambda: engine.start(60))
    os.kill(shim, signal.SIGSTOP)
    seconds, listed = timed(lambda: running(api, name))
    assert seconds < QUICK and len(listed) == COUNT

    engine.kill("berthd", "supervisor")
    seconds, _ = timed(lambda: engine.start(60))
    print(f"first answer of both daemons with {COUNT} shims: {usual:.2f} s, with one of them stuck {seconds:.2f} s")
    assert seconds < 1.5 * usual + 1
    seconds, listed = timed(lambda: running(api, name))
    assert seconds < QUICK and set(listed.values()) == {"running"} and len(listed) == COUNT
    for label in (stuck, other, f"{name}-{COUNT - 1}"):
        assert api.inspect(label)["State"]["Pid"] == pids[label]

    engine.kill("supervisor")
    wait_for("a supervisor", lambda: api.call("GET", "/info")[0] == 200, 20)
    seconds, (status, answer) = timed(lambda: api.call("POST", f"/containers/{other}/pause"))
    assert status == 204, answer
    seconds, (status, answer) = timed(lambda: api.call("POST", f"/containers/{other}/unpause"))
    assert status == 204 and seconds < QUICK, answer
    seconds, (status, answer) = timed(lambda: api.call("POST", f"/containers/{other}/restart?t=0"))
    assert status == 204 and seconds < 2 * QUICK, answer

    os.kill(shim, signal.SIGCONT)
    status, answer = api.call("POST", f"/containers/{stuck}/kill")
    assert status == 204, answer
    state = wait_for("the end of the one that was stuck", lambda: (s := api.inspect(stuck)["State"]) and not s["Running"] and s)
    assert state["ExitCode"] == 137
