"""What asks a registry without pulling one image: login, logout, search, distribution, all tags, import from an address."""
import base64
import json
import os
import subprocess
import urllib.parse

import pytest

from conftest import busybox_image
from fakeregistry import INDEX, Answer, FakeRegistry
from registry import free_port, layer

BASIC = "Basic " + base64.b64encode(b"reader:secret").decode()


@pytest.fixture
def registry():
    r = FakeRegistry()
    yield r
    r.stop()


@pytest.fixture
def own_config(cli, tmp_path):
    """The client with a configuration of its own."""
    config = tmp_path / "config"
    config.mkdir()
    cli.env = lambda: {**os.environ, "DOCKER_HOST": cli.host, "DOCKER_CONFIG": str(config), "DOCKER_CLI_HINTS": "false", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    cli.config = config / "config.json"
    yield cli


def wants_password(request):
    if request.headers.get("Authorization") != BASIC:
        return Answer.error(401, "UNAUTHORIZED", "authentication required", **{"WWW-Authenticate": 'Basic realm="test"'})


def token_server(registry, refresh="the-refresh-token"):
    """Tokens for reader:secret, and for the refresh token that goes with a login."""
    def intercept(request):
        if request.route == "/token":
            query = dict(urllib.parse.parse_qsl(request.url.query or request.read_body().decode()))
            if request.headers.get("Authorization") != BASIC and query.get("refresh_token") != refresh:
                return Answer(401, b'{"details":"incorrect username or password"}')
            answer = {"token": "access", "expires_in": 300, **({"refresh_token": refresh} if query.get("offline_token") == "true" else {})}
            return Answer(200, json.dumps(answer).encode())
        if request.headers.get("Authorization") != "Bearer access":
            return Answer.error(401, "UNAUTHORIZED", "authentication required",
                                **{"WWW-Authenticate": f'Bearer realm="http://{registry.name}/token",service="test"'})
    return intercept


def login(cli, registry, password):
    return cli.run("login", "-u", "reader", "--password-stdin", registry.name, input=password)


def test_login_shows_the_password_and_keeps_it_for_pulls(own_config, registry):
    cli = own_config
    registry.intercept = wants_password
    registry.image("private", "latest", [layer({f"login-{cli.name}": b"x"})])
    assert "no basic auth credentials" in cli.fails("pull", f"{registry.name}/private", input="")
    r = login(cli, registry, "secret")
    assert r.returncode == 0 and "Login Succeeded" in r.stdout, r.stderr
    assert json.loads(cli.config.read_text())["auths"][registry.name]["auth"] == base64.b64encode(b"reader:secret").decode()
    cli.ok("pull", f"{registry.name}/private")
    cli.ok("rmi", f"{registry.name}/private")
    assert f"Removing login credentials for {registry.name}" in cli.ok("logout", registry.name)
    assert "no basic auth credentials" in cli.fails("pull", f"{registry.name}/private", input="")


def test_a_wrong_password_is_refused_and_not_kept(own_config, registry):
    registry.intercept = wants_password
    r = login(own_config, registry, "wrong")
    assert r.returncode == 1
    assert f"login attempt to http://{registry.name}/v2/ failed with status: 401 Unauthorized" in r.stderr
    registry.intercept = token_server(registry)
    assert f'Get "http://{registry.name}/v2/": unauthorized: incorrect username or password' in login(own_config, registry, "wrong").stderr
    assert registry.name not in (json.loads(own_config.config.read_text()).get("auths", {}) if own_config.config.exists() else {})


def test_a_token_server_s_identity_token_takes_the_password_s_place(own_config, registry):
    cli = own_config
    registry.intercept = token_server(registry)
    registry.image("private", "latest", [layer({f"token-{cli.name}": b"x"})])
    assert "Login Succeeded" in login(cli, registry, "secret").stdout
    kept = json.loads(cli.config.read_text())["auths"][registry.name]
    assert kept["identitytoken"] == "the-refresh-token" and b"secret" not in base64.b64decode(kept["auth"])
    cli.ok("pull", f"{registry.name}/private")
    cli.ok("rmi", f"{registry.name}/private")


def test_a_credential_helper_keeps_the_password(own_config, registry, tmp_path):
    cli = own_config
    helper = tmp_path / "docker-credential-test"
    helper.write_text(f"""#!/bin/sh
case $1 in
  store) cat >{tmp_path}/stored ;;
  get) cat >/dev/null; [ -e {tmp_path}/stored ] && cat {tmp_path}/stored || {{ echo "credentials not found in native keychain"; exit 1; }} ;;
  erase) cat >/dev/null; rm -f {tmp_path}/stored ;;
  list) echo '{{}}' ;;
esac
""")
    helper.chmod(0o755)
    cli.config.write_text(json.dumps({"credHelpers": {registry.name: "test"}}))
    registry.intercept = wants_password
    registry.image("private", "latest", [layer({f"helper-{cli.name}": b"x"})])
    assert login(cli, registry, "secret").returncode == 0
    assert json.loads((tmp_path / "stored").read_text())["Secret"] == "secret" and "secret" not in cli.config.read_text()
    cli.ok("pull", f"{registry.name}/private")
    cli.ok("rmi", f"{registry.name}/private")
    cli.ok("logout", registry.name)
    assert not (tmp_path / "stored").exists()


def test_a_login_without_a_registry_says_where_nobody_answers(own_config):
    port = free_port()
    r = own_config.run("login", "-u", "a", "--password-stdin", f"127.0.0.1:{port}", input="b")
    assert f'Get "http' in r.stderr and f"dial tcp 127.0.0.1:{port}: connect: connection refused" in r.stderr


FOUND = [
    {"name": "tool", "description": "the tool", "star_count": 100, "is_official": True, "is_automated": True},
    {"name": "me/tool", "description": "my\ntool", "star_count": 3, "is_official": False},
]


def test_search_lists_what_the_registry_finds(cli, registry):
    registry.intercept = lambda request: Answer(200, json.dumps({"results": FOUND}).encode()) if request.route == "/v1/search" else None
    term = f"{registry.name}/tool"
    lines = cli.ok("search", term).splitlines()
    assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL"]
    assert lines[1].split() == ["tool", "the", "tool", "100", "[OK]"] and lines[2].split() == ["me/tool", "my", "tool", "3"]
    assert cli.ok("search", "--filter", "is-official=false", "--format", "{{.Name}}", term) == "me/tool"
    assert cli.ok("search", "--filter", "stars=50", "--format", "{{.Name}}", term) == "tool"
    cli.ok("search", "--limit", "7", term)
    assert urllib.parse.parse_qs(urllib.parse.urlsplit(registry.seen("/v1/search")[-1][1]).query) == {"q": ["tool"], "n": ["7"]}
    assert "limit 200 is outside the range of [1, 100]" in cli.fails("search", "--limit", "200", term)


def test_a_registry_without_search_says_so(cli, registry):
    assert "Unexpected status code 404" in cli.fails("search", f"{registry.name}/tool")


def test_distribution_tells_descriptor_and_platforms(engine, registry):
    manifest = registry.image("some", "latest", [layer({"x": b"y"})])
    status, answer = engine.request("GET", f"/distribution/{registry.name}/some:latest/json")
    assert status == 200, answer
    assert answer["Descriptor"] == {k: manifest[k] for k in ("mediaType", "digest", "size")}
    assert answer["Platforms"] == [{"architecture": "amd64", "os": "linux"}]
    arm = {"architecture": "arm64", "os": "linux", "variant": "v8"}
    index = registry.manifest("some", "all", {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{**manifest, "platform": arm}]}, INDEX)
    status, answer = engine.request("GET", f"/distribution/{registry.name}/some:all/json")
    assert status == 200 and answer["Descriptor"]["digest"] == index["digest"] and answer["Platforms"] == [arm]
    assert engine.request("GET", f"/distribution/{registry.name}/some:nope/json") == (404, {"message": "manifest unknown: manifest unknown"})
    assert engine.request("GET", "/distribution/UPPER/json")[0] == 400


