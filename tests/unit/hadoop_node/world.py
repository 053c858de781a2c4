"""A node's file system in a folder, its document, and small web servers that say what they are told to."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from andromede.hadoop_node.document import parse
from andromede.hadoop_node.places import Places

HERE = "127.0.0.1"


def raw(**changes):
    """A document of one master and two workers, as JSON."""
    return {
        "generation": 1,
        "cluster": {"id": "c1", "name": "demo", "identity": "CID-1"},
        "node": {"name": "demo-master-0", "address": HERE, "processes": ["namenode"], "vcpus": 2, "memory_mb": 2048},
        "roles": {"namenode": [HERE], "resourcemanager": [HERE], "historyserver": [HERE]},
        "hosts": {HERE: "demo-master-0", "10.0.0.11": "demo-worker-0", "10.0.0.12": "demo-worker-1"},
        "secret": "hidden",
    } | changes


def document(**changes):
    return parse(raw(**changes))


def places(folder):
    """Places below a folder, with what the image brings."""
    out = Places(folder)
    for path in (out.conf, out.share / "name/current", out.state / "jobs", out.logs):
        path.mkdir(parents=True)
    for kind in ("daemon", "client", "task"):
        (out.share / f"{kind}.args").write_text('-cp "/usr/lib/hadoop/jars/a.jar:/etc/hadoop"\n')
    (out.share / "name/current/VERSION").write_text("#Now\nnamespaceID=1\nclusterID=CID-image\ncTime=0\nblockpoolID=BP-1\nlayoutVersion=-67\n")
    (out.share / "name/current/fsimage_0").write_bytes(b"image")
    return out


@contextmanager
def web(answers):
    """A server: (method, path without its question) to (status, body) or a function of the request's body."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            heard.append((self.command, self.path, dict(self.headers), body))
            status, said = answers.get((self.command, self.path.partition("?")[0]), (404, b""))
            said = said if isinstance(said, bytes) else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_PUT = handle_any  # noqa: N815

        def log_message(self, *_words):
            """Say nothing."""

    server = ThreadingHTTPServer((HERE, 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], heard
    finally:
        server.shutdown()
        server.server_close()
