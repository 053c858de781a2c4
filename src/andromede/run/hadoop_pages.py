"""The web pages of a cluster on this machine's loopback, each fetched from the cloud as whoever is signed in."""

import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from andromede.run.hadoop import Processing

PORTS = {"hdfs": 9870, "yarn": 8088, "jobs": 19888}
HERE = "127.0.0.1"


class Pages:
    """Serves the pages of a cluster until it is closed. first: the port of HDFS's; the others are as far from it as in Hadoop, 0 for any free
    ones. Raises OSError where a port is taken."""

    def __init__(self, api: "Processing", cluster_id: str, *, first: int = PORTS["hdfs"]) -> None:
        self._servers: dict[str, ThreadingHTTPServer] = {}
        for page, port in PORTS.items():
            handler = type("Handler", (_Handler,), {"api": api, "path_of": f"/clusters/{cluster_id}/pages/{page}"})
            self._servers[page] = ThreadingHTTPServer((HERE, first and port - PORTS["hdfs"] + first), handler)
        for server in self._servers.values():
            threading.Thread(target=server.serve_forever, daemon=True).start()

    @property
    def where(self) -> Mapping[str, str]:
        """Addresses for a browser, by page."""
        return {page: f"http://{HERE}:{server.server_port}/" for page, server in self._servers.items()}

    def close(self) -> None:
        """Serve no more."""
        for server in self._servers.values():
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """A page is asked for under an address of this machine alone: a name that somebody else lets lead here is refused."""

    api: "Processing"
    path_of: str
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host not in (HERE, "localhost"):
            self._answer(403, "text/plain", b"Ask for this page at 127.0.0.1.\n")
            return
        status, headers, body = self.api.page(f"{self.path_of}?path={quote(self.path, safe='')}")
        self._answer(status, headers.get("content-type", "text/plain"), body, headers.get("location"))

    def _answer(self, status: int, kind: str, body: bytes, location: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location is not None:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        """Say nothing."""
