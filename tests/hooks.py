"""Something on loopback that is posted to, for tests: it keeps what came, and answers what it is told to."""

import contextlib
import http.server
import threading
from collections.abc import Iterator


class Hook:
    """url; taken: bodies with their headers, in order; answers: statuses for the next requests, 200 for all after them."""

    def __init__(self, port: int) -> None:
        self.port, self.url = port, f"http://127.0.0.1:{port}/hook?key=value"
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[int] = []


@contextlib.contextmanager
def listening() -> Iterator[Hook]:
    """A hook that is served."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            status = hook.answers.pop(0) if hook.answers else 200
            if status == 200:
                hook.taken.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Hook(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
