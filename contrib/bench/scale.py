#!/usr/bin/env python3
"""How an engine does with many images and many stopped containers: lists, disk usage, and the start to the first answer.

    contrib/bench/scale.py [--images 1000] [--containers 10000] [--bin bin] [--keep FOLDER]

Starts an engine of its own in a folder of its own. Images come through the API, one layer and one tag each. One container is run; its row in the engine's
database is then copied, with ids and names of their own, while the engine is down: what is measured is what a start reads, not what a create costs.
Prints one line for each measure: the median of ten, the best and the first, and the daemons' processor time for one.
"""
import argparse
import http.client
import io
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("d")
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


class Engine:
    def __init__(self, folder, programs):
        self.folder, self.programs, self.socket = folder, programs, folder / "berthd.sock"

    def start(self):
        """Returns the seconds until the first answer."""
        log = open(self.folder / "log", "ab")
        begin = time.perf_counter()
        self.process = subprocess.Popen(
            [self.programs / "berthd", "-H", f"unix://{self.socket}", "--data-root", self.folder / "data", "--exec-root", self.folder / "run", "--bridge", "none",
             "--cgroup-parent", f"/bench{os.getpid()}"], stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        while True:
            try:
                self.call("GET", "/_ping")
                return time.perf_counter() - begin
            except OSError:
                if self.process.poll() is not None or time.perf_counter() - begin > 120:
                    sys.exit((self.folder / "log").read_text()[-2000:])
                time.sleep(0.002)

    def cpu(self):
        """Milliseconds of processor time of both daemons, which other load on the machine does not change."""
        total = 0
        for pid in (self.process.pid, int((self.folder / "run/supervisor.pid").read_text())):
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total * 1000 / os.sysconf("SC_CLK_TCK")

    def call(self, method, path, body=None, kind="application/json"):
        connection = Connection(self.socket)
        connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status >= 300:
            sys.exit(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def stop(self):
        supervisor = int((self.folder / "run/supervisor.pid").read_text())
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()
        os.kill(supervisor, signal.SIGTERM)
        while Path(f"/proc/{supervisor}").exists():
            time.sleep(0.01)


def archive(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def copies(database, count):
    """Copies the one container's row."""
    db = sqlite3.connect(database)
    columns = [row[1] for row in db.execute("PRAGMA table_info(container)")]
    row = dict(zip(columns, db.execute("SELECT * FROM container").fetchone()))
    text = {name: value.decode() if isinstance(value, bytes) else value for name, value in row.items()}
    for number in range(1, count):
        id, name = os.urandom(32).hex(), f"copy{number}"
        values = {c: (t.replace(row["id"], id).replace(json.dumps(row["name"]), json.dumps(name)) if isinstance(t, str) else t) for c, t in text.items()}
        values = {c: v.encode() if isinstance(row[c], bytes) else v for c, v in values.items()}
        values["name"] = name
        db.execute(f"INSERT INTO container ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", [values[c] for c in columns])
    db.commit()
    db.close()


def report(what, took, cpu):
    print(f"{what:<60} {statistics.median(took):9.1f} ms   (best {min(took):.1f}, first {took[0]:.1f}; {cpu:.1f} ms of processor time)", flush=True)


def measure(what, engine, body, times=10):
    took, before = [], engine.cpu()
    for _ in range(times):
        begin = time.perf_counter()
        body()
        took.append((time.perf_counter() - begin) * 1000)
    report(what, took, (engine.cpu() - before) / times)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--images", type=int, default=1000)
    options.add_argument("--containers", type=int, default=10000)
    options.add_argument("--bin", type=Path, default=Path(os.environ.get("BERTH_BIN", "bin")))
    options.add_argument("--keep", type=Path, help="use this folder, again if it is there, and leave it")
    options = options.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="berth-scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    engine = Engine(folder.resolve(), options.bin.resolve())
    try:
        engine.start()
        here = len(json.loads(engine.call("GET", "/images/json")))
        begin = time.perf_counter()
        for number in range(here, options.images):
            engine.call("POST", f"/images/create?fromSrc=-&repo=scale/image{number}&tag=v{number % 10}&changes=LABEL%20number={number}",
                        archive({"file": os.urandom(512), "number": str(number).encode()}), "application/x-tar")
        if options.images > here:
            print(f"{options.images - here} imports took {time.perf_counter() - begin:.1f} s", flush=True)
        measure(f"images, {options.images} of them (API)", engine, lambda: engine.call("GET", "/images/json"))
        client = options.bin / "berth"
        measure(f"images, {options.images} of them (berth images -q)", engine, lambda: subprocess.run([client, "-H", f"unix://{engine.socket}", "images", "-q"], check=True, stdout=subprocess.DEVNULL))
        measure("system df", engine, lambda: engine.call("GET", "/system/df"))
        if not json.loads(engine.call("GET", "/containers/json?all=1")):
            busybox = shutil.which("busybox")
            engine.call("POST", "/images/create?fromSrc=-&repo=scale/busybox", archive({"sh": open(busybox, "rb").read()}), "application/x-tar")
            body = {"Image": "scale/busybox", "Entrypoint": ["/sh"], "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}, "Labels": {"some": "label"}}
            id = json.loads(engine.call("POST", "/containers/create?name=first", json.dumps(body)))["Id"]
            engine.call("POST", f"/containers/{id}/start")
            engine.call("POST", f"/containers/{id}/wait")
            engine.stop()
            copies(folder / "data/daemon/berthd.db", options.containers)
        else:
            engine.stop()
        starts, cpu = [], 0
        for _ in range(3):
            starts.append(engine.start() * 1000)
            cpu += engine.cpu() / 3
            engine.stop()
        report(f"start to the first answer, {options.images} images, {options.containers} containers", starts, cpu)
        engine.start()
        measure(f"containers, {options.containers} of them", engine, lambda: engine.call("GET", "/containers/json?all=1"), 3)
        measure("images after the start", engine, lambda: engine.call("GET", "/images/json"))
        measure(f"system df with {options.containers} containers", engine, lambda: engine.call("GET", "/system/df"), 5)
        measure("system df of images alone", engine, lambda: engine.call("GET", "/system/df?type=image"))
        engine.stop()
    finally:
        if getattr(engine, "process", None) and engine.process.poll() is None:
            engine.stop()
        if not options.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
