"""How much memory the runtime takes, by itself and whatever the page cache looks like that its program lies in."""
import json
import shutil
import subprocess

import pytest

from engine import BIN, ForeignEngine, wait_for

RUNTIME = BIN / "berth-runtime"
LIMIT = 4096


@pytest.fixture
def bundle(docker, engine, name, tmp_path):
    """What Docker's engine writes for a container, its filter of system calls included."""
    if isinstance(engine, ForeignEngine):
        pytest.skip("the runtime is not a part of it")
    docker.ok("run", "-d", "--network", "none", "--name", name, "busybox", "sleep", "1000")
    spec = json.loads(next(engine.folder.glob(f"run/**/{docker.inspect(name)['Id']}/config.json")).read_text())
    (tmp_path / "rootfs/bin").mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), tmp_path / "rootfs/bin/sleep")
    spec["root"]["path"] = "rootfs"
    spec["process"].update(terminal=False, args=["/bin/sleep", "1000"], cwd="/")
    spec["mounts"] = [m for m in spec["mounts"] if m["type"] != "bind"]
    spec["linux"].pop("cgroupsPath")
    spec.pop("hooks", None)
    for namespace in spec["linux"]["namespaces"]:
        namespace.pop("path", None)
    (tmp_path / "config.json").write_text(json.dumps(spec))
    return tmp_path


# Linux maps around a fault what the page cache has in one piece: of a file that was written in large pieces that is more.
@pytest.mark.parametrize("piece", [4, 64, 128, 256, 512, 1024, 8192])
def test_a_run_stays_below_four_megabytes(bundle, name, tmp_path, piece):
    program, root = tmp_path / "runtime", tmp_path / "state"
    with open(RUNTIME, "rb") as source, open(program, "wb", buffering=0) as copy:
        while data := source.read(piece << 10):
            copy.write(data)
    program.chmod(0o755)
    # The filter is compiled once for a profile, and libseccomp needs memory of its own for that.
    subprocess.run([program, "--root", root, "create", "-b", bundle, name], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run([program, "--root", root, "delete", "-f", name], check=True)
    run = subprocess.Popen([program, "--root", root, "run", "-b", bundle, name], stdin=subprocess.DEVNULL)

    def is_running():
        state = subprocess.run([program, "--root", root, "state", name], capture_output=True, text=True)
        return state.returncode == 0 and json.loads(state.stdout)["status"] == "running"

    try:
        wait_for("the container", is_running)
        with open(f"/proc/{run.pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    finally:
        subprocess.run([program, "--root", root, "delete", "-f", name])
        run.wait(20)
    assert 1000 < peak < LIMIT
