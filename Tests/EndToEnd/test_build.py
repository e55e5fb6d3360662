"""Images built from Dockerfiles by the classic builder: with the stock client, with berth, and beside the real dockerd."""
import http.server
import io
import json
import os
import re
import signal
import socket
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from conftest import IMAGE
from engine import wait_for


@pytest.fixture(autouse=True)
def classic(monkeypatch):
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")


@pytest.fixture
def context(tmp_path):
    """Makes a build's directory of a Dockerfile and files."""
    def make(dockerfile, **files):
        folder = tmp_path / f"context{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / "Dockerfile").write_text(dockerfile if re.search("^FROM", dockerfile, re.M) else f"FROM {IMAGE}\n{dockerfile}")
        for path, content in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        return folder
    return make


@pytest.fixture
def image(name, docker):
    yield name
    docker.run("rmi", "-f", name)
    docker.run("image", "prune", "-f")


def pack(program, data):
    return subprocess.run([program, "-c"], input=data, capture_output=True, check=True).stdout


def said(result):
    """What a build printed, with the identifiers taken out."""
    return re.sub(r"\b[0-9a-f]{12}\b", "ID", re.sub(r"sha256:[0-9a-f]{64}", "SHA", result.stdout)).replace("\r", "")


def tar(**files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT, errors="surrogateescape") as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def test_a_dockerfile_becomes_an_image_with_its_files_and_settings(cli, context, image):
    folder = context(
        'ARG GREETING=hello\nENV WHO="the world" N=1\nRUN echo "$GREETING $WHO" >/said && echo loud && echo err >&2\nWORKDIR /work\nCOPY one dir/ ./\nUSER daemon\nEXPOSE 80 53/udp\n'
        'VOLUME /data\nLABEL a=b\nHEALTHCHECK --interval=5s CMD true\nSTOPSIGNAL SIGINT\nENTRYPOINT ["cat"]\nCMD ["/said"]', one="1", **{"dir/two": "2"})
    r = cli.run("build", "-t", image, "-t", f"{image}:second", "--build-arg", "GREETING=good day", "--build-arg", "UNUSED=1", "--label", "c=d", folder)
    assert r.returncode == 0, r.stderr
    out = said(r)
    assert "Step 4/15 : RUN echo" in out and " ---> Running in ID\n" in out and "loud\n" in out and "\x1b[91merr\n\x1b[0m" in out
    assert out.endswith(f"[Warning] One or more build-args [UNUSED] were not consumed\nSuccessfully built ID\nSuccessfully tagged {image}:latest\nSuccessfully tagged {image}:second\n")
    assert cli.ok("run", "--rm", image) == "good day the world"
    assert cli.ok("run", "--rm", "--entrypoint", "sh", image, "-c", "id -un; pwd; ls; stat -c %u one") == "daemon\n/work\none\ntwo\n0"
    config = cli.inspect(image, "image")["Config"]
    assert config["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}} and config["Volumes"] == {"/data": {}} and config["Labels"] == {"a": "b", "c": "d"}
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 5_000_000_000} and config["StopSignal"] == "SIGINT" and config["User"] == "daemon"
    history = cli.ok("history", "--no-trunc", "--format", "{{.CreatedBy}}", image).splitlines()
    assert history[1] == '/bin/sh -c #(nop)  CMD ["/said"]' and '|1 GREETING=good day /bin/sh -c echo "$GREETING $WHO"' in "\n".join(history)


def test_a_second_build_is_taken_from_the_cache_until_something_changes(cli, context, image):
    folder = context("RUN date +%N >/when\nCOPY file /file\nRUN cat /file >/copied", file="one")
    cli.ok("build", "-t", image, folder)
    first = cli.inspect(image, "image")["Id"]
    os.utime(folder / "file", (1, 1))  # a fresh checkout has other times
    out = said(cli.run("build", "-t", image, folder))
    assert out.count("Using cache") == 3 and cli.inspect(image, "image")["Id"] == first
    (folder / "file").write_text("two")
    assert said(cli.run("build", "-t", image, folder)).count("Using cache") == 1
    assert cli.ok("run", "--rm", image, "cat", "/copied") == "two"
    assert "Using cache" not in said(cli.run("build", "--no-cache", "-t", image, folder))


