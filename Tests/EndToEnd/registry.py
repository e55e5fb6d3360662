"""A real registry on loopback (docker-registry), images put into it over HTTP, and a registry that lies."""
import gzip
import hashlib
import http.server
import io
import json
import socket
import ssl
import subprocess
import tarfile
import threading
import urllib.request

from engine import wait_for

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def layer(files):
    """A gzip layer from {path: bytes}; a path that ends in / is a folder."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path, data in files.items():
            info = tarfile.TarInfo(path.rstrip("/"))
            if path.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                info.size, info.mode = len(data), 0o644
                tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def certificates(folder):
    """A CA, a server certificate for 127.0.0.1 and a client certificate, in files below `folder`."""
    run = lambda *a: subprocess.run(a, cwd=folder, check=True, capture_output=True)
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "30", "-subj", "/CN=test authority")
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    for name in ("server", "client"):
        run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        run("openssl", "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-out", f"{name}.crt", "-days", "30", "-extfile", "ext")
    return folder


class Registry:
    """docker-registry; `http` and `more` are lines of its configuration below `http:` and beside it, `cafile` says that it speaks TLS."""

    def __init__(self, folder, http="", more="", cafile=None, address="127.0.0.1"):
        self.address, self.port = address, free_port()
        self.name = f"{address}:{self.port}"
        self.context = ssl.create_default_context(cafile=cafile) if cafile else None
        config = folder / "registry.yml"
        config.write_text(f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {folder}/registry\n  delete:\n    enabled: true\nhttp:\n  addr: {self.name}\n{http}{more}")
        self.process = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the registry", self.answers)

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex((self.address, self.port)) == 0

    def call(self, method, path, data=None, headers={}):
        url = path if path.startswith("http") else f"{'https' if self.context else 'http'}://{self.name}{path}"
        return urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers), context=self.context)

    def blob(self, repository, data):
        start = self.call("POST", f"/v2/{repository}/blobs/uploads/", b"").headers["Location"]
        self.call("PUT", f"{start}{'&' if '?' in start else '?'}digest={digest(data)}", data, {"Content-Type": "application/octet-stream"})
        return {"digest": digest(data), "size": len(data)}

    def push(self, repository, tag, layers, config={}):
        """Stores an image of uncompressed layer archives; returns the manifest's digest."""
        body = json.dumps({"architecture": "amd64", "os": "linux", "config": config,
                           "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]},
                           "history": [{"created_by": f"layer {i}"} for i, _ in enumerate(layers)]}).encode()
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                               "config": {"mediaType": "application/vnd.docker.container.image.v1+json", **self.blob(repository, body)},
                               "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip",
                                           **self.blob(repository, gzip.compress(l, 1, mtime=0))} for l in layers]}).encode()
        self.call("PUT", f"/v2/{repository}/manifests/{tag}", manifest, {"Content-Type": MANIFEST})
        return digest(manifest)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class LyingRegistry:
    """Answers like a registry with one image `liar:latest`, wrong in the way that `lie` names: manifest404, error500, digest, truncated, size, slow."""

    def __init__(self, lie):
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        body = gzip.compress(layer({"file": b"x" * 1000}), 1, mtime=0)
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [digest(layer({"file": b"x" * 1000}))]}}).encode()
        size = len(body) + (7 if lie == "size" else 0)
        manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                               "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": digest(config), "size": len(config)},
                               "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": digest(body), "size": size}]}).encode()
        blobs = {digest(config): config, digest(body): body}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def answer(self, status, data, kind="application/json", length=None):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data) if length is None else length))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)
                    if length is not None:
                        self.close_connection = True

            def do_GET(self):
                path = self.path.split("?")[0]
                part = path.split("/")
                if path == "/v2/":
                    self.answer(200, b"{}")
                elif "manifests" in part:
                    if lie == "manifest404":
                        self.answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')
                    elif lie == "error500":
                        self.answer(500, b"oops")
                    else:
                        self.answer(200, manifest, MANIFEST)
                elif part[-1] in blobs:
                    data = blobs[part[-1]]
                    if part[-1] == digest(body) and lie == "digest":
                        self.answer(200, data[:-1] + bytes([data[-1] ^ 1]), "application/octet-stream")
                    elif part[-1] == digest(body) and lie == "truncated":
                        self.answer(200, data[: len(data) // 2], "application/octet-stream", len(data))
                    else:
                        self.answer(200, data, "application/octet-stream")
                else:
                    self.answer(404, b'{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}')

            do_HEAD = do_GET

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
