"""Prometheus metrics of the supervisor, served where the configuration says."""
import subprocess
import urllib.error
import urllib.request

import pytest

from engine import BIN, wait_for
from registry import free_port


@pytest.fixture(autouse=True)
def nothing_is_left():
    """This test has a supervisor of its own."""


@pytest.fixture
def address(tmp_path):
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "s.toml").write_text(f'[metrics]\naddress = "{address}"\n')
    log = open(tmp_path / "log", "wb")
    process = subprocess.Popen([BIN / "berth-supervisor", "--config", tmp_path / "s.toml", "--address", tmp_path / "s.sock", "--root", tmp_path / "root", "--state", tmp_path / "run"],
                               stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait_for("the supervisor", (tmp_path / "s.sock").exists)
    yield address
    process.terminate()
    assert process.wait(10) == 0


def test_metrics_are_served_in_prometheus_format(address):
    answer = urllib.request.urlopen(f"http://{address}/v1/metrics", timeout=5)
    text = answer.read().decode()
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for name in ("berth_supervisor_info", "berth_supervisor_disk_free_bytes", "process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"):
        assert f"\n{name}" in text, text
    for line in text.splitlines():
        assert line.startswith("# ") or float(line.rsplit(" ", 1)[1]) >= 0
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://{address}/other", timeout=5)


def test_a_malformed_address_is_refused(tmp_path):
    r = subprocess.run([BIN / "berth-supervisor", "--metrics-address", "nowhere", "--root", tmp_path / "r"], capture_output=True, text=True, timeout=10)
    assert r.returncode == 2 and "HOST:PORT" in r.stderr