def test_steps_are_images_that_only_all_shows_and_that_go_with_their_last_child(docker, context, image):
    before = set(docker.ok("images", "-aq", "--no-trunc").split())
    docker.ok("build", "-t", image, context("ENV A=1\nENV B=2\nENV C=3"))
    added = set(docker.ok("images", "-aq", "--no-trunc").split()) - before
    assert len(added) == 3 and len(set(docker.ok("images", "-q", "--no-trunc").split()) - before) == 1
    assert docker.ok("history", "-q", "--no-trunc", image).split()[:3][0] in added
    docker.ok("rmi", image)
    assert not set(docker.ok("images", "-aq", "--no-trunc").split()) & added


def test_a_stage_takes_files_from_another_and_from_images(cli, context, image):
    folder = context(f"ARG BASE={IMAGE}\nFROM $BASE AS Build\nRUN mkdir /out && echo made >/out/file && chown 7:8 /out/file\nFROM scratch\nCOPY --from=build /out /\nCOPY --from=0 --chown=1:2 /out/file /owned\n"
                     f"COPY --from={IMAGE} /bin/busybox /bin/\nFROM {IMAGE}\nRUN false")
    assert cli.run("build", folder).returncode == 1, "stages that nobody asked for are built too"
    cli.ok("build", "-t", image, "--target", "BUILD", folder)
    folder = context((folder / "Dockerfile").read_text().rsplit("FROM", 1)[0] + 'CMD ["/bin/busybox", "ls", "-ln", "/file", "/owned"]')
    cli.ok("build", "-t", image, folder)
    lines = cli.ok("run", "--rm", image).splitlines()
    assert [line.split()[2:4] + line.split()[-1:] for line in lines] == [["7", "8", "/file"], ["1", "2", "/owned"]]
    assert len(cli.inspect(image, "image")["RootFS"]["Layers"]) == 3


def test_add_unpacks_archives_and_fetches_addresses(docker, context, image, tmp_path):
    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=tmp_path / "served")

        def log_message(self, *_):
            pass

    (tmp_path / "served").mkdir()
    (tmp_path / "served/page").write_text("fetched")
    os.utime(tmp_path / "served/page", (1_000_000_000, 1_000_000_000))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        plain = tar(**{"in/plain": b"1"})
        packings = ("gzip", "bzip2", "xz", "zstd")
        packed = {f"{p}.archive": pack(p, tar(**{f"in/{p}": b"2"})) for p in packings}
        # Neither an archive nor, at its very start, anything that can be unpacked: taken as they are.
        others = {f"{p}.other": pack(p, b"no archive") for p in packings} | {"xz.damaged": pack("xz", plain)[:20] + b"x" * 500}
        url = f"http://127.0.0.1:{server.server_port}/page"
        folder = context(f"ADD a.tar *.archive *.other *.damaged /x/\nCOPY a.tar /y/\nADD {url} /u/\nADD {url} /named", **{"a.tar": plain}, **packed, **others)
        docker.ok("build", "-t", image, folder)
        expected = {f"/x/{name}" for name in others} | {f"/x/in/{p}" for p in packings} | {"/x/in/plain", "/y/a.tar", "/u/page", "/named"}
        assert set(docker.ok("run", "--rm", image, "find", "/x", "/y", "/u", "/named", "-type", "f").split()) == expected
        assert docker.ok("run", "--rm", image, "stat", "-c", "%a %Y", "/u/page") == "600 1000000000"
        assert "failed to GET" in docker.fails("build", context(f"ADD {url}x /u"))
    finally:
        server.shutdown()


def test_a_parents_triggers_run_in_the_child(docker, context, image):
    docker.ok("build", "-t", image, context("ONBUILD COPY file /from-child\nONBUILD RUN cat /from-child"))
    try:
        r = docker.run("build", "-t", f"{image}-child", context(f"FROM {image}\nCMD x", file="content"))
        assert "# Executing 2 build triggers\n" in said(r) and "content" in r.stdout
        assert docker.inspect(f"{image}-child", "image")["Config"].get("OnBuild") is None
    finally:
        docker.run("rmi", "-f", f"{image}-child")


