"""docker cp, diff and export: files into and out of containers that run, that do not, and that never did."""
import io
import json
import random
import subprocess
import tarfile
from pathlib import Path

import pytest

from conftest import IMAGE
from engine import ForeignEngine, wait_for


@pytest.fixture(params=["created", "running", "stopped"])
def container(request, docker, name):
    """A container in each of its states, with a volume, a read-only volume and a file of its own."""
    docker.ok("create", "--name", name, "-v", f"{name}-v:/data", "-v", f"{name}-r:/fixed:ro", IMAGE, "sh", "-c",
              "echo own > /own; ln -s /own /link; ln -s /data /to-data; ln -s nowhere /broken; exec sleep 1000")
    if request.param != "created":
        docker.ok("start", name)
        docker.ok("exec", name, "sh", "-c", "until [ -h /broken ]; do :; done")
    if request.param == "stopped":
        docker.ok("kill", name)
    yield name
    docker.ok("rm", "-f", "-v", name)
    docker.ok("volume", "rm", f"{name}-v", f"{name}-r")


def tree(tmp_path):
    (tmp_path / "dir" / "sub").mkdir(parents=True)
    (tmp_path / "dir" / "a").write_text("a\n")
    (tmp_path / "dir" / "a").chmod(0o4750)
    (tmp_path / "dir" / "sub" / "b").write_text("b\n")
    (tmp_path / "dir" / "l").symlink_to("a")
    return tmp_path / "dir"


def put(engine, name, path, archive, query="", content_type="application/x-tar"):
    """PUT …/archive; returns status and message."""
    r = subprocess.run(["curl", "-s", "-m", "30", "-X", "PUT", "--unix-socket", str(engine.socket), "-H", f"Content-Type: {content_type}", "--data-binary", "@-",
                        "-w", "\n%{http_code}", f"http://berth/v1.44/containers/{name}/archive?path={path}{query}"], input=archive, capture_output=True)
    body, status = r.stdout.decode().rsplit("\n", 1)
    return int(status), json.loads(body)["message"] if body.strip() else ""


