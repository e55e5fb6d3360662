"""Images: from a real registry and back, from archives, and from registries that lie."""
import json
import re
import subprocess
import tarfile
import time

import pytest

from conftest import IMAGE, busybox_image
from registry import LyingRegistry, Registry, free_port, layer


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    r.push("busybox", "latest", [busybox_image()], {"Cmd": ["sh"], "Env": ["PATH=/bin"]})
    r.push("layered", "v1", [busybox_image(), layer({"etc/": b"", "etc/one": b"1", "gone": b"x"}), layer({".wh.gone": b"", "etc/one": b"2"})],
           {"Cmd": ["cat", "/etc/one"], "Env": ["PATH=/bin", "KIND=layered"], "WorkingDir": "/work", "Labels": {"a": "b"}})
    yield r
    r.stop()


@pytest.fixture
def pulled(cli, registry):
    reference = f"{registry.name}/busybox"
    cli.ok("pull", reference)
    yield reference
    cli.run("rmi", "-f", reference)


def test_pull_prints_what_the_stock_client_draws(cli, registry):
    registry.push(f"drawn-{cli.name}", "latest", [layer({"unique": cli.name.encode()})])  # a layer that no other test has brought here
    reference = f"{registry.name}/drawn-{cli.name}"
    r = cli.run("pull", reference)
    assert r.returncode == 0, r.stderr
    assert re.search(rf"latest: Pulling from drawn-{cli.name}\n", r.stdout)
    assert re.search(r"[0-9a-f]{12}: Pull complete", r.stdout)
    assert re.search(r"Digest: sha256:[0-9a-f]{64}\n", r.stdout)
    assert f"Status: Downloaded newer image for {reference}:latest" in r.stdout
    assert f"Status: Image is up to date for {reference}:latest" in cli.ok("pull", reference)
    cli.ok("rmi", reference)
    assert reference not in cli.ok("images")


def test_a_pulled_image_runs(cli, pulled):
    assert cli.ok("run", "--rm", pulled, "echo", "it runs") == "it runs"


def test_layers_stack_with_their_deletions_and_the_config_holds(cli, registry):
    reference = f"{registry.name}/layered:v1"
    assert cli.run("run", "--rm", reference).stdout == "2"
    assert cli.ok("run", "--rm", reference, "sh", "-c", "pwd; echo $KIND; test -e /gone || echo deleted") == "/work\nlayered\ndeleted"
    assert cli.inspect(reference, "image")["Config"]["Labels"] == {"a": "b"}
    assert len(cli.ok("history", "-q", reference).split()) == 3
    cli.ok("rmi", reference)


def test_tag_save_remove_and_load_bring_the_same_image_back(cli, pulled, tmp_path):
    cli.ok("tag", pulled, "saved:one")
    id = cli.ok("inspect", "-f", "{{.Id}}", "saved:one")
    archive = tmp_path / "image.tar"
    cli.ok("save", "-o", archive, "saved:one")
    assert "manifest.json" in tarfile.open(archive).getnames()
    assert "Untagged: saved:one" in cli.ok("rmi", "saved:one")
    assert "Loaded image: saved:one" in cli.ok("load", "-i", archive)
    assert cli.ok("inspect", "-f", "{{.Id}}", "saved:one") == id
    cli.ok("rmi", "saved:one")


def test_images_lists_repository_tag_id_and_size(cli, pulled):
    line = next(l for l in cli.ok("images").splitlines() if l.startswith(pulled))
    assert re.match(rf"{pulled}\s+latest\s+[0-9a-f]{{12}}\s+.*\s+[\d.]+[kM]B", line)


def test_push_and_pull_again(cli, pulled, registry):
    target = f"{registry.name}/pushed:{cli.name}"
    cli.ok("tag", pulled, target)
    out = cli.ok("push", target)
    assert re.search(rf"{cli.name}: digest: sha256:[0-9a-f]{{64}} size: \d+", out)
    cli.ok("rmi", target)
    cli.ok("pull", "-q", target)
    cli.ok("rmi", target)


def test_removing_an_image_in_use_is_refused(cli, name):
    cli.ok("run", "-d", "--name", name, IMAGE, "sleep", "1000")
    id = cli.inspect(IMAGE, "image")["Id"]
    cli.ok("tag", IMAGE, "second:tag")
    assert "unable to delete" in cli.fails("rmi", id) or "conflict" in cli.fails("rmi", id)
    cli.ok("rmi", "second:tag")


@pytest.mark.parametrize("lie,expected", [
    ("manifest404", r"manifest.*(unknown|not found)"),
    ("error500", r"500"),
    ("digest", r"(?i)(digest|verif|checksum)"),
    ("truncated", r"(?i)(unexpected (eof|end)|unexpected time|truncated|short|size)"),
])
def test_a_lying_registry_gives_a_clear_error_and_nothing_stays(cli, engine, lie, expected):
    liar = LyingRegistry(lie)
    ingests = lambda: {p for p in (engine.folder / "data").glob("**/ingest/*")}
    before = ingests()
    try:
        error = cli.fails("pull", f"{liar.name}/liar", timeout=120)
        assert re.search(expected, error), error
        assert "liar" not in cli.ok("images", "-a")
        # what came of an interrupted body waits for the next pull, which goes on from there
        assert lie == "truncated" or ingests() <= before
    finally:
        liar.stop()