@pytest.mark.parametrize("dockerfile, code, message", [
    ("RUN exit 7", 7, "The command '/bin/sh -c exit 7' returned a non-zero code: 7"),
    ("COPY nosuch /", 1, "COPY failed: file not found in build context or excluded by .dockerignore: stat nosuch: file does not exist"),
    ("COPY ../../etc/passwd /", 1, "COPY failed: forbidden path outside the build context: ../../etc/passwd ()"),
    ("FROO x", 1, "Error response from daemon: dockerfile parse error on line 2: unknown instruction: FROO (did you mean FROM?)"),
    ("RUN --mount=type=cache,target=/c true", 1, "the --mount option requires BuildKit. Refer to https://docs.docker.com/go/buildkit/ to learn how to build images with BuildKit enabled"),
    ("COPY --from=3 a b", 1, "invalid from flag value 3: index out of bounds"),
    ("RUN touch /file\nVOLUME /file", 1, "cannot mount volume over existing file, file exists /file"),
    ("ENV A=${B", 1, "failed to process \"${B\": syntax error: missing '}'"),
])
def test_a_build_that_fails_says_why_as_docker_does(cli, context, dockerfile, code, message):
    r = cli.run("build", context(dockerfile))
    assert r.returncode == code and r.stderr.strip().endswith(message), r.stderr
    cli.run("container", "prune", "-f")


def test_a_volume_that_is_not_absolute_begins_at_the_root(docker, context, image):
    docker.ok("build", "-t", image, context("VOLUME data\nRUN test -d /data"))
    assert docker.ok("run", "--rm", image, "sh", "-c", "mount | grep -c ' /data '") == "1"


def test_a_failed_step_leaves_its_container_unless_told_otherwise(docker, context):
    docker.run("build", "--force-rm", context("RUN false"))
    assert docker.ok("ps", "-aq") == ""
    docker.run("build", context("RUN echo seen >/trace; false"))
    assert docker.ok("diff", docker.ok("ps", "-lq")) == "A /trace"


def test_a_client_that_goes_away_ends_its_build(cli, context, engine):
    folder = context("RUN echo begun; exec sleep 1000")
    images = cli.ok("images", "-aq")
    process = cli.start("build", "--no-cache", folder)
    wait_for("the step", lambda: cli.ok("ps", "-q"))
    process.send_signal(signal.SIGINT)
    process.wait(10)
    wait_for("the end of the step", lambda: cli.ok("ps", "-aq") == "")
    builds = Path(engine.folder) / "data/daemon/builds"
    if builds.exists():
        wait_for("the end of its files", lambda: not list(builds.iterdir()))
    assert cli.ok("images", "-aq") == images
    process.stdout.close()
    process.stderr.close()


def test_what_a_killed_daemon_was_building_is_cleared_away(docker, context, engine):
    process = docker.start("build", "--no-cache", context("RUN exec sleep 1000"))
    wait_for("the step", lambda: docker.ok("ps", "-q"))
    engine.kill("berthd")
    process.wait(10)
    process.stdout.close()
    process.stderr.close()
    engine.start()
    wait_for("the end of the step", lambda: docker.ok("ps", "-aq") == "")
    wait_for("the end of its files", lambda: not list((Path(engine.folder) / "data/daemon/builds").iterdir()))


def test_a_quiet_build_says_its_id_and_a_failed_one_everything(cli, context, image, tmp_path):
    folder = context("RUN echo loud")
    r = cli.run("build", "-q", "-t", image, "--iidfile", tmp_path / "id", folder)
    assert r.stdout.strip() == cli.inspect(image, "image")["Id"] == (tmp_path / "id").read_text().strip()
    assert "loud" in cli.fails("build", "-q", "--no-cache", context("RUN echo loud; false"), code=1)
    cli.run("container", "prune", "-f")


def test_contexts_come_from_standard_input_too(cli, context, image):
    assert "from a Dockerfile alone" in cli.run("build", "-t", image, "-", input=f"FROM {IMAGE}\nRUN echo from a Dockerfile alone").stdout
    archive = tar(**{"other/File": f"FROM {IMAGE}\nCOPY a /a\nRUN cat /a".encode(), "a": b"from an archive"})
    for body in (archive, *(pack(program, archive) for program in ("gzip", "bzip2", "xz", "zstd"))):
        assert b"from an archive" in cli.run("build", "--no-cache", "-f", "other/File", "-", input=body).stdout
    folder = context("RUN false", file="kept")
    assert "kept" in cli.run("build", "-f", "-", folder, input=f"FROM {IMAGE}\nCOPY . /all\nRUN ls /all; cat /all/file").stdout


