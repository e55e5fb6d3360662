"""Images that attack the engine: hostile configurations and root file systems. The letters name the classes of docs/threat-model.md."""
import io
import os
import tarfile

import pytest

from conftest import IMAGE, busybox_image
from registry import Registry, layer

BIG = 3_000_000


@pytest.fixture
def registry(tmp_path):
    r = Registry(tmp_path)
    yield r
    r.stop()


@pytest.fixture
def image(registry, docker, name):
    """Makes an image of the machine's busybox, more layers and a configuration; removes it afterwards."""
    made = []

    def make(config={}, *layers):
        tag = f"t{len(made)}"
        registry.push(name, tag, [busybox_image(), *layers], {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["true"], **config})
        reference = f"{registry.name}/{name}:{tag}"
        docker.ok("pull", "-q", reference)
        made.append(reference)
        return reference

    yield make
    for reference in made:
        docker.run("rmi", "-f", reference)


def links(entries):
    """A layer of symbolic links {path: target}; a target of None makes a FIFO."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, target in entries.items():
            info = tarfile.TarInfo(path)
            info.type, info.linkname = (tarfile.FIFOTYPE, "") if target is None else (tarfile.SYMTYPE, target)
            tar.addfile(info)
    return out.getvalue()


@pytest.mark.parametrize("user", ["4294967296", "2147483648", "-1", "0x0", "99999999999999999999", "root:4294967295", "no such:user", "nobody:nogroup:x"])
def test_f_a_user_out_of_range_never_becomes_root(docker, image, user):
    reference = image({"User": user})
    r = docker.run("run", "--rm", reference, "id", "-u")
    assert r.returncode != 0 and r.stdout.strip() != "0", r.stdout


def test_f_hostile_labels_environment_and_ports_change_nothing_on_the_host(docker, image, name):
    reference = image({
        "Labels": {"containerd.io/restart.loguri": "binary:///bin/touch?x=/tmp/berth-escape-label", "io.containerd.runtime": "x", "a\nb": "c\x01"},
        "Env": ["PATH=/usr/bin:/bin", "LD_PRELOAD=/evil.so", "NAME=with\nnewline"],
        "Volumes": {"/../../../../tmp/berth-escape-volume": {}},
        "StopSignal": "SIGTERM", "ExposedPorts": {"80/tcp": {}}})
    docker.run("run", "--name", name, reference, "true")
    assert not os.path.exists("/tmp/berth-escape-label") and not os.path.exists("/tmp/berth-escape-volume")


@pytest.mark.parametrize("ports", [{"99999/tcp": {}}, {"80/xyz": {}}, {"tcp": {}}])
def test_f_impossible_ports_do_not_take_the_engine_down(docker, image, ports, name):
    docker.run("run", "--rm", "--name", name, image({"ExposedPorts": ports}), "true")
    assert docker.ok("version", "--format", "{{.Server.Version}}")


@pytest.mark.parametrize("directory", ["/proc/self/fd/3", "/proc/self/fd/7/../../..", "/link/inner"])
def test_f_a_working_directory_never_leads_to_the_host(docker, image, directory):
    reference = image({"WorkingDir": directory}, links({"link": "/../../../../../../tmp/berth-escape-cwd"}))
    r = docker.run("run", "--rm", reference, "sh", "-c", "ls -d /proc/self/cwd/berthd.log; pwd")
    assert "berthd.log" not in r.stdout
    assert not os.path.exists("/tmp/berth-escape-cwd")


@pytest.mark.parametrize("passwd", ["fifo", "link", "huge", "long line"])
def test_f_a_hostile_passwd_file_neither_hangs_nor_is_followed(docker, image, passwd):
    extra = {
        "fifo": lambda: links({"etc/passwd": None}),
        "link": lambda: links({"etc/passwd": "/../../../../proc/1/environ"}),
        "huge": lambda: layer({"etc/passwd": b"x:x:1:1::/:/bin/sh\n" * (BIG // 19)}),
        "long line": lambda: layer({"etc/passwd": b"root:" + b"x" * BIG}),
    }[passwd]()
    r = docker.run("run", "--rm", "-u", "nosuchuser", image({}, extra), "id", timeout=20)
    assert r.returncode == 125 or r.returncode == 126, (r.returncode, r.stderr)


TRAPS = {"proc": "/../../../../tmp", "sys": "/etc", "dev": "/tmp/berth-escape-dev", "etc/mtab": "/../../../../tmp/berth-escape-mtab", "etc/resolv.conf": "/../../../../tmp/berth-escape-resolv",
         "etc/hosts": "../../../../../../tmp/berth-escape-hosts", "etc/hostname": "/tmp/berth-escape-hostname"}


@pytest.mark.parametrize("path", TRAPS)
def test_c_links_in_the_place_of_mount_targets_stay_in_the_root(docker, image, path, name):
    docker.run("run", "--rm", "--name", name, image({}, links({path: TRAPS[path]})), "true")
    assert not [e for e in os.listdir("/tmp") if e.startswith("berth-escape")]


def test_c_dev_null_replaced_by_a_link_masks_nothing_of_the_host(docker, image):
    reference = image({}, links({"dev/null": "/etc/hostname", "dev/pts": "/tmp", "dev/console": "/etc/hosts"}))
    assert docker.ok("run", "--rm", reference, "sh", "-c", "test -c /dev/null && wc -c </proc/timer_list") == "0"


def test_e_a_config_that_is_no_json_and_ambiguous_manifests_are_refused(docker, registry, name, engine):
    import json
    from registry import MANIFEST
    both = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **registry.blob(name, b"{")},
                       "layers": [], "manifests": []}).encode()
    registry.call("PUT", f"/v2/{name}/manifests/both", both, {"Content-Type": MANIFEST})
    error = docker.fails("pull", f"{registry.name}/{name}:both", code=1)
    assert error.strip()
    assert docker.run("image", "inspect", f"{registry.name}/{name}:both").returncode == 1


def test_d_nothing_of_an_image_is_executed_by_the_engine(docker, engine, image, name, tmp_path):
    """Evil helpers under the names that engines have started or loaded: unpackers, name service modules. What they would write appears nowhere."""
    trap = b"#!/bin/sh\ntouch /tmp/berth-escape-exec\n"
    reference = image({}, layer({f"usr/bin/{n}": trap for n in ("xz", "unpigz", "pigz", "zstd", "gzip", "tar", "ps")} | {"lib/libnss_files.so.2": trap}))
    docker.ok("create", "--name", name, reference)
    (tmp_path / "file").write_text("x")
    docker.ok("cp", tmp_path / "file", f"{name}:/")
    docker.ok("cp", f"{name}:/file", tmp_path / "back")
    docker.ok("start", name)
    docker.ok("wait", name)
    docker.ok("commit", name, f"{name}-copy")
    docker.ok("rmi", f"{name}-copy")
    assert not os.path.exists("/tmp/berth-escape-exec")