def test_all_tags_are_pulled_and_pushed_page_by_page(cli, registry):
    name = f"{registry.name}/many-{cli.name}"
    for tag in ("one", "two", "three"):
        registry.image(f"many-{cli.name}", tag, [layer({f"{tag}-{cli.name}": b"x"})])

    def pages(request):
        if request.route.endswith("/tags/list"):
            if "last=two" in request.url.query:
                return Answer(200, b'{"tags":["three"]}')
            return Answer(200, b'{"tags":["one","two"]}', {"Link": f'<{request.route}?n=2&last=two>; rel="next"'})

    registry.intercept = pages
    out = cli.ok("pull", "-a", name)
    for tag in ("one", "two", "three"):
        assert f"{tag}: Pulling from many-{cli.name}" in out
        assert f"Status: Downloaded newer image for {name}:{tag}" in out
    assert sorted(cli.ok("images", "--format", "{{.Tag}}", name).split()) == ["one", "three", "two"]
    other = FakeRegistry()
    try:
        target = f"{other.name}/copied"
        for tag in ("one", "two"):
            cli.ok("tag", f"{name}:{tag}", f"{target}:{tag}")
        out = cli.ok("push", "-a", target)
        assert "one: digest: sha256:" in out and "two: digest: sha256:" in out
        assert {key for repository, key in other.manifests if not key.startswith("sha256:")} == {"one", "two"}
        cli.ok("rmi", f"{target}:one", f"{target}:two")
    finally:
        other.stop()
    cli.ok("rmi", *(f"{name}:{tag}" for tag in ("one", "two", "three")))


def test_pull_of_all_tags_of_an_unknown_repository_names_it(cli, registry):
    registry.intercept = lambda request: Answer.error(404, "NAME_UNKNOWN", "repository name not known to registry") if "tags/list" in request.path else None
    assert f"repository {registry.name}/nosuch not found: name unknown: repository name not known to registry" in cli.fails("pull", "-a", f"{registry.name}/nosuch")


def test_import_takes_an_archive_from_an_address(cli, registry):
    registry.intercept = lambda request: Answer(200, busybox_image()) if request.route == "/root.tar" else None
    out = cli.ok("import", f"http://{registry.name}/root.tar", f"imported:{cli.name}")
    assert f"Downloading from http://{registry.name}/root.tar" in out and out.splitlines()[-1].startswith("sha256:")
    assert f"Imported from http://{registry.name}/root.tar" in cli.ok("history", "--no-trunc", f"imported:{cli.name}")
    cli.ok("rmi", f"imported:{cli.name}")
    assert f"failed to GET http://{registry.name}/nope.tar with status 404 Not Found" in cli.fails("import", f"http://{registry.name}/nope.tar", "x:y")


def test_a_malformed_authorization_header_counts_as_none(engine, registry):
    registry.image("open", "latest", [layer({"open": b"x"})])
    status, answer = engine.request("GET", f"/distribution/{registry.name}/open/json")
    assert status == 200, answer
    out = subprocess.run(["curl", "-s", "--unix-socket", str(engine.socket), "-H", "X-Registry-Auth: !!!", f"http://d/v1.44/distribution/{registry.name}/open/json"], capture_output=True, text=True).stdout
    assert json.loads(out) == answer