def test_ignored_files_are_not_sent_and_the_dockerfile_can_be_one(cli, context):
    folder = context("COPY . /all\nRUN find /all -type f | sort", a="", b="", **{"d/keep": "", "d/drop": "", ".dockerignore": "# comment\n*\n!d/keep\n!a\n"})
    out = cli.run("build", "--no-cache", folder).stdout
    assert re.findall(r"^/all/\S+", out, re.M) == ["/all/a", "/all/d/keep"]
    cli.run("image", "prune", "-f")


def test_limits_and_networks_of_a_request_hold_for_its_steps(docker, context):
    folder = context("RUN ulimit -n; ls /sys/class/net; grep named /etc/hosts; df -k /dev/shm | tail -1")
    out = docker.run("build", "--no-cache", "--ulimit", "nofile=77:77", "--network", "none", "--add-host", "named:1.2.3.4", "--shm-size", "8m", folder).stdout
    assert "\n77\n" in out.replace("\r", "") and "eth0" not in out and " 8192 " in out
    out = docker.run("build", "--no-cache", "--add-host", "named:1.2.3.4", folder).stdout
    assert "1.2.3.4\tnamed" in out and "eth0" in out


def test_images_from_elsewhere_serve_as_a_cache(docker, context, image, tmp_path):
    folder = context("RUN date +%N >/when\nCOPY file /file\nCMD x", file="1")
    docker.ok("build", "-t", image, folder)
    when = docker.ok("run", "--rm", image, "cat", "/when")
    docker.ok("save", "-o", tmp_path / "saved", image)
    docker.ok("rmi", image)
    docker.ok("load", "-i", tmp_path / "saved")
    assert "Using cache" not in docker.run("build", "-t", f"{image}:other", folder).stdout
    docker.ok("rmi", f"{image}:other")
    assert docker.run("build", "-t", f"{image}:again", "--cache-from", f"nosuch,{image}", folder).stdout.count("Using cache") == 3
    assert docker.ok("run", "--rm", f"{image}:again", "cat", "/when") == when
    docker.ok("rmi", f"{image}:again")


def post(engine, query, body, headers=()):
    """POST /build without a client's help: status and lines of the answer."""
    argv = ["curl", "-gs", "-m", "60", "-X", "POST", "--unix-socket", str(engine.socket), "-H", "Content-Type: application/x-tar", "--data-binary", "@-", "-w", "\n%{http_code}"]
    out = subprocess.run([*argv, f"http://berth/v1.44/build?{query}"], input=body, capture_output=True).stdout.decode()
    text, status = out.rsplit("\n", 1)
    return int(status), [json.loads(line) for line in text.splitlines() if line.strip()]


@pytest.mark.parametrize("query, status, message", [
    ("version=2", 501, "BuildKit"), ("squash=1", 400, "squash is only supported with experimental mode"), ("remote=https://example.com/x.git", 501, "remote context"), ("version=3", 400, "invalid version"),
    ("t=BAD", 400, "invalid reference format"), ("buildargs=[", 400, "error reading build args"), ("dockerfile=nosuch", 500, "Cannot locate specified Dockerfile: nosuch"), ("target=x", 400, 'target stage "x" could not be found'),
])
def test_what_cannot_be_built_is_refused_before_anything_is(engine, query, status, message):
    code, lines = post(engine, query, tar(Dockerfile=f"FROM {IMAGE}\nRUN false".encode()))
    assert code == status and message in lines[0]["message"]


def test_the_stream_is_the_classic_builders(engine, docker, image):
    status, lines = post(engine, f"t={image}&q=0", tar(Dockerfile=f"FROM {IMAGE}\nLABEL a=b".encode()))
    assert status == 200 and lines[0] == {"stream": f"Step 1/2 : FROM {IMAGE}\n"} and lines[-1] == {"stream": f"Successfully tagged {image}:latest\n"}
    assert {"aux": {"ID": docker.inspect(image, "image")["Id"]}} in lines
    status, lines = post(engine, "", tar(Dockerfile=f"FROM {IMAGE}\nRUN exit 3".encode()))
    assert status == 200 and lines[-1] == {"errorDetail": {"code": 3, "message": "The command '/bin/sh -c exit 3' returned a non-zero code: 3"}, "error": "The command '/bin/sh -c exit 3' returned a non-zero code: 3"}


