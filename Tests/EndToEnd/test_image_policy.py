"""The image policy: what the engine removes by itself when it is told to, and what it says about it."""
import json
import os
import subprocess
import time

import pytest

from conftest import new_engine
from engine import Client, BIN, wait_for
from registry import layer


@pytest.fixture(autouse=True)
def nothing_is_left():
    """This file has an engine of its own."""


def import_image(client, name, size, *changes):
    args = [word for change in changes for word in ("-c", change)]
    client.ok("import", *args, "-", name, input=layer({name.replace(":", "-"): name.encode() * (size // len(name))}))


def events(engine, since):
    out = subprocess.run(["curl", "-s", "--unix-socket", str(engine.socket), f"http://d/events?since={since}&until={since + 100000}", "-m", "1"], capture_output=True, text=True).stdout
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture
def own(tmp_path, request):
    engine = new_engine(tmp_path / "e", "--bridge", "none", *getattr(request, "param", ()))
    yield engine
    client = Client(BIN / "berth", engine.host)
    if ids := client.run("ps", "-aq").stdout.split():
        client.run("rm", "-f", *ids)
    engine.stop()


def test_the_policy_is_off_by_default_and_can_be_tried_out(own):
    berth = Client(BIN / "berth", own.host)
    assert "The image policy is off" in berth.ok("image", "policy")
    import_image(berth, "first:x", 200_000)
    import_image(berth, "second:x", 200_000)
    import_image(berth, "pinned:x", 200_000, "LABEL berth.pin=1")
    berth.ok("create", "--network", "none", "busybox", "true")
    out = berth.ok("image", "policy", "--high", "0b", "--min-age", "0s")
    assert "1 in use, 1 pinned, 0 younger" in out
    assert out.index("first:x") < out.index("second:x") and "pinned:x" not in out and "Would remove 2 images" in out
    assert "2 younger than the minimum age" in berth.ok("image", "policy", "--high", "0b")
    assert {"first:x", "second:x"} <= set(berth.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split())
    out = berth.ok("image", "policy", "--high", "0b", "--min-age", "0s", "--run", "-f")
    assert "Removed 2 images" in out
    assert set(berth.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()) == {"busybox:latest", "pinned:x"}


def test_a_used_image_was_used_when_its_last_container_went(own):
    berth = Client(BIN / "berth", own.host)
    import_image(berth, "older:x", 1000, 'CMD ["x"]')
    import_image(berth, "newer:x", 1000)
    berth.ok("rm", berth.ok("create", "--network", "none", "older:x"))
    out = berth.ok("image", "policy", "--high", "0b", "--min-age", "0s")
    assert out.index("newer:x") < out.index("older:x")


def test_watermarks_that_make_no_sense_are_refused(own):
    berth = Client(BIN / "berth", own.host)
    assert "of different kinds" in berth.fails("image", "policy", "--high", "80%", "--low", "1GB")
    assert "neither a percentage" in berth.fails("image", "policy", "--high", "lots")
    r = subprocess.run([BIN / "berthd", "--validate", "--image-policy-low", "10%"], capture_output=True, text=True)
    assert r.returncode != 0 and "without a high one" in r.stderr


@pytest.mark.parametrize("own", [("--image-policy-high", "40m", "--image-policy-low", "25m", "--image-policy-min-age", "0s")], indirect=True)
def test_above_the_high_watermark_the_engine_removes_what_is_unused_and_says_so(own):
    berth = Client(BIN / "berth", own.host)
    berth.ok("create", "--network", "none", "busybox", "true")
    since = int(time.time()) - 1
    # 16 MB each with what it takes unpacked: the third is too much, and two have to go.
    for name in ("one:x", "two:x", "three:x"):
        berth.ok("import", "-", name, input=layer({name: os.urandom(8_000_000)}))
    tags = lambda: set(berth.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split())
    wait_for("the oldest image to go", lambda: "one:x" not in tags() and len([e for e in events(own, since) if e["Action"] == "policy"]) > 0)
    assert tags() == {"busybox:latest", "three:x"}
    told = events(own, since)
    assert any(e["Action"] == "delete" and e["Actor"]["Attributes"].get("policy", "").startswith("high=41943040") for e in told)
    last = [e for e in told if e["Action"] == "policy"][-1]["Actor"]["Attributes"]
    assert last["dry-run"] == "false" and int(last["images"]) >= 1 and int(last["reclaimed"]) > 0
