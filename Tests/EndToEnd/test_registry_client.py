"""Authorization, TLS, redirects, rate limits, resumed and shared transfers: what a registry sees of us."""
import ctypes
import gzip
import json
import os
import re
import subprocess
import threading
import time

import pytest

from engine import Engine, wait_for
from fakeregistry import INDEX, Answer, FakeRegistry
from registry import MANIFEST, Registry, certificates, digest, layer


@pytest.fixture(autouse=True)
def nothing_is_left():
    """These tests have engines of their own and start next to nothing on them."""


def small():
    """A layer that no other test has brought here."""
    return layer({"file": b"small" + os.urandom(16)})



@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """An engine of this file's own, with a certs.d."""
    folder = tmp_path_factory.mktemp("client")
    (folder / "certs.d").mkdir()
    engine = Engine(folder / "e", "--bridge", "none", "--registry-config-path", str(folder / "certs.d")).start()
    engine.certs = folder / "certs.d"
    yield engine
    engine.stop()


@pytest.fixture
def docker(own):
    client = own.clients()["docker"]
    yield client
    if ids := client.run("images", "-aq").stdout.split():
        client.run("rmi", "-f", *set(ids))


@pytest.fixture
def registry():
    r = FakeRegistry()
    yield r
    r.stop()


def login(tmp_path, docker, host, user, password):
    """The client's configuration after a login; `docker login` itself is the daemon's /auth."""
    config = tmp_path / "docker-config"
    config.mkdir(exist_ok=True)
    import base64
    (config / "config.json").write_text(json.dumps({"auths": {host: {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}}}))
    client = type(docker)(docker.program, docker.host)
    client.env = lambda: {**os.environ, "DOCKER_HOST": docker.host, "DOCKER_CONFIG": str(config), "DOCKER_CLI_HINTS": "false"}
    return client


# Debian's own registry, with passwords and TLS

def secure_registry(folder, authority, clients=False):
    """docker-registry with TLS, passwords (reader:secret) and, if asked, client certificates."""
    crypt = ctypes.CDLL("libcrypt.so.1").crypt
    crypt.restype = ctypes.c_char_p
    (folder / "htpasswd").write_text(f"reader:{crypt(b'secret', b'$2a$05$abcdefghijklmnopqrstuu').decode()}\n")
    tls = f"  tls:\n    certificate: {authority}/server.crt\n    key: {authority}/server.key\n" + (f"    clientcas: [{authority}/ca.crt]\n" if clients else "")
    return Registry(folder, tls, f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}\n", cafile=authority / "ca.crt")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return certificates(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("clients", [False, True], ids=["server only", "client certificate"])
def test_push_and_pull_with_tls_and_a_password(own, docker, authority, tmp_path, registry, clients):
    secure = secure_registry(tmp_path, authority, clients)
    folder = own.certs / secure.name
    folder.mkdir()
    try:
        registry.image("source", "latest", [small()])
        docker.ok("pull", f"{registry.name}/source")
        docker.ok("tag", f"{registry.name}/source", f"{secure.name}/pushed")
        user = login(tmp_path, docker, secure.name, "reader", "secret")
        # loopback is tried without verification when nothing is configured; a folder with an authority means it
        (folder / "ca.crt").write_text((authority / "server.crt").read_text())
        if clients:
            assert re.search("certificate|tls", user.fails("push", f"{secure.name}/pushed"), re.I)
            (folder / "client.cert").write_text((authority / "client.crt").read_text())
            (folder / "client.key").write_text((authority / "client.key").read_text())
        (folder / "ca.crt").write_text((authority / "ca.crt").read_text())
        assert "no basic auth credentials" in docker.fails("push", f"{secure.name}/pushed")
        wrong = login(tmp_path, docker, secure.name, "reader", "wrong")
        assert re.search("unauthorized|authentication required", wrong.fails("push", f"{secure.name}/pushed"))
        user = login(tmp_path, docker, secure.name, "reader", "secret")
        user.ok("push", f"{secure.name}/pushed")
        docker.ok("rmi", f"{secure.name}/pushed", f"{registry.name}/source")
        user.ok("pull", f"{secure.name}/pushed")
        # a build brings the passwords of all registries along
        user.ok("rmi", f"{secure.name}/pushed")
        dockerfile = f"FROM {secure.name}/pushed\nLABEL a=b"
        assert "no basic auth credentials" in docker.fails("build", "-", input=dockerfile)
        for client in (user, login(tmp_path, own.clients()["berth"], secure.name, "reader", "secret")):
            client.ok("build", "--pull", "-t", "built", "-", input=dockerfile)
        docker.ok("rmi", "built", f"{secure.name}/pushed")
    finally:
        secure.stop()


