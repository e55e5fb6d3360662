"""Containers of several kinds and the workers that use them while everything above them is killed. Each worker keeps a ledger of what it was told
and checks at the end that all of it is so; what it finds wrong goes into `wrong`."""
import random
import socket
import struct
import threading
import time
import urllib.request

from chaos_api import Gone
from engine import wait_for

IMAGE = "busybox:latest"
# Numbered lines to both streams; the last one says how many there were.
PRINT = "i=0; trap 'echo end $i; exit 0' TERM; while :; do echo line $i; {extra} i=$((i+1)); usleep {pause}; done"
SERVE = "mkdir -p /www; echo up >/www/index.html; exec httpd -f -p 80 -h /www"
IDLE = "trap 'exit 0' TERM; while :; do sleep 1000 & wait; done"
LIFE = "n=$(cat /n 2>/dev/null || echo 0); n=$((n+1)); echo $n >/n; echo life $n; usleep 200000; exit 3"
ECHO = "while read l; do echo got $l; done"


class Worker(threading.Thread):
    """One container and who uses it."""
    survives = True  # the same process from the beginning to the end
    tty = False

    def __init__(self, api, name, seed):
        super().__init__(daemon=True, name=name)
        self.api, self.label, self.random = api, name, random.Random(f"{seed} {name}")
        self.going, self.wrong, self.done, self.unknown = True, [], 0, 0

    def config(self):
        raise NotImplementedError

    def container(self, command, host=None, **config):
        return {"Image": IMAGE, "Cmd": ["sh", "-c", command], "Tty": self.tty, "HostConfig": {"NetworkMode": "none", **(host or {})}, **config}

    def set_up(self):
        status, answer = self.api.call("POST", f"/containers/create?name={self.label}", self.config())
        assert status == 201, answer
        status, answer = self.api.call("POST", f"/containers/{self.label}/start")
        assert status == 204, answer
        self.pid = self.api.inspect(self.label)["State"]["Pid"]
        self.began = start_time(self.pid)

    def run(self):
        while self.going:
            try:
                self.step()
                self.done += 1
            except Gone:
                self.unknown += 1
                time.sleep(0.05)
            except Exception as e:  # a worker that stops looking would hide what comes
                self.wrong.append(f"{type(e).__name__}: {e}")
                time.sleep(0.2)

    def step(self):
        time.sleep(0.1)

    def conclude(self):
        """After the chaos, with the container still there."""
        try:
            if self.survives:
                state = self.api.inspect(self.label)["State"]
                if not state["Running"] or state["Pid"] != self.pid or start_time(self.pid) != self.began:
                    return self.wrong.append(f"was pid {self.pid}, is {state}")
            self.check()
        except Exception as e:
            self.wrong.append(f"{type(e).__name__}: {e}")

    def check(self):
        """What this kind promises."""

    def expect(self, holds, what):
        if not holds:
            self.api.journal.note(f"WRONG {what}")
            self.wrong.append(what)

    def stopped(self):
        """Ends the container as a user would, and returns its last state."""
        self.api.insist("POST", f"/containers/{self.label}/stop?t=5", accept=(204, 304))
        return wait_for(f"the end of {self.label}", lambda: (s := self.api.inspect(self.label)["State"]) and not s["Running"] and s)


def start_time(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[19]
    except OSError:
        return None


class Printer(Worker):
    """No line of its output is lost or doubled."""

    def __init__(self, *args, stderr=False, tty=False, log=None, pause=20000):
        super().__init__(*args)
        self.stderr, self.tty, self.log, self.pause = stderr, tty, log, pause

    def config(self):
        extra = "echo error $i >&2;" if self.stderr else ""
        return self.container(PRINT.format(extra=extra, pause=self.pause), {"LogConfig": self.log} if self.log else None)

    def check(self):
        self.expect(self.stopped()["ExitCode"] == 0, "exit code")
        out, err = self.api.logs(self.label, self.tty)
        rotated = self.log and "max-size" in self.log.get("Config", {})
        if not out or not out[-1].startswith("end "):
            return self.wrong.append(f"the last line is missing: {out[-3:]}")
        last = int(out[-1].split()[1])
        first = int(out[0].split()[1]) if rotated else 0
        numbers = [int(line.split()[1]) for line in out[:-1]]
        self.expect(numbers == list(range(first, last)) or numbers == list(range(first, last + 1)), f"lines {gaps(numbers)} of {first}…{last}")
        if self.stderr:
            numbers = [int(line.split()[1]) for line in err]
            self.expect(numbers == list(range(len(numbers))) and last - len(numbers) in (0, -1), f"lines on stderr {gaps(numbers)} of {last}")


def gaps(numbers):
    return [(a, b) for a, b in zip(numbers, numbers[1:]) if b != a + 1][:5]


class Server(Worker):
    """A published port always answers."""

    def config(self):
        return self.container(SERVE, {"NetworkMode": "bridge", "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1"}]}}, ExposedPorts={"80/tcp": {}})

    def set_up(self):
        super().set_up()
        self.locate()

    def locate(self):
        """A port that the engine chooses is another one after each start."""
        port = self.api.inspect(self.label)["NetworkSettings"]["Ports"]["80/tcp"][0]["HostPort"]
        self.url = f"http://127.0.0.1:{port}/"
        wait_for("the server", lambda: not self.refused())

    def refused(self):
        try:
            return urllib.request.urlopen(self.url, timeout=5).read() != b"up\n"
        except OSError as e:
            return str(e)

    def step(self):
        problem = self.refused()
        self.expect(not problem, f"the port: {problem}")
        time.sleep(0.02)


