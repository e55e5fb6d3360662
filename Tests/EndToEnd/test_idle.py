"""An engine that rests takes little: memory is given back after work."""
import re
from pathlib import Path

import pytest

from conftest import IMAGE, new_engine
from engine import wait_for

# MiB of both daemons together, counted as the share of each page that is theirs.
LIMIT = 25


def share_of_memory(*pids):
    return sum(int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) for pid in pids) / 1024


@pytest.fixture
def idle_engine(tmp_path):
    """One of its own: what an engine knows of hundreds of images that other tests have made and removed is memory, too."""
    engine = new_engine(tmp_path / "e", "--bridge", "none")
    yield engine
    engine.stop()


def test_daemons_give_their_memory_back_after_work_and_answer_afterwards(idle_engine):
    docker = next(iter(idle_engine.clients().values()))
    for _ in range(5):
        docker.ok("run", "--rm", IMAGE, "true")
    pids = idle_engine.berthd_pid(), idle_engine.supervisor_pid()
    wait_for(f"both daemons below {LIMIT} MiB", lambda: share_of_memory(*pids) < LIMIT, 30, every=0.5, state=lambda: [share_of_memory(pid) for pid in pids])
    assert docker.ok("run", "--rm", IMAGE, "echo", "awake") == "awake"
