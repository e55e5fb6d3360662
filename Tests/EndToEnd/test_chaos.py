"""Nothing above a container can kill it: fifty containers of all kinds while berthd, the supervisor and the shims' connections are killed, stopped and
restarted at random.

CHAOS_SEED repeats a run (it is printed), CHAOS_ROUNDS makes it longer: 250 take about a minute and a half."""
import contextlib
import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest

import leaks
from chaos_api import Api
from chaos_lives import Cycled, Ending, Healthy, Keeping
from chaos_monkey import Monkey
from chaos_work import Attached, Executing, Printer, Restarting, Server, start_time
from engine import ForeignEngine, alive, wait_for

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "250"))
SEED = os.environ.get("CHAOS_SEED") or str(random.randrange(10**6))
# A run on a slow machine ends early rather than never.
LONGEST = float(os.environ.get("CHAOS_SECONDS", "120" if "CHAOS_ROUNDS" not in os.environ else "36000"))


def kinds(api, name):
    numbers = itertools.count()

    def many(kind, count, **options):
        return [kind(api, f"{name}-{kind.__name__.lower()}-{next(numbers)}", SEED, **options) for _ in range(count)]
    rotating = {"Type": "json-file", "Config": {"max-size": "20k", "max-file": "3"}}
    return [
        *many(Printer, 4), *many(Printer, 3, stderr=True), *many(Printer, 2, tty=True), *many(Printer, 2, log={"Type": "local", "Config": {}}, pause=30000),
        *many(Printer, 2, log=rotating, pause=10001), *many(Server, 6), *many(Executing, 6), *many(Restarting, 3), *many(Restarting, 2, policy="on-failure"),
        *many(Attached, 6), *many(Healthy, 4), *many(Cycled, 4), *many(Ending, 6),
        *many(Keeping, 2)]


def shim_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def anonymous(pid):
    """KiB of a process's own memory."""
    return sum(int(line.split()[1]) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines() if line.startswith("Anonymous:"))


def held(engine):
    """What the engine keeps per container on disk."""
    names = {}
    for place in ("run/shims/moby", "run/io", "data/daemon/containers"):
        folder = engine.folder / place
        names[place] = sorted(os.listdir(folder)) if folder.is_dir() else []
    return names


def nothing_held(engine, before):
    try:
        wait_for("no bundle, socket or file of a container", lambda: held(engine) == before, 10)
    except AssertionError as e:
        raise AssertionError(f"{e}: {held(engine)}, before {before}") from None


@contextlib.contextmanager
def at_work(workers):
    """Whatever happens, nobody goes on afterwards: a worker left behind by a failure would start containers while everything is cleaned up."""
    for worker in workers:
        worker.start()
    try:
        yield
    except BaseException:
        for worker in workers:
            worker.going = False
        for worker in workers:
            worker.join(60)
        raise
    for worker in workers:
        worker.going = False


@pytest.fixture
def chaos(engine):
    if isinstance(engine, ForeignEngine):
        pytest.skip("not ours to kill")
    print(f"CHAOS_SEED={SEED} CHAOS_ROUNDS={ROUNDS}")
    yield engine
    if engine.process.poll() is not None:
        engine.start()


def test_nobody_goes_on_after_a_failure(chaos, name):
    worker = Keeping(Api(chaos.socket), name, SEED)
    with pytest.raises(InterruptedError), at_work([worker]):
        raise InterruptedError
    assert not worker.is_alive()