def test_an_untrusted_certificate_is_refused_where_certificates_are_configured(own, docker, authority, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    certificates(other)
    secure = secure_registry(tmp_path, authority)
    folder = own.certs / secure.name
    folder.mkdir()
    (folder / "ca.crt").write_text((other / "ca.crt").read_text())
    try:
        assert "certificate signed by unknown authority" in docker.fails("pull", f"{secure.name}/any")
        (folder / "key-alone.key").write_text("")
        assert "missing client certificate" in docker.fails("pull", f"{secure.name}/any")
    finally:
        secure.stop()


# Bearer tokens

class TokenServer:
    """Asks for bearer tokens in front of a FakeRegistry, issued by itself for reader:secret; tokens live `lifetime` requests."""

    def __init__(self, registry, lifetime=10_000):
        self.registry, self.lifetime, self.valid, self.scopes, self.count = registry, lifetime, {}, [], 0
        registry.intercept = self.intercept

    def intercept(self, request):
        if request.route == "/token":
            query = request.url.query
            self.scopes += re.findall(r"scope=([^&]*)", query)
            if request.headers.get("Authorization") != "Basic cmVhZGVyOnNlY3JldA==":
                return Answer.error(401, "UNAUTHORIZED", "incorrect username or password")
            self.count += 1
            self.valid[f"token{self.count}"] = self.lifetime
            return Answer(200, json.dumps({"token": f"token{self.count}", "expires_in": 300}).encode(), {"Content-Type": "application/json"})
        token = (request.headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.valid.get(token, 0) > 0:
            self.valid[token] -= 1
            return None
        request.read_body()
        scope = "repository:team/app:" + ("pull" if request.command in ("GET", "HEAD") and "uploads" not in request.route else "pull,push")
        return Answer.error(401, "UNAUTHORIZED", "authentication required", **{
            "WWW-Authenticate": f'Bearer realm="http://{self.registry.name}/token",service="fake",scope="{scope}"'})


def test_tokens_are_fetched_by_scope_and_renewed_when_they_end(docker, registry, tmp_path):
    registry.image("team/app", "latest", [small(), layer({"two": b"2"})])
    tokens = TokenServer(registry, lifetime=2)
    user = login(tmp_path, docker, registry.name, "reader", "secret")
    user.ok("pull", f"{registry.name}/team/app")
    assert tokens.count > 1 and set(tokens.scopes) == {"repository%3Ateam%2Fapp%3Apull"}
    tokens.lifetime = 1000
    user.ok("tag", f"{registry.name}/team/app", f"{registry.name}/team/app:again")
    user.ok("push", f"{registry.name}/team/app:again")
    assert "repository%3Ateam%2Fapp%3Apull%2Cpush" in tokens.scopes


# Redirects and limits

def test_a_redirect_to_another_host_carries_no_authorization(docker, registry, tmp_path):
    store = FakeRegistry()
    registry.image("team/app", "latest", [small()])
    store.blobs = registry.blobs
    tokens = TokenServer(registry)
    ask = registry.intercept
    registry.intercept = lambda r: ask(r) or (Answer(307, headers={"Location": f"http://{store.name}{r.path}"}) if "blobs" in r.route else None)
    try:
        login(tmp_path, docker, registry.name, "reader", "secret").ok("pull", f"{registry.name}/team/app")
        assert len(store.requests) >= 2 and not any("Authorization" in headers for _, _, headers in store.requests)
    finally:
        store.stop()


def test_a_rate_limit_is_waited_for(docker, registry):
    registry.image("limited", "latest", [small()])
    refused = []

    def limit(request):
        if "blobs" in request.route and len(refused) < 2:
            refused.append(time.monotonic())
            return Answer.error(429, "TOOMANYREQUESTS", "slow down", **{"Retry-After": "1"})
    registry.intercept = limit
    start = time.monotonic()
    docker.ok("pull", f"{registry.name}/limited")
    assert len(refused) == 2 and time.monotonic() - start >= 1


def test_a_rate_limit_that_does_not_end_is_told(docker, registry):
    registry.intercept = lambda r: Answer.error(429, "TOOMANYREQUESTS", "You have reached your pull rate limit.", **{"Retry-After": "3600"})
    assert "You have reached your pull rate limit." in docker.fails("pull", f"{registry.name}/limited")


# Resumed and shared downloads

def test_a_pull_goes_on_after_sigkill_without_fetching_again(own, docker, registry):
    first, second = layer({"first": os.urandom(200_000)}), layer({"second": os.urandom(6 << 20)})
    registry.image("resumed", "latest", [first, second])
    packed = [gzip.compress(l, 1, mtime=0) for l in (first, second)]
    hold = threading.Event()

    def half(data):
        yield data[: len(data) // 2]
        hold.wait(30)

    registry.intercept = lambda r: Answer(200, chunks=half(packed[1]), length=len(packed[1])) if r.route.endswith(digest(packed[1])) and not hold.is_set() else None
    pull = docker.start("pull", f"{registry.name}/resumed")
    wait_for("the first layer and half of the second", lambda: (own.folder / "data/supervisor/content/blobs/sha256" / digest(packed[0])[7:]).exists()
             and sum(p.stat().st_size for p in own.folder.glob("data/supervisor/content/ingest/*/data")) >= 2 << 20)
    own.kill("supervisor")
    hold.set()
    pull.wait(30)
    wait_for("the supervisor again", lambda: docker.run("images").returncode == 0)
    registry.requests.clear()
    docker.ok("pull", f"{registry.name}/resumed")
    assert not registry.seen(digest(packed[0]), "GET"), "a verified blob was fetched again"
    ranges = [headers.get("Range") for _, _, headers in registry.seen(digest(packed[1]), "GET")]
    assert ranges and all(r and int(re.search(r"\d+", r)[0]) >= 1 << 20 for r in ranges), ranges


def test_a_broken_connection_is_continued_within_one_pull(docker, registry):
    archive = layer({"file": os.urandom(3 << 20)})
    registry.image("broken", "latest", [archive])
    packed = gzip.compress(archive, 1, mtime=0)
    registry.intercept = lambda r: Answer(200, packed[: len(packed) // 2], length=len(packed)) if r.route.endswith(digest(packed)) and "Range" not in r.headers else None
    docker.ok("pull", f"{registry.name}/broken")
    assert len(registry.seen(digest(packed), "GET")) == 2


def test_two_pulls_share_one_download(docker, registry):
    archive = layer({"file": os.urandom(2 << 20)})
    registry.image("shared", "one", [archive])
    registry.image("shared", "two", [archive])
    packed = gzip.compress(archive, 1, mtime=0)

    def slowly(r):
        if r.route.endswith(digest(packed)):
            time.sleep(1)
    registry.intercept = slowly
    pulls = [docker.start("pull", f"{registry.name}/shared:{tag}") for tag in ("one", "two")]
    assert [(p.communicate(timeout=30)[1], p.returncode) for p in pulls] == [(b"", 0)] * 2
    assert len(registry.seen(digest(packed), "GET")) == 1


# Uploads

def test_a_blob_of_another_repository_is_mounted(docker, registry):
    registry.image("origin", "latest", [small()])
    docker.ok("pull", f"{registry.name}/origin")
    docker.ok("tag", f"{registry.name}/origin", f"{registry.name}/copy")
    registry.intercept = lambda r: Answer(404) if r.command == "HEAD" and "/copy/blobs/" in r.route else None
    docker.ok("push", f"{registry.name}/copy")
    assert registry.seen(r"/copy/blobs/uploads/\?mount=.*from=origin", "POST")
    assert not registry.seen("/copy/blobs/uploads/", "PUT") and not registry.seen("/copy/blobs/uploads/", "PATCH")


def test_an_upload_goes_on_where_the_registry_lost_the_connection(docker, registry):
    archive = layer({"file": os.urandom(12 << 20)})
    registry.image("big", "latest", [archive])
    packed = gzip.compress(archive, 1, mtime=0)
    docker.ok("pull", f"{registry.name}/big")
    target = FakeRegistry()
    cut = []

    def lose(r):
        if r.command == "PATCH" and not cut:
            session = r.route.split("/")[-1]
            cut.append(session)
            target.uploads[session] += r.read_body(limit=5 << 20) if r.headers.get("Content-Length") else b""
            r.close_connection = True
            r.connection.close()
            raise ConnectionResetError
    target.intercept = lose
    try:
        docker.ok("tag", f"{registry.name}/big", f"{target.name}/big")
        docker.ok("push", f"{target.name}/big", timeout=60)
        assert target.blobs[digest(packed)] == packed
        assert [headers.get("Content-Range") for _, _, headers in target.seen("uploads", "PATCH")] == [None, f"{5 << 20}-{len(packed) - 1}"]
    finally:
        target.stop()


# Kinds of images

def test_all_platforms_of_an_image_are_pushed_when_they_are_here_and_one_is_chosen_otherwise(docker, registry):
    members = []
    for architecture, content in (("amd64", b"a"), ("arm64", b"b")):
        d = registry.image("multi", architecture, [layer({"file": content})])
        members.append({**d, "platform": {"os": "linux", "architecture": architecture}})
    registry.manifest("multi", "latest", {"schemaVersion": 2, "mediaType": INDEX, "manifests": members}, INDEX)
    docker.ok("pull", "--platform", "linux/arm64", f"{registry.name}/multi")
    assert "no match" in docker.fails("pull", "--platform", "linux/s390x", f"{registry.name}/multi")
    docker.ok("tag", f"{registry.name}/multi", f"{registry.name}/half")
    docker.ok("push", f"{registry.name}/half")
    assert json.loads(registry.manifests["half", "latest"])["mediaType"] == MANIFEST
    docker.ok("pull", "--platform", "linux/amd64", f"{registry.name}/multi")
    docker.ok("tag", f"{registry.name}/multi", f"{registry.name}/whole")
    docker.ok("push", f"{registry.name}/whole")
    assert [m["digest"] for m in json.loads(registry.manifests["whole", "latest"])["manifests"]] == [m["digest"] for m in members]


def test_an_image_is_pulled_by_its_digest_and_a_wrong_one_is_refused(docker, registry):
    target = registry.image("exact", "latest", [small()])
    docker.ok("pull", f"{registry.name}/exact@{target['digest']}")
    other = "sha256:" + "0" * 64
    registry.manifests["exact", other] = registry.manifests["exact", "latest"]
    assert "unexpected digest" in docker.fails("pull", f"{registry.name}/exact@{other}")


def test_foreign_layers_come_from_their_own_address_without_credentials(docker, registry, tmp_path):
    elsewhere = FakeRegistry()
    archive = small()
    packed = gzip.compress(archive, 1, mtime=0)
    elsewhere.intercept = lambda r: Answer(200, packed) if r.route == "/layer.tar.gz" else None
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    registry.image("team/app", "foreign", [archive], kind=foreign, change=lambda m: m["layers"][0].update(urls=[f"http://{elsewhere.name}/layer.tar.gz"]))
    del registry.blobs[digest(packed)]
    TokenServer(registry)
    try:
        user = login(tmp_path, docker, registry.name, "reader", "secret")
        user.ok("pull", f"{registry.name}/team/app:foreign")
        assert elsewhere.seen("layer.tar.gz") and not any("Authorization" in h for _, _, h in elsewhere.requests)
        user.ok("tag", f"{registry.name}/team/app:foreign", f"{registry.name}/team/app:again")
        user.ok("push", f"{registry.name}/team/app:again")
        assert digest(packed) not in registry.blobs, "a layer that must not be distributed was pushed"
    finally:
        elsewhere.stop()


def test_zstd_layers_are_unpacked(docker, registry):
    archive = small()
    packed = subprocess.run(["zstd", "-q", "-c"], input=archive, capture_output=True, check=True).stdout
    registry.image("zstd", "latest", [archive], packed=[packed], kind="application/vnd.oci.image.layer.v1.tar+zstd")
    docker.ok("pull", f"{registry.name}/zstd")
    name = docker.ok("create", "--network", "none", f"{registry.name}/zstd", "x")
    out = subprocess.run(docker.argv("cp", f"{name}:/file", "-"), capture_output=True, env=docker.env()).stdout
    assert b"small" in out
    docker.ok("rm", name)


@pytest.fixture
def elsewhere():
    """An address of this machine that is not on loopback, where plain HTTP would be tried anyway."""
    link, address = f"btr{os.getpid()}", "198.51.100.77"
    subprocess.run(["ip", "link", "add", link, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", link], check=True)
        subprocess.run(["ip", "link", "set", link, "up"], check=True)
        yield address
    finally:
        subprocess.run(["ip", "link", "delete", link], check=True)


def test_plain_http_beyond_loopback_is_for_registries_that_the_daemon_calls_insecure(elsewhere, own, docker, tmp_path):
    real = Registry(tmp_path, address=elsewhere)
    engine = None
    try:
        real.push("busy", "latest", [small()])
        assert re.search("HTTP|TLS|tls", error := docker.fails("pull", f"{real.name}/busy")), error
        docker.ok("import", "-", "to:push", input=small())
        docker.ok("tag", "to:push", f"{real.name}/pushed")
        docker.fails("push", f"{real.name}/pushed")
        for number, insecure in enumerate((real.name, elsewhere, "198.51.100.0/24")):
            engine = Engine(tmp_path / f"e{number}", "--bridge", "none", "--insecure-registry", insecure).start()
            for name, client in engine.clients().items():
                client.ok("pull", f"{real.name}/busy")
                client.ok("tag", f"{real.name}/busy", f"{real.name}/{name}{number}:tag")
                client.ok("push", f"{real.name}/{name}{number}:tag")
                assert json.load(real.call("GET", f"/v2/{name}{number}/tags/list"))["tags"] == ["tag"]
                client.ok("rmi", "-f", f"{real.name}/{name}{number}:tag", f"{real.name}/busy")
            engine.stop()
            engine = None
    finally:
        if engine:
            engine.stop()
        real.stop()