def archive(*members):
    """A tar of (name, content) or (name, type, link) members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, what, *link in members:
            info = tarfile.TarInfo(name)
            if not link:
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
            else:
                info.type, info.linkname = what, link[0]
                tar.addfile(info)
    return out.getvalue()


def test_a_tree_goes_in_and_comes_out_the_same(cli, container, tmp_path):
    cli.ok("cp", tree(tmp_path), f"{container}:/tmp/in")
    cli.ok("cp", f"{container}:/tmp/in", tmp_path / "out")
    out = tmp_path / "out"
    assert (out / "a").read_text() == "a\n" and (out / "a").stat().st_mode & 0o7777 == 0o4750
    assert (out / "sub" / "b").read_text() == "b\n" and (out / "l").readlink().name == "a"
    assert "/tmp/in/sub/b" in cli.ok("diff", container)


def test_volumes_are_seen(cli, container, tmp_path):
    (tmp_path / "f").write_text("volume\n")
    cli.ok("cp", tmp_path / "f", f"{container}:/data/f")
    assert cli.ok("run", "--rm", "-v", f"{container}-v:/d", IMAGE, "cat", "/d/f") == "volume"
    cli.ok("cp", f"{container}:/data/f", tmp_path / "g")
    assert (tmp_path / "g").read_text() == "volume\n"


def test_a_read_only_volume_is_not_written(cli, container, tmp_path):
    (tmp_path / "f").write_text("x")
    assert "mounted volume is marked read-only" in cli.fails("cp", tmp_path / "f", f"{container}:/fixed/f")


def test_what_is_not_there_is_named(cli, container, tmp_path):
    assert f"Could not find the file /no/such in container {container}" in cli.fails("cp", f"{container}:/no/such", tmp_path)
    (tmp_path / "f").write_text("x")
    assert f"Could not find the file /no/such in container {container}" in cli.fails("cp", tmp_path / "f", f"{container}:/no/such/f")


def test_a_directory_does_not_become_a_file(docker, container, tmp_path):
    (tmp_path / "bin").write_text("x")
    assert "cannot overwrite directory" in docker.fails("cp", tmp_path / "bin", f"{container}:/")


def test_links_are_told_and_followed_on_request(docker, container, tmp_path):
    if "own" not in docker.ok("diff", container):
        pytest.skip("a container that never ran made no links")
    docker.ok("cp", f"{container}:/link", tmp_path / "link")
    assert str((tmp_path / "link").readlink()) == "/own"
    docker.ok("cp", "-L", f"{container}:/link", tmp_path / "followed")
    assert (tmp_path / "followed").read_text() == "own\n"
    (tmp_path / "f").write_text("through\n")
    docker.ok("cp", tmp_path / "f", f"{container}:/to-data/")
    assert docker.ok("run", "--rm", "-v", f"{container}-v:/d", IMAGE, "cat", "/d/f") == "through"


def test_a_read_only_root_is_not_written(cli, name, tmp_path):
    (tmp_path / "f").write_text("x")
    cli.ok("run", "-d", "--name", name, "--read-only", "-v", "/data", IMAGE, "sleep", "1000")
    assert "container rootfs is marked read-only" in cli.fails("cp", tmp_path / "f", f"{name}:/f")
    cli.ok("cp", tmp_path / "f", f"{name}:/data/f")
    assert cli.ok("exec", name, "cat", "/data/f") == "x"


def test_files_that_the_engine_mounts_are_shown_and_stay(docker, name, tmp_path):
    docker.ok("run", "-d", "--name", name, "--hostname", "shown", IMAGE, "sleep", "1000")
    docker.ok("cp", f"{name}:/etc/hostname", tmp_path / "hostname")
    assert (tmp_path / "hostname").read_text() == "shown\n"
    (tmp_path / "hosts").write_text("x")
    assert "busy" in docker.fails("cp", tmp_path / "hosts", f"{name}:/etc/hosts")
    assert "localhost" in docker.ok("exec", name, "cat", "/etc/hosts")


def test_files_belong_to_the_user_when_asked_for(engine, docker, name):
    if isinstance(engine, ForeignEngine):
        pytest.skip("Docker before 28 looks the user up with getent of the container")
    docker.ok("create", "--name", name, "-u", "1000:1001", IMAGE, "stat", "-c", "%u:%g", "/tmp/f")
    assert put(engine, name, "/tmp", archive(("f", b"text")), "&copyUIDGID=1") == (200, "")
    assert docker.ok("start", "-a", name) == "1000:1001"


@pytest.mark.parametrize("members,expected", [
    ([("../../../berth-test-escape", b"text")], "berth-test-escape"),
    ([("hard", tarfile.LNKTYPE, "../../../etc/passwd")], "hardlink"),
    ([("up", tarfile.SYMTYPE, "../../../../../../tmp"), ("up/../../x/../../../berth-test-escape", b"text")], "berth-test-escape"),
])
def test_an_archive_does_not_lead_out(engine, docker, name, members, expected):
    docker.ok("create", "--name", name, IMAGE)
    status, message = put(engine, name, "/tmp", archive(*members))
    assert status >= 400 and expected in message
    assert subprocess.run(["ls", "/berth-test-escape"], capture_output=True).returncode != 0


def test_an_absolute_link_leads_within_the_container(engine, docker, name, tmp_path):
    """The swap that CVE-2018-15664 is about ends inside, whoever wins."""
    docker.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", f"mkdir -p /a {tmp_path}; ln -s {tmp_path} /b; while :; do mv /a /t; mv /b /a; mv /t /b; done")
    (tmp_path / "f").write_text("host")
    for _ in range(60):
        put(engine, name, "/a", archive(("written", b"text")))
        docker.run("cp", f"{name}:/a/f", "-")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["f"], "a file of the container on the host"


def test_a_volume_behind_an_absolute_link_is_found(docker, name, tmp_path):
    """As /var/run -> /run: the mount stands where the link leads inside of the container."""
    docker.ok("run", "--name", f"{name}-made", IMAGE, "ln", "-s", "/real", "/linked")
    docker.ok("commit", f"{name}-made", f"{name}-image")
    docker.ok("create", "--name", name, "-v", f"{name}:/linked/data", f"{name}-image", "true")
    (tmp_path / "f").write_text("text")
    docker.ok("cp", tmp_path / "f", f"{name}:/linked/data/f")
    assert docker.ok("run", "--rm", "-v", f"{name}:/d", IMAGE, "cat", "/d/f") == "text"
    docker.ok("rm", "-f", name, f"{name}-made")
    docker.ok("rmi", f"{name}-image")
    docker.ok("volume", "rm", name)


@pytest.mark.parametrize("program,magic", [("xz", b"\xfd7zXZ\x00"), ("unpigz", b"\x1f\x8b\x08\x00"), ("zstd", b"\x28\xb5\x2f\xfd")])
def test_no_program_of_a_container_is_run(engine, docker, name, program, magic):
    """GHSA-x86f-5xw2-fm2r: unpacking must not start what the image calls a decompressor."""
    docker.ok("run", "-d", "--name", name, IMAGE, "sh", "-c", f"mkdir -p /usr/bin; printf '#!/bin/sh\\ntouch /ran /tmp/ran\\n' > /usr/bin/{program}; chmod 755 /usr/bin/{program}; cp /usr/bin/{program} /bin/; exec sleep 1000")
    docker.ok("exec", name, "sh", "-c", f"until [ -x /bin/{program} ]; do :; done")
    status, message = put(engine, name, "/tmp", magic + b"\0" * 600)
    assert status >= 400, message
    assert docker.run("exec", name, "ls", "/ran", "/tmp/ran").returncode != 0


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "zstd"])
def test_a_packed_archive_is_unpacked(engine, docker, name, container, program):
    def packed(data):
        return subprocess.run([program, "-c"], input=data, capture_output=True, check=True).stdout

    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        info = tarfile.TarInfo("packed/file")
        info.size = 300_000
        tar.addfile(info, io.BytesIO(random.Random(1).randbytes(info.size)))
    assert docker.run("cp", "-", f"{container}:/data", input=packed(plain.getvalue())).returncode == 0
    out = subprocess.run(docker.argv("cp", f"{container}:/data/packed/file", "-"), env=docker.env(), capture_output=True, check=True).stdout
    assert tarfile.open(fileobj=io.BytesIO(out)).extractfile("file").read() == random.Random(1).randbytes(300_000)
    # Damaged in the middle, and cut off: an error that says what the program said, and no program that stays.
    whole = packed(plain.getvalue())
    status, message = put(engine, container, "/data", whole[:1000])
    assert status == 500 and "end" in message.lower(), message
    status, message = put(engine, container, "/data", whole[:200] + b"damaged" * 20 + whole[340:])
    assert status == 500, message
    assert put(engine, container, "/data", packed(b"no archive" * 100))[0] == 500
    wait_for("the end of the programs", lambda: not [p for p in children(engine.berthd_pid()) if p != engine.supervisor_pid()])


def children(pid):
    """Those of every thread. A thread that ends while they are read gives its own to another one: read again."""
    while True:
        try:
            return threads_children(pid)
        except (FileNotFoundError, ProcessLookupError):
            assert Path(f"/proc/{pid}").exists()


def threads_children(pid):
    return [int(p) for task in Path(f"/proc/{pid}/task").iterdir() for p in (task / "children").read_text().split()]


@pytest.mark.parametrize("body,status,expected", [(b"", 200, ""), (b"garbage", 500, "unexpected EOF"), (b"g" * 600, 500, "invalid tar header")])
def test_what_is_no_archive_is_refused(engine, docker, name, body, status, expected):
    docker.ok("create", "--name", name, IMAGE)
    assert put(engine, name, "/tmp", body) == (status, f"archive/tar: {expected}" if "header" in expected else expected)


def test_requests_without_a_path_or_a_container(engine, docker, name):
    docker.ok("create", "--name", name, IMAGE)
    assert engine.request("GET", f"/containers/{name}/archive")[0] == 400
    assert engine.request("GET", "/containers/nosuch/archive?path=/")[0] == 404
    assert put(engine, name, "/bin/sh", b"") == (400, "extraction point is not a directory") or isinstance(engine, ForeignEngine)


def test_diff_tells_what_changed(cli, name):
    cli.ok("run", "--name", name, "-v", "/volume", IMAGE, "sh", "-c", "echo x > /new; rm /bin/true; chmod 751 /root; mkdir -p /d/e; touch /etc/passwd; rm -rf /var/spool; mkdir /var/spool")
    changes = cli.ok("diff", name).splitlines()
    assert {"A /new", "A /d", "A /d/e", "A /volume", "C /bin", "D /bin/true", "C /root"} <= set(changes)
    assert not [c for c in changes if "/etc/hosts" in c or "/dev" in c or "/proc" in c or "resolv.conf" in c], "what the engine made for itself"


def test_export_is_the_root_without_volumes(cli, name, tmp_path):
    cli.ok("run", "--name", name, "-v", f"{name}:/volume", IMAGE, "sh", "-c", "echo x > /new; echo y > /volume/f; ln /new /hard; mkfifo /fifo")
    cli.ok("export", "-o", tmp_path / "root.tar", name)
    with tarfile.open(tmp_path / "root.tar") as tar:
        members = {m.name: m for m in tar}
    assert "bin/sh" in members and "volume/f" not in members and members["volume"].isdir() and members["fifo"].isfifo()
    assert {members["new"].islnk(), members["hard"].islnk()} == {True, False}
    cli.ok("rm", name)
    cli.ok("volume", "rm", name)