class Executing(Worker):
    """An exec that was answered with its exit code has run, once; no exec runs twice."""

    def __init__(self, *args):
        super().__init__(*args)
        self.number, self.told = 0, []

    def config(self):
        return self.container(IDLE)

    def step(self):
        self.number += 1
        number, code = self.number, self.random.randrange(100)
        status, answer = self.api.call("POST", f"/containers/{self.label}/exec", {
            "Cmd": ["sh", "-c", f"echo {number} >>/journal; echo out {number}; exit {code}"], "AttachStdout": True, "AttachStderr": True})
        if status != 201:
            raise Gone(f"exec: {status} {answer}")
        exec_id = answer["Id"]
        stream = self.api.hijack(f"/exec/{exec_id}/start", {"Detach": False, "Tty": False})
        output = read_all(stream)
        status, answer = self.api.call("GET", f"/exec/{exec_id}/json")
        if status == 200 and answer["ExitCode"] is not None:
            self.told.append(number)
            # 126: the start was refused, and said so on the stream.
            self.expect(answer["ExitCode"] == code or answer["ExitCode"] == 126, f"exec {number}: exit code {answer['ExitCode']}, not {code}")
            if answer["ExitCode"] == 126 != code:
                self.told.pop()
        elif status == 200:
            self.expect(not output, f"exec {number} has ended and has no exit code")
        time.sleep(self.random.random() * 0.1)

    def check(self):
        out = self.once("cat /journal 2>/dev/null; true")
        lines = [int(line) for line in out.split()]
        self.expect(len(set(lines)) == len(lines), "an exec has run twice")
        self.expect(set(self.told) <= set(lines), f"execs without a trace: {sorted(set(self.told) - set(lines))[:5]}")

    def once(self, command):
        _, answer = self.api.insist("POST", f"/containers/{self.label}/exec", {"Cmd": ["sh", "-c", command], "AttachStdout": True})
        return read_all(self.api.hijack(f"/exec/{answer['Id']}/start", {"Detach": False})).decode()


def read_all(stream):
    """The payload of Docker's frames up to the end. Raises Gone."""
    data, place, payload = b"", 0, b""
    try:
        while piece := stream.recv(65536):
            data += piece
    except OSError as e:
        raise Gone(f"stream: {e!r}") from None
    finally:
        stream.close()
    while place + 8 <= len(data):
        length = struct.unpack_from(">I", data, place + 4)[0]
        payload += data[place + 8:place + 8 + length]
        place += 8 + length
    return payload


class Restarting(Worker):
    """A restart policy is kept, and every life is logged once."""
    survives = False

    def __init__(self, *args, policy="always"):
        super().__init__(*args)
        self.policy = policy

    def config(self):
        return self.container(LIFE, {"RestartPolicy": {"Name": self.policy}})

    def check(self):
        def lively():
            return self.api.inspect(self.label)["State"]["Status"] in ("running", "restarting")
        try:
            wait_for("a restart by policy", lively, 5)
        except AssertionError:
            self.wrong.append(f"stays down: {self.api.inspect(self.label)['State']}")
        self.stopped()
        out, _ = self.api.logs(self.label)
        numbers = [int(line.split()[1]) for line in out]
        self.done = len(numbers)
        self.expect(len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1)), f"lives {numbers}")


class Attached(Worker):
    """What came back on the attached stream is in the log, once and in order."""

    def __init__(self, *args):
        super().__init__(*args)
        self.number, self.stream, self.seen, self.pending = 0, None, [], b""

    def config(self):
        return self.container(ECHO, OpenStdin=True, AttachStdin=True)

    def step(self):
        if self.stream is None:
            self.stream, self.pending = self.api.hijack(f"/containers/{self.label}/attach?stream=1&stdin=1&stdout=1"), b""
        self.number += 1
        try:
            self.stream.sendall(f"{self.number}\n".encode())
            while True:
                while len(self.pending) >= 8 and len(self.pending) >= 8 + (size := struct.unpack_from(">I", self.pending, 4)[0]):
                    text, self.pending = self.pending[8:8 + size].decode(), self.pending[8 + size:]
                    self.seen += [int(line.split()[1]) for line in text.splitlines()]
                if self.number in self.seen[-3:]:
                    break
                piece = self.stream.recv(65536)
                if not piece:
                    raise Gone("attach: closed")
                self.pending += piece
        except (OSError, Gone) as e:
            self.stream.close()
            self.stream = None
            if isinstance(e, socket.timeout):
                self.wrong.append(f"no echo of {self.number} within 10 s")
            raise Gone(f"attach: {e!r}") from None
        time.sleep(self.random.random() * 0.05)

    def check(self):
        if self.stream:
            self.stream.close()
        out, _ = self.api.logs(self.label)
        numbers = [int(line.split()[1]) for line in out]
        self.expect(numbers == sorted(set(numbers)), f"input out of order or twice: {[p for p in zip(numbers, numbers[1:]) if p[0] >= p[1]][:5]}")
        self.expect(set(self.seen) <= set(numbers), f"echoed and not in the log: {sorted(set(self.seen) - set(numbers))[:5]}")
