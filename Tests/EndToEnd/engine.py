"""An engine under test: berthd and its supervisor with state of their own below one folder, and the two clients that drive it."""
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
BIN = Path(os.environ.get("BERTH_BIN", REPO / "bin"))


def wait_for(what, condition, seconds=15, every=0.02, state=None):
    """Polls until `condition` returns something true, and returns it. What `state` returns in the end is told when it does not."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s" + (f": {state()}" if state else ""))
        time.sleep(every)


def alive(pid):
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Client:
    """One command line client (docker or berth) pointed at one engine."""

    def __init__(self, program, host):
        self.program, self.host = str(program), host

    @property
    def name(self):
        return os.path.basename(self.program)

    def argv(self, *args):
        return [self.program, "-H", self.host, *map(str, args)]

    def env(self):
        return {**os.environ, "DOCKER_HOST": self.host, "DOCKER_CONFIG": "/nonexistent", "DOCKER_CLI_HINTS": "false"}

    def run(self, *args, input=None, timeout=60):
        """Runs a command to its end; stdout and stderr as text."""
        return subprocess.run(self.argv(*args), input=input, capture_output=True, timeout=timeout, env=self.env(),
                              text=not isinstance(input, bytes), errors=None if isinstance(input, bytes) else "replace")

    def ok(self, *args, input=None, timeout=60):
        """Runs a command that must succeed and returns its stripped stdout."""
        r = self.run(*args, input=input, timeout=timeout)
        assert r.returncode == 0, f"{self.name} {' '.join(map(str, args))}: exit {r.returncode}\n{r.stderr}\n{r.stdout}"
        return r.stdout.strip()

    def fails(self, *args, code=None, input=None, timeout=60):
        """Runs a command that must fail and returns its stderr."""
        r = self.run(*args, input=input, timeout=timeout)
        assert r.returncode != 0, f"{self.name} {' '.join(map(str, args))} succeeded: {r.stdout}"
        if code is not None:
            assert r.returncode == code, f"{self.name} {' '.join(map(str, args))}: exit {r.returncode}, expected {code}: {r.stderr}"
        return r.stderr

    def start(self, *args, **options):
        """Starts a command and returns the process."""
        return subprocess.Popen(self.argv(*args), env=self.env(), **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})

    def inspect(self, name, *args):
        return json.loads(self.ok(*args, "inspect", name))[0]


class Engine:
    """berthd and its supervisor below `folder`; `args` are further flags of berthd."""

    def __init__(self, folder, *args):
        self.folder, self.args = Path(folder), args
        self.socket = self.folder / "berthd.sock"
        self.host = f"unix://{self.socket}"
        self.log = self.folder / "berthd.log"

    def start(self, seconds=20):
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [BIN / "berthd", "-H", self.host, "--data-root", self.folder / "data", "--exec-root", self.folder / "run",
                 "--pidfile", self.folder / "berthd.pid", *self.args],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for("the engine's first answer", lambda: self.process.poll() is not None or self.answers(), seconds)
            assert self.process.poll() is None, "berthd ended"
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log.read_text()[-3000:]}") from None
        return self

    def answers(self):
        return subprocess.run(["curl", "-fs", "-m", "2", "--unix-socket", self.socket, "http://berth/_ping"], capture_output=True).returncode == 0

    def request(self, method, path, body=None, version="v1.44"):
        """One API request by curl; returns (status, decoded body)."""
        argv = ["curl", "-s", "-m", "60", "-X", method, "--unix-socket", str(self.socket), "-w", "\n%{http_code}", f"http://berth/{version}{path}"]
        if body is not None:
            argv += ["-H", "Content-Type: application/json", "--data-binary", body if isinstance(body, str) else json.dumps(body)]
        out = subprocess.run(argv, capture_output=True, text=True).stdout
        text, status = out.rsplit("\n", 1)
        try:
            return int(status), json.loads(text) if text.strip() else None
        except ValueError:
            return int(status), text

    def berthd_pid(self):
        return self.process.pid

    def supervisor_pid(self):
        return int((self.folder / "run" / "supervisor.pid").read_text())

    def kill(self, *which):
        """SIGKILL, as a crash would, then waits until they are gone."""
        pids = {"berthd": self.berthd_pid, "supervisor": self.supervisor_pid}
        pids = [pids[w]() for w in which]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        if "berthd" in which:
            self.process.wait()
        for pid in pids:
            wait_for(f"the end of {pid}", lambda: not alive(pid))

    def stop(self):
        try:
            supervisor = self.supervisor_pid()
        except (OSError, ValueError):
            supervisor = None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if supervisor and alive(supervisor):
            os.kill(supervisor, signal.SIGTERM)
            wait_for("the end of the supervisor", lambda: not alive(supervisor))

    def clients(self):
        stock = shutil.which("docker")
        return {**({"docker": Client(stock, self.host)} if stock else {}), **({"berth": Client(BIN / "berth", self.host)} if (BIN / "berth").exists() else {})}


class ForeignEngine(Engine):
    """An engine that somebody else runs: it can be asked, not killed."""

    def __init__(self, host):
        super().__init__("/nonexistent")
        self.host, self.socket = host, host.removeprefix("unix://")

    def kill(self, *which):
        import pytest
        pytest.skip("not ours to kill")
