"""The engine's API for a test that expects it to vanish at any moment: a call either has an answer, or nobody knows whether it was carried out."""
import http.client
import json
import socket
import struct
import threading
import time
from datetime import datetime, timezone


class Gone(Exception):
    """The connection was refused or broke: the request may have been carried out, or not."""


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("berth", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Journal:
    """Who did what when, for whoever has to find out why something went wrong."""

    def __init__(self):
        self.lines = []

    def note(self, what):
        self.lines.append(f"{datetime.now(timezone.utc):%H:%M:%S.%f} {threading.current_thread().name.split('-', 3)[-1]}: {what}\n")


class Api:
    def __init__(self, path):
        self.path, self.journal = str(path), Journal()

    def call(self, method, path, body=None, timeout=60):
        """(status, decoded answer). Raises Gone."""
        if method != "GET":
            self.journal.note(f"{method} {path}")
        try:
            status, answer = self.exchange(method, path, body, timeout)
        except Gone as e:
            self.journal.note(e)
            raise
        if method != "GET" or status != 200:
            self.journal.note(f"{method} {path}: {status} {answer or ''}")
        return status, answer

    def exchange(self, method, path, body, timeout):
        connection = UnixConnection(self.path, timeout)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, "/v1.44" + path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as e:
            raise Gone(f"{method} {path}: {e!r}") from None
        finally:
            connection.close()
        try:
            return answer.status, json.loads(content) if content.strip() else None
        except ValueError:
            return answer.status, content

    def insist(self, method, path, body=None, accept=range(200, 400), seconds=40):
        """Repeats a request without side effects (or that may be carried out twice) until it is answered as wanted."""
        end = time.monotonic() + seconds
        while True:
            try:
                status, content = self.call(method, path, body)
                if status in accept:
                    return status, content
                last = f"{status} {content}"
            except Gone as e:
                last = str(e)
            assert time.monotonic() < end, f"{method} {path}: no such answer within {seconds} s; the last was {last}"
            time.sleep(0.05)

    def inspect(self, name):
        """The container, None when there is none."""
        status, content = self.insist("GET", f"/containers/{name}/json", accept=(200, 404))
        return content if status == 200 else None

    def logs(self, name, tty=False):
        """(stdout, stderr) as lines."""
        _, content = self.insist("GET", f"/containers/{name}/logs?stdout=1&stderr=1")
        content = content if isinstance(content, bytes) else b"" if content is None else str(content).encode()
        if tty:
            return content.decode().splitlines(), []
        streams = {1: bytearray(), 2: bytearray()}
        place = 0
        while place < len(content):
            number, length = struct.unpack_from(">BxxxI", content, place)
            streams[number] += content[place + 8:place + 8 + length]
            place += 8 + length
        return [bytes(streams[n]).decode().splitlines() for n in (1, 2)]

    def hijack(self, path, body=None, timeout=10):
        """A connection that has been upgraded to a stream. Raises Gone, also when the engine refuses."""
        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.settimeout(timeout)
        try:
            s.connect(self.path)
            data = b"" if body is None else json.dumps(body).encode()
            s.sendall(f"POST /v1.44{path} HTTP/1.1\r\nHost: berth\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\n"
                      f"Content-Length: {len(data)}\r\n\r\n".encode() + data)
            head = b""
            while b"\r\n\r\n" not in head:
                piece = s.recv(1)
                if not piece:
                    raise Gone(f"{path}: closed after {head!r}")
                head += piece
            if b" 101 " not in head.split(b"\r\n")[0] and b" 200 " not in head.split(b"\r\n")[0]:
                raise Gone(f"{path}: {head!r}")
            return s
        except OSError as e:
            s.close()
            raise Gone(f"{path}: {e!r}") from None
        except Gone:
            s.close()
            raise