def test_a_registry_that_is_not_there_is_named(cli):
    port = free_port()
    assert f"127.0.0.1:{port}: connect: connection refused" in cli.fails("pull", f"127.0.0.1:{port}/busybox")


def test_an_unknown_image_is_named(cli):
    assert "No such image: nosuch:latest" in cli.fails("rmi", "nosuch")
    assert "No such image" in cli.fails("image", "inspect", "nosuch")


@pytest.mark.parametrize("reference", ["upper/CASE", "a b", "x:", "-x", "a/../b"])
def test_a_malformed_reference_is_refused(cli, reference):
    error = cli.fails("pull", "--", reference)
    assert "invalid reference format" in error or "repository name must be lowercase" in error, error


def test_an_archive_made_by_id_gives_the_image_no_name(cli, pulled, tmp_path):
    cli.ok("save", "-o", str(tmp_path / "image.tar"), cli.inspect(pulled, "image")["Id"])
    with tarfile.open(tmp_path / "image.tar") as tar:
        index, manifest = (json.load(tar.extractfile(name)) for name in ("index.json", "manifest.json"))
    assert len(index["manifests"]) == 1 and not index["manifests"][0].get("annotations")
    assert not manifest[0].get("RepoTags")


def test_prune_takes_the_names_that_no_container_was_made_by(cli, name):
    cli.ok("run", "--name", name, IMAGE, "true")
    cli.ok("commit", "-c", f"LABEL prune={name}", name, f"{name}:b")
    for tag in "acd":
        cli.ok("tag", f"{name}:b", f"{name}:{tag}")
    cli.ok("rm", name)
    cli.ok("create", "--name", name, f"{name}:c")
    out = cli.ok("image", "prune", "-af", "--filter", f"label=prune={name}")
    assert sorted(re.findall(r"untagged: (\S+)", out)) == [f"{name}:{tag}" for tag in "abd"]
    cli.ok("rm", name)
    cli.ok("tag", f"{name}:c", f"{name}:e")
    cli.ok("create", "--name", name, cli.inspect(f"{name}:c", "image")["Id"])
    assert re.findall(r"untagged: (\S+)", cli.ok("image", "prune", "-af", "--filter", f"label=prune={name}")) == [f"{name}:c"], "one name stays for the ID"
    cli.ok("rm", name)
    assert f"deleted: sha256:" in cli.ok("image", "prune", "-af", "--filter", f"label=prune={name}")


def test_changes_of_a_commit_see_the_variables_before_them(cli, name):
    cli.ok("run", "--name", name, "-e", "A=1", "-e", "B=2", IMAGE, "true")
    cli.ok("commit", "-c", "ENV A=$B$A C=${A}x D=${NONE:-other} E='$A' F=${A:+set}", "-c", "WORKDIR /w/$C", "-c", "LABEL l=\"$A of $B\"", name, f"{name}:changed")
    config = cli.inspect(f"{name}:changed", "image")["Config"]
    cli.ok("rm", name)
    cli.ok("rmi", f"{name}:changed")
    entries = [entry for entry in config["Env"] if not entry.startswith("PATH=")]
    # The stock client gives a container its variables in any order.
    assert sorted(entries[:2]) == ["A=21", "B=2"] and entries[2:] == ["C=1x", "D=other", "E=$A", "F=set"]
    assert config["WorkingDir"] == "/w/1x" and config["Labels"] == {"l": "21 of 2"}


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "zstd"])
def test_a_packed_archive_is_imported(docker, name, program):
    packed = subprocess.run([program, "-c"], input=busybox_image(), capture_output=True, check=True).stdout
    subprocess.run(docker.argv("import", "-", f"{name}:packed"), env=docker.env(), input=packed, check=True, capture_output=True)
    assert docker.ok("run", "--rm", f"{name}:packed", "/bin/busybox", "echo", "unpacked") == "unpacked"
    docker.ok("rmi", f"{name}:packed")
    r = subprocess.run(docker.argv("import", "-", f"{name}:cut"), env=docker.env(), input=packed[:5000], capture_output=True)
    assert r.returncode == 1 and b"end" in r.stderr.lower(), r.stderr
    assert name not in docker.ok("images")


def test_an_image_of_another_platform_can_be_inspected(cli, name):
    cli.ok("import", "--platform", "linux/riscv64", "-", f"{name}:foreign", input=busybox_image())
    seen = cli.inspect(f"{name}:foreign", "image")
    cli.ok("rmi", f"{name}:foreign")
    assert (seen["Os"], seen["Architecture"]) == ("linux", "riscv64") and seen["Created"]


def test_nothing_waits_when_a_transfer_is_done(cli, tmp_path):
    """The end of the events and the answer come in either order."""
    began = time.monotonic()
    for _ in range(20):
        cli.ok("save", "-o", str(tmp_path / "image.tar"), IMAGE)
        cli.ok("load", "-i", str(tmp_path / "image.tar"))
    assert time.monotonic() - began < 10, "40 transfers of a small image take no two seconds each"
