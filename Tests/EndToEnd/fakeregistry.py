"""A registry in this process, whose answers a test can change and whose requests it can read."""
import gzip
import hashlib
import http.server
import json
import re
import ssl
import threading
import time
import urllib.parse

from registry import MANIFEST, digest, free_port

CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
INDEX = "application/vnd.oci.image.index.v1+json"


class Answer:
    """One answer. `chunks` is an iterator of bytes that is sent as it comes; `length` overrides the header, None with chunks means until the end."""

    def __init__(self, status=200, body=b"", headers=None, chunks=None, length=...):
        self.status, self.body, self.headers, self.chunks, self.length = status, body, dict(headers or {}), chunks, length

    @staticmethod
    def error(status, code, message, **headers):
        return Answer(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), {"Content-Type": "application/json", **headers})


class FakeRegistry:
    """Stores what is put into it. `intercept(request)` may answer in its place; `requests` holds (method, path, headers) of all."""

    def __init__(self, tls=None):
        self.port = free_port()
        self.name = f"127.0.0.1:{self.port}"
        self.blobs, self.manifests, self.types, self.uploads, self.requests = {}, {}, {}, {}, []
        self.intercept = lambda request: None
        self.lock = threading.Lock()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (ConnectionError, ssl.SSLError):
                    self.close_connection = True

            def respond(self):
                self.url = urllib.parse.urlsplit(self.path)
                self.route = self.url.path
                with outer.lock:
                    outer.requests.append((self.command, self.path, dict(self.headers)))
                answer = outer.intercept(self) or outer.answer(self)
                if answer is None:  # cut the connection
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.body) if answer.length is ... and answer.chunks is None else answer.length
                if length is not ... and length is not None:
                    self.send_header("Content-Length", str(length))
                else:
                    self.send_header("Connection", "close")
                self.end_headers()
                if self.command == "HEAD":
                    return
                self.wfile.write(answer.body)
                for chunk in answer.chunks or []:
                    self.wfile.write(chunk)
                if answer.chunks is not None or answer.length is not ...:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = respond

            def read_body(self, limit=None):
                if self.headers.get("Transfer-Encoding") == "chunked":
                    data = b""
                    while size := int(self.rfile.readline(), 16):
                        data += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                    return data
                length = int(self.headers.get("Content-Length") or 0)
                return self.rfile.read(length if limit is None else min(limit, length))

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *a):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        if tls:
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    # What it does when nobody interferes

    def answer(self, request):
        part = request.route.split("/")
        if request.route == "/v2/":
            return Answer(200, b"{}")
        if match := re.fullmatch(r"/v2/(.+)/manifests/(.+)", request.route):
            repository, target = match.groups()
            if request.command == "PUT":
                data = request.read_body()
                for key in (target, digest(data)):
                    self.manifests[repository, key] = data
                self.types[digest(data)] = request.headers["Content-Type"]
                return Answer(201, headers={"Docker-Content-Digest": digest(data)})
            data = self.manifests.get((repository, target))
            if data is None:
                return Answer.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
            return Answer(200, data, {"Content-Type": self.types[digest(data)], "Docker-Content-Digest": digest(data)})
        if match := re.fullmatch(r"/v2/(.+)/blobs/uploads/(.*)", request.route):
            return self.upload(request, *match.groups())
        if "blobs" in part:
            data = self.blobs.get(part[-1])
            if data is None:
                return Answer.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
            if match := re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", "")):
                start = int(match[1])
                return Answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
            return Answer(200, data, {"Content-Type": "application/octet-stream"})
        return Answer(404)

    def upload(self, request, repository, session):
        query = dict(urllib.parse.parse_qsl(request.url.query))
        location = lambda id: {"Location": f"/v2/{repository}/blobs/uploads/{id}", "Range": f"0-{max(0, len(self.uploads[id]) - 1)}"}
        if request.command == "POST":
            if query.get("mount") in self.blobs and query.get("from"):
                return Answer(201, headers={"Location": f"/v2/{repository}/blobs/{query['mount']}"})
            id = hashlib.sha256(str(time.monotonic_ns()).encode()).hexdigest()[:16]
            self.uploads[id] = b""
            return Answer(202, headers=location(id))
        if request.command == "GET":
            return Answer(204, headers=location(session))
        self.uploads[session] += request.read_body()
        if request.command == "PATCH":
            return Answer(202, headers=location(session))
        data = self.uploads.pop(session)
        if digest(data) != query["digest"]:
            return Answer.error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[digest(data)] = data
        return Answer(201)

    # Filling it

    def blob(self, data):
        self.blobs[digest(data)] = data
        return {"digest": digest(data), "size": len(data)}

    def manifest(self, repository, target, document, kind=MANIFEST):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.types[digest(data)] = kind
        self.manifests[repository, target] = self.manifests[repository, digest(data)] = data
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def image(self, repository, target, layers, packed=None, change=None, kind=LAYER, config=None):
        """Stores an image of uncompressed archives; `change(manifest, config)` may lie in both. Returns the manifest's descriptor."""
        packed = packed or [gzip.compress(l, 1, mtime=0) for l in layers]
        config = {"architecture": "amd64", "os": "linux", "config": config or {}, "rootfs": {"type": "layers", "diff_ids": [digest(l) for l in layers]}}
        body = json.dumps(config).encode()
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": {"mediaType": CONFIG, **self.blob(body)},
                    "layers": [{"mediaType": kind, **self.blob(p)} for p in packed]}
        if change:
            change(manifest)
        return self.manifest(repository, target, manifest)

    def seen(self, pattern, method=None):
        with self.lock:
            return [r for r in self.requests if re.search(pattern, r[1]) and method in (None, r[0])]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