def test_a_context_or_an_image_with_hostile_names_reaches_nothing_of_the_host(engine, docker, context, image, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path, link in (("way", str(outside)), ("up", "../../../../../../../.." + str(outside))):
            member = tarfile.TarInfo(path)
            (member.type, member.linkname) = (tarfile.SYMTYPE, link)
            archive.addfile(member)
        for path, content in (("Dockerfile", f"FROM {IMAGE}\nCOPY up /x\n".encode()), ("way/evil", b"1"), ("up/evil", b"2")):
            member = tarfile.TarInfo(path)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    post(engine, "", buffer.getvalue())
    assert not list(outside.iterdir())
    status, lines = post(engine, "", tar(**{"../../evil": b"1", "bad\udcff": b"2", "Dockerfile": f"FROM {IMAGE}\nCOPY evil /\nCOPY . /all\nRUN ls -a /all /evil".encode()}))
    assert status == 200 and "Successfully built" in lines[-1]["stream"], "a name that leads out is taken as one of the context's top, as by Docker"
    assert not list((Path(engine.folder) / "data/daemon/builds").iterdir())
    # An image whose directories lead elsewhere, in each way that COPY writes: a file, a directory, an archive.
    folder = context(f"RUN ln -s {outside} /direct && ln -s ../../../../../../../..{outside} /up\nCOPY file /direct/\nCOPY dir /up/\nADD a.tar /direct\nWORKDIR /up/made", file="1", **{"dir/two": "2", "a.tar": tar(three=b"3")})
    docker.ok("build", "-t", image, folder)
    assert not list(outside.iterdir())
    assert docker.ok("run", "--rm", image, "ls", str(outside)).split() == ["file", "made", "three", "two"]
    link = context("COPY link /got\nRUN cat /got", link="")
    (link / "link").unlink()
    (link / "link").symlink_to("/etc/hostname")
    assert "file does not exist" in docker.fails("build", link), "a link is followed inside of the context"


def test_a_step_that_writes_much_waits_for_a_client_that_reads_slowly(engine, docker):
    body = tar(Dockerfile=f"FROM {IMAGE}\nRUN head -c 30000000 /dev/zero | tr '\\0' x | fold -w 100".encode())
    s = socket.socket(socket.AF_UNIX)
    s.connect(str(engine.socket))
    s.sendall(f"POST /v1.44/build?nocache=1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    step = wait_for("the step", lambda: docker.ok("ps", "-q"))
    written = []

    def is_held_up():
        written.append(sum(int(re.search(r"wchar: (\d+)", Path(f"/proc/{pid}/io").read_text())[1]) for pid in docker.ok("top", step, "-o", "pid").split()[1:]))
        return written[-1] > 0 and len(written) > 5 and len(set(written[-5:])) == 1

    wait_for("a step that cannot go on", is_held_up, every=0.05)
    resident = int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{engine.berthd_pid()}/status").read_text())[1])
    assert resident < 200_000, f"nothing piles up in the daemon: {resident} kB"
    s.close()
    wait_for("the end of the step", lambda: docker.ok("ps", "-aq") == "")


def test_the_places_of_the_engines_mounts_are_not_in_the_image(docker, context, image, name):
    docker.ok("build", "-t", image, context(f"FROM scratch\nCOPY --from={IMAGE} /bin/busybox /bin/sh\nRUN true\nRUN : >/made"))
    sizes = docker.ok("history", "--format", "{{.Size}}", image).splitlines()
    assert sizes[1] == "0B", "a step that changed nothing has no layer"
    docker.ok("create", "--name", name, image, "sh")
    exported = subprocess.run(docker.argv("export", name), capture_output=True, check=True, env=docker.env()).stdout
    assert sorted(tarfile.open(fileobj=io.BytesIO(exported)).getnames()) == ["bin", "bin/sh", "made"]
