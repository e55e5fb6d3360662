"""Where the engine listens: tcp with and without TLS, sockets from systemd, several at once, and attach through a web socket."""
import base64
import os
import shutil
import socket
import subprocess
import tempfile

import pytest

from conftest import IMAGE
from engine import BIN, Client, Engine, ForeignEngine


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def folder(engine):
    if isinstance(engine, ForeignEngine):
        pytest.skip("not ours to start")
    folder = tempfile.mkdtemp(prefix=f"berth-test-{os.getpid()}-", dir="/tmp")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def start(folder):
    """Starts an engine without networks of its own, with further flags."""
    engines = []

    def start(*args):
        engines.append(Engine(folder, "--bridge", "none", *args))
        return engines[-1].start()

    yield start
    for engine in engines:
        engine.stop()


def stock(engine):
    return next(iter(engine.clients().values())).program


@pytest.fixture
def certificates(folder):
    """An authority, a server for 127.0.0.1, a client, and a client of nobody we know."""
    os.mkdir(f"{folder}/tls")

    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=f"{folder}/tls")

    for authority in ("ca", "other-ca"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-keyout", f"{authority}-key.pem", "-out", f"{authority}.pem", "-subj", f"/CN={authority}",
                "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")
    for name, authority, usage in (("server", "ca", "serverAuth"), ("client", "ca", "clientAuth"), ("stranger", "other-ca", "clientAuth")):
        with open(f"{folder}/tls/{name}.ext", "w") as f:
            f.write(f"extendedKeyUsage={usage}\nsubjectAltName=IP:127.0.0.1,DNS:localhost\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}-key.pem", "-CAcreateserial", "-days", "2", "-out", f"{name}.pem", "-extfile", f"{name}.ext")
    return f"{folder}/tls"


def docker(engine, *args, timeout=30):
    env = {**os.environ, "DOCKER_CONFIG": "/nonexistent"}
    env.pop("DOCKER_HOST", None)
    return subprocess.run([stock(engine), *args], capture_output=True, text=True, timeout=timeout, env=env)


def test_tcp_and_unix_at_once(start):
    port = free_port()
    engine = start("-H", f"tcp://127.0.0.1:{port}")
    assert engine.clients()["berth"].ok("version", "-f", "{{.Server.Version}}")
    r = docker(engine, "-H", f"tcp://127.0.0.1:{port}", "version", "-f", "{{.Server.Os}}")
    assert r.stdout.strip() == "linux", r.stderr
    assert "without TLS" in engine.log.read_text()


