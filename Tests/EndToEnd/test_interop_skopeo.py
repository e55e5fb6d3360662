"""skopeo and umoci: they read what is pushed, saved and exported here, and what they write is read here."""
import io
import json
import shutil
import subprocess
import tarfile

import pytest

from conftest import IMAGE, busybox_image
from registry import Registry, layer

pytestmark = pytest.mark.skipif(not (shutil.which("skopeo") and shutil.which("umoci")), reason="skopeo or umoci is not installed (Debian packages)")


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    r = Registry(tmp_path_factory.mktemp("registry"))
    yield r
    r.stop()


@pytest.fixture(autouse=True)
def policy(tmp_path, monkeypatch):
    """skopeo's and umoci's own folders, and no rules about signatures."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def tool(*args, cwd=None):
    r = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=60, cwd=cwd)
    assert r.returncode == 0, f"{args}: {r.stderr}"
    return r.stdout


def skopeo(command, *args):
    return tool("skopeo", "--insecure-policy", command, *args)


@pytest.fixture
def image(docker, name):
    """An image of two layers: the second changes, removes and links files of the first."""
    docker.ok("run", "--name", name, IMAGE, "sh", "-c", "echo new >/etc/new; rm /bin/yes; mkdir -p /d; ln /etc/new /d/hard; ln -s hard /d/soft; chmod 4755 /etc/new; touch -d @1000000000 /etc/new")
    docker.ok("commit", "-c", "ENV KIND=made", "-c", 'CMD ["cat", "/etc/new"]', name, f"{name}:v1")
    docker.ok("rm", name)
    yield f"{name}:v1"
    docker.run("rmi", "-f", f"{name}:v1")


def config_of(docker, image):
    config = docker.inspect(image, "image")
    return config["Config"]["Cmd"], [e for e in config["Config"]["Env"] if e.startswith("KIND")], config["RootFS"]["Layers"]


def test_skopeo_reads_what_save_writes_in_both_forms_and_load_reads_skopeo_s(docker, image, tmp_path):
    before = config_of(docker, image)
    docker.ok("save", "-o", tmp_path / "saved.tar", image)
    for form in ("docker-archive", "oci-archive"):
        seen = json.loads(skopeo("inspect", "--config", f"{form}:{tmp_path}/saved.tar"))
        assert seen["config"]["Cmd"] == ["cat", "/etc/new"] and seen["rootfs"]["diff_ids"] == before[2]
    # Through skopeo's own forms and back.
    skopeo("copy", f"oci-archive:{tmp_path}/saved.tar", f"oci:{tmp_path}/layout:{image}")
    skopeo("copy", f"oci:{tmp_path}/layout:{image}", f"docker-archive:{tmp_path}/back.tar:{image}")
    skopeo("copy", f"docker-archive:{tmp_path}/saved.tar", f"oci-archive:{tmp_path}/oci.tar:{image}")
    for archive in ("back.tar", "oci.tar"):
        docker.ok("rmi", image)
        docker.ok("load", "-i", tmp_path / archive)
        assert config_of(docker, image) == before, archive
        assert docker.ok("run", "--rm", image) == "new"


def test_skopeo_reads_what_is_pushed_and_pushes_what_is_pulled(docker, image, registry, name, tmp_path):
    before = config_of(docker, image)
    reference = f"{registry.name}/{name}:v1"
    docker.ok("tag", image, reference)
    docker.ok("push", "-q", reference)
    seen = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{reference}"))
    assert seen["Digest"] in docker.ok("inspect", "-f", "{{.RepoDigests}}", reference)
    assert seen["Env"] and len(seen["Layers"]) == 2 and seen["Os"] == "linux"
    skopeo("copy", "--src-tls-verify=false", f"docker://{reference}", f"oci:{tmp_path}/layout:v1")
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:v1", f"docker://{registry.name}/{name}:v2")
    # As a schema 2 image too, packed anew.
    skopeo("copy", "--dest-tls-verify=false", "--format", "v2s2", f"oci:{tmp_path}/layout:v1", f"docker://{registry.name}/{name}:v3")
    docker.ok("rmi", reference, image)
    for tag in ("v2", "v3"):
        docker.ok("pull", "-q", f"{registry.name}/{name}:{tag}")
        assert config_of(docker, f"{registry.name}/{name}:{tag}") == before
        assert docker.ok("run", "--rm", f"{registry.name}/{name}:{tag}") == "new"
        docker.ok("rmi", f"{registry.name}/{name}:{tag}")


def listing(tar):
    """What an archive says about each file: kind, mode, owner, size, link and content."""
    return {m.name.strip("/").removeprefix("./"): (m.type, m.mode, m.uid, m.gid, m.size, m.linkname if m.issym() else "", tar.extractfile(m).read() if m.isfile() else b"")
            for m in tar.getmembers() if m.name.strip("./") and not m.islnk()}


def test_umoci_unpacks_what_is_saved_to_the_files_that_export_shows(docker, image, name, tmp_path):
    docker.ok("save", "-o", tmp_path / "saved.tar", image)
    skopeo("copy", f"oci-archive:{tmp_path}/saved.tar", f"oci:{tmp_path}/layout:v1")
    tool("umoci", "unpack", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle")
    docker.ok("create", "--name", name, image)
    exported = listing(tarfile.open(fileobj=io.BytesIO(subprocess.run(docker.argv("export", name), env=docker.env(), check=True, capture_output=True).stdout)))
    docker.ok("rm", name)
    subprocess.run(["tar", "-C", tmp_path / "bundle" / "rootfs", "-cf", tmp_path / "rootfs.tar", "--hard-dereference", "."], check=True)
    unpacked = listing(tarfile.open(tmp_path / "rootfs.tar"))
    assert {n: v for n, v in exported.items() if n in unpacked} == {n: v for n, v in unpacked.items() if n in exported}
    assert unpacked.keys() - exported.keys() <= {"d/hard", "etc/new"} and exported.keys() <= unpacked.keys(), exported.keys() ^ unpacked.keys()
    assert (tmp_path / "bundle/rootfs/d/hard").samefile(tmp_path / "bundle/rootfs/etc/new") and "bin/yes" not in unpacked


def test_an_image_that_umoci_changed_is_loaded_and_runs(docker, image, name, tmp_path):
    docker.ok("save", "-o", tmp_path / "saved.tar", image)
    skopeo("copy", f"oci-archive:{tmp_path}/saved.tar", f"oci:{tmp_path}/layout:v1")
    tool("umoci", "unpack", "--image", f"{tmp_path}/layout:v1", tmp_path / "bundle")
    rootfs = tmp_path / "bundle" / "rootfs"
    (rootfs / "etc/new").unlink()
    (rootfs / "by-umoci").write_text("umoci\n")
    shutil.rmtree(rootfs / "var")
    tool("umoci", "repack", "--image", f"{tmp_path}/layout:v2", tmp_path / "bundle")
    tool("umoci", "config", "--image", f"{tmp_path}/layout:v2", "--config.cmd", "cat", "--config.cmd", "/by-umoci", "--config.label", "by=umoci")
    skopeo("copy", f"oci:{tmp_path}/layout:v2", f"oci-archive:{tmp_path}/v2.tar:{name}:v2")
    docker.ok("load", "-i", tmp_path / "v2.tar")
    try:
        assert docker.ok("run", "--rm", f"{name}:v2") == "umoci"
        assert docker.ok("run", "--rm", f"{name}:v2", "sh", "-c", "cat /d/hard; ls /etc/new /var 2>/dev/null || true") == "new"
        assert docker.ok("inspect", "-f", "{{.Config.Labels.by}}", f"{name}:v2") == "umoci"
    finally:
        docker.run("rmi", f"{name}:v2")


def test_an_image_that_skopeo_and_umoci_made_from_nothing_runs(docker, registry, name, tmp_path):
    tool("umoci", "init", "--layout", tmp_path / "layout")
    tool("umoci", "new", "--image", f"{tmp_path}/layout:v1")
    (tmp_path / "root").mkdir()
    tarfile.open(fileobj=io.BytesIO(busybox_image())).extractall(tmp_path / "root")
    tool("umoci", "insert", "--image", f"{tmp_path}/layout:v1", tmp_path / "root", "/")
    tool("umoci", "config", "--image", f"{tmp_path}/layout:v1", "--config.cmd", "echo", "--config.cmd", "from nothing", "--config.env", "PATH=/bin", "--config.workingdir", "/made/here")
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:v1", f"docker://{registry.name}/{name}:v1")
    docker.ok("pull", "-q", f"{registry.name}/{name}:v1")
    try:
        assert docker.ok("run", "--rm", f"{registry.name}/{name}:v1") == "from nothing"
        assert docker.ok("run", "--rm", f"{registry.name}/{name}:v1", "pwd") == "/made/here"
    finally:
        docker.run("rmi", f"{registry.name}/{name}:v1")