def test_no_container_notices_what_is_done_to_the_engine(chaos, name):
    engine, api = chaos, Api(chaos.socket)
    before = held(engine)
    workers = kinds(api, name)
    for worker in workers:
        worker.set_up()
    lasting = [w for w in workers if w.survives]
    shims = {w.label: shim_of(w.pid) for w in lasting}
    monkey = Monkey(engine, SEED, list(shims.values()), api.journal)
    time.sleep(1)  # everybody prints, probes and serves: what is measured now is the normal state
    quiet = {pid: (descriptors(pid), anonymous(pid)) for pid in shims.values()}
    end, rounds = time.monotonic() + LONGEST, 0
    with at_work(workers):
        while rounds < ROUNDS and time.monotonic() < end:
            monkey.act()
            rounds += 1
    wait_for("an answer", engine.answers, 30)
    for worker in workers:
        worker.join(90)
        worker.expect(not worker.is_alive(), "still waits for an answer")

    # A shim that is killed with its connections cut a moment ago is another test; these have to be as they were.
    def settled():
        return all(alive(pid) and descriptors(pid) <= quiet[pid][0] for pid in shims.values())
    grown = []
    try:
        wait_for("shims with as many descriptors as before", settled, 15, every=0.2)
    except AssertionError:
        grown = [f"{label}: {quiet[pid][0]} -> {descriptors(pid) if alive(pid) else 'gone'} descriptors" for label, pid in shims.items()
                 if not alive(pid) or descriptors(pid) > quiet[pid][0]]
    grown += [f"{label}: {quiet[pid][1]} -> {anonymous(pid)} KiB" for label, pid in shims.items() if alive(pid) and anonymous(pid) > quiet[pid][1] + 512]
    for worker in workers:
        worker.conclude()
    print(f"{rounds} rounds {dict(sorted(monkey.done.items()))}")
    print("steps (answered, unknown): " + " ".join(f"{w.label.split('-', 3)[-1]}:{w.done},{w.unknown}" for w in workers))
    wrong = {w.label: w.wrong[:5] for w in workers if w.wrong}
    if wrong or grown:
        (engine.folder / "chaos.journal").write_text("".join(api.journal.lines))
        print(f"KEEP=1 keeps {engine.folder}, with chaos.journal and berthd.log")
    for worker in workers:
        api.insist("DELETE", f"/containers/{worker.label}?force=1&v=1", accept=(204, 404))
    assert not wrong, f"CHAOS_SEED={SEED}: {wrong}"
    assert not grown, f"CHAOS_SEED={SEED}: {grown}"
    nothing_held(engine, before)


def test_a_shim_that_is_killed_takes_its_container_along_and_nothing_else(chaos, name):
    engine, api, rng = chaos, Api(chaos.socket), random.Random(SEED)
    before = held(engine)
    idle = [Executing(api, f"{name}-idle-{n}", SEED) for n in range(4)]
    policy = [Restarting(api, f"{name}-policy-{n}", SEED) for n in range(2)]
    served = [Server(api, f"{name}-served-{n}", SEED) for n in range(2)]
    for worker in (*idle, *policy, *served):
        worker.set_up()
    for worker in policy:  # lives of their own would hide what is looked for
        worker.stopped()
        api.insist("DELETE", f"/containers/{worker.label}?force=1", accept=(204, 404))
        worker.config = lambda w=worker: w.container("sleep 100000", {"RestartPolicy": {"Name": "always"}})
        worker.set_up()
    for _ in range(max(6, ROUNDS // 20)):
        victim = rng.choice((*idle, *policy, *served))
        also = rng.choice([(), (), ("berthd",), ("supervisor",), ("berthd", "supervisor")])
        # One that a policy starts again may be between two lives.
        pid = wait_for("a running victim", lambda: api.inspect(victim.label)["State"]["Pid"], 30)
        began = start_time(pid)
        os.kill(shim_of(pid), signal.SIGKILL)
        if also:
            engine.kill(*also)
        if "berthd" in also:
            engine.start(40)
        if victim in policy:
            wait_for("a restart by policy", lambda: (s := api.inspect(victim.label)["State"]) and s["Running"] and s["Pid"] != pid, 20)
        else:
            state = wait_for("its end", lambda: (s := api.inspect(victim.label)["State"]) and s["Status"] == "exited" and s, 20)
            assert state["ExitCode"] in (137, 255), state
            api.insist("POST", f"/containers/{victim.label}/start", accept=(204, 304))
            if victim in served:
                victim.locate()
        wait_for("the end of its process", lambda: not alive(pid) or start_time(pid) != began)
        for worker in served:
            wait_for("the port", lambda: not worker.refused(), 20)
    for worker in (*idle, *policy, *served):
        api.insist("DELETE", f"/containers/{worker.label}?force=1&v=1", accept=(204, 404))
    nothing_held(engine, before)