def test_a_port_in_use_ends_the_start(folder):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        r = subprocess.run([BIN / "berthd", "-H", f"tcp://127.0.0.1:{s.getsockname()[1]}", "--bridge", "none", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"],
                           capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and "Address already in use" in r.stderr, r.stderr
    assert not os.path.exists(f"{folder}/run/supervisor.pid"), "nothing is left running"


@pytest.mark.parametrize("address", ["tcp://nohost", "tcp://127.0.0.1:99999", "udp://127.0.0.1:1", "nonsense", "fd://"])
def test_an_address_that_makes_no_sense_is_refused(folder, address):
    r = subprocess.run([BIN / "berthd", "-H", address, "--bridge", "none", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"], capture_output=True, text=True, timeout=30)
    assert r.returncode != 0 and (address in r.stderr or "socket activation" in r.stderr), r.stderr
    assert not os.path.exists(f"{folder}/run/supervisor.pid"), "nothing is left running"


def test_tls_with_known_clients_only(start, certificates):
    port = free_port()
    engine = start("-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", f"{certificates}/ca.pem", "--tlscert", f"{certificates}/server.pem", "--tlskey", f"{certificates}/server-key.pem")

    def with_certificate(name, authority="ca"):
        return docker(engine, "-H", f"tcp://127.0.0.1:{port}", "--tlsverify", "--tlscacert", f"{certificates}/{authority}.pem", "--tlscert", f"{certificates}/{name}.pem",
                      "--tlskey", f"{certificates}/{name}-key.pem", "version", "-f", "{{.Server.Os}}")

    assert with_certificate("client").stdout.strip() == "linux", with_certificate("client").stderr
    assert with_certificate("stranger").returncode != 0
    assert with_certificate("client", "other-ca").returncode != 0, "the client verifies the engine"
    assert docker(engine, "-H", f"tcp://127.0.0.1:{port}", "version").returncode != 0
    no_certificate = subprocess.run(["curl", "-s", "--cacert", f"{certificates}/ca.pem", f"https://127.0.0.1:{port}/_ping"], capture_output=True)
    assert no_certificate.returncode != 0 or no_certificate.stdout != b"OK"
    assert engine.clients()["berth"].ok("version", "-f", "{{.Server.Os}}") == "linux", "the unix socket needs none"


def test_tls_without_verification(start, certificates):
    port = free_port()
    start("-H", f"tcp://127.0.0.1:{port}", "--tls", "--tlscert", f"{certificates}/server.pem", "--tlskey", f"{certificates}/server-key.pem")
    r = subprocess.run(["curl", "-s", "--cacert", f"{certificates}/ca.pem", f"https://127.0.0.1:{port}/_ping"], capture_output=True, text=True)
    assert r.stdout == "OK", r.stderr


def test_wrong_certificates_are_named(folder, certificates):
    for flags, expected in [(["--tlsverify", "--tlscert", "x", "--tlskey", "y"], "--tlscacert"), (["--tls"], "--tlscert"),
                            (["--tls", "--tlscert", f"{certificates}/nosuch.pem", "--tlskey", f"{certificates}/server-key.pem"], "nosuch.pem")]:
        r = subprocess.run([BIN / "berthd", "-H", f"tcp://127.0.0.1:{free_port()}", "--bridge", "none", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run", *flags],
                           capture_output=True, text=True, timeout=30)
        assert r.returncode != 0 and expected in r.stderr, r.stderr
    assert not os.path.exists(f"{folder}/run/supervisor.pid"), "nothing is left running"


def test_a_socket_from_systemd(folder):
    """sd_listen_fds: the descriptor 3 is listening already, and clients that came before the engine are answered."""
    path = f"{folder}/activated.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    waiting = socket.socket(socket.AF_UNIX)
    waiting.connect(path)
    waiting.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    command = 'exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=berthd.socket; exec "$@"'
    with open(f"{folder}/log", "wb") as log:
        process = subprocess.Popen(["bash", "-c", command, "bash", BIN / "berthd", "-H", "fd://", "--bridge", "none", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/run"],
                                   stdin=listener, stdout=log, stderr=log)
    try:
        waiting.settimeout(30)
        answer = b""
        while chunk := waiting.recv(4096):
            answer += chunk
        assert answer.endswith(b"OK"), answer
        client = Client(shutil.which("docker") or BIN / "berth", f"unix://{path}")
        assert client.ok("version", "-f", "{{.Server.Os}}") == "linux"
    finally:
        process.terminate()
        process.wait(20)
        subprocess.run(["kill", open(f"{folder}/run/supervisor.pid").read().strip()])
    assert os.path.exists(path), "the socket is systemd's"


def websocket(engine, path):
    """A connection after the handshake; returns the socket and what came with the answer."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(engine.socket))
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall(f"GET {path} HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nOrigin: http://d\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += s.recv(1)
    assert data.startswith(b"HTTP/1.1 101"), data
    return s


def message(s):
    """One frame of the engine: (opcode, content)."""
    def exactly(count):
        data = b""
        while len(data) < count:
            chunk = s.recv(count - len(data))
            assert chunk, "the connection ended"
            data += chunk
        return data

    first, length = exactly(2)
    if length == 126:
        length = int.from_bytes(exactly(2), "big")
    return first & 15, exactly(length)


def send(s, opcode, content):
    mask = os.urandom(4)
    s.sendall(bytes([0x80 | opcode, 0x80 | len(content)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(content)))


@pytest.mark.parametrize("terminal", [False, True])
def test_attach_through_a_web_socket(engine, docker, name, terminal):
    docker.ok("run", "-d", "-i", *(["-t"] if terminal else []), "--name", name, IMAGE, "sh", "-c", "read line; echo out:$line; sleep 1; exit 3")
    s = websocket(engine, f"/v1.44/containers/{name}/attach/ws?stream=1&stdin=1&stdout=1&stderr=1")
    send(s, 9, b"ping")
    send(s, 2, b"hello\n")
    received, pong = b"", False
    while b"out:hello" not in received:
        opcode, content = message(s)
        pong |= opcode == 10 and content == b"ping"
        received += content if opcode == 2 else b""
    assert pong or isinstance(engine, ForeignEngine)
    assert b"\x01\x00\x00\x00" not in received, "frames of Docker's inside of messages"
    assert message(s)[0] == 8, "a close at the end"
    assert docker.ok("wait", name) == "3"


def test_a_web_socket_needs_a_handshake(engine, docker, name):
    docker.ok("create", "--name", name, IMAGE)
    assert engine.request("GET", f"/containers/{name}/attach/ws")[0] == 400
    assert engine.request("GET", "/containers/nosuch/attach/ws")[0] == 404
