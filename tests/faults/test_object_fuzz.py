"""Hostile requests for as long as ANDROMEDE_TEST_FUZZ says, in seconds: both faces refuse them, go on, and show nobody what is others'.

ANDROMEDE_TEST_FUZZ_SEED chooses other requests.
"""

import contextlib
import os
import re
import socket
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from andromede.core.units import MIB
from tests.faces import workers
from tests.faults.hostile import Hostile

SECONDS, SEED = float(os.environ.get("ANDROMEDE_TEST_FUZZ", "20")), os.environ.get("ANDROMEDE_TEST_FUZZ_SEED", "1")
SECRET = b"never-to-be-seen-by-others"
SENDERS, ROOM, PATIENCE, PAUSE = 6, 96 * MIB, 0.3, 0.05
ANSWER = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")


@pytest.fixture
def worker(tmp_path):
    with workers(tmp_path, 1) as (found,):
        yield found


def fill(worker):
    """What the requests find: p1's own, and what is p2's."""
    one, name = worker.swift, SECRET.decode()
    for container in ("mine", "still", "conf"):
        assert one("PUT", f"/{container}").status == 201
        for key, data in (("a", b"alpha"), ("large", b"l" * 200_000)):
            assert one("PUT", f"/{container}/{key}", data).status == 201
    assert one("PUT", "/mine/slo?multipart-manifest=put", b'[{"path": "/mine/a"}, {"path": "/mine/large"}]').status == 201
    assert one("PUT", "/mine/link", b"", X_Symlink_Target="mine/a").status == 201
    assert one("PUT", "/v1/AUTH_p2/theirs", token="stranger", X_Container_Meta_Name=name).status == 201
    for key in ("secret", name):
        assert one("PUT", f"/v1/AUTH_p2/theirs/{key}", SECRET, token="stranger", X_Object_Meta_Name=name).status == 201


def seen(worker):
    """All that must stay as it is: p1's `still`, everything of p2's and of p3's."""
    out = []
    for token, path in (("member", "/v1/AUTH_p1/still"), ("stranger", "/v1/AUTH_p2"), ("stranger", "/v1/AUTH_p2/theirs"), ("admin", "/v1/AUTH_p3")):
        answer = worker.swift("GET", f"{path}?format=json", token=token)
        out.append((answer.status, answer.json if answer.status == 200 else None))
    for key in ("secret", SECRET.decode()):
        answer = worker.swift("GET", f"/v1/AUTH_p2/theirs/{key}", token="stranger")
        out.append((answer.body, answer.headers["x-object-meta-name"]))
    return out


def ask(port, data):
    """What is answered, up to the end of the connection or until nothing more comes: the server may well wait for more."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as link, contextlib.suppress(OSError):
        link.sendall(data)
        link.settimeout(PATIENCE)
        while piece := link.recv(1 << 20):
            answer += piece
            link.settimeout(PAUSE)
    return answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")


class Sender:
    """Asks one thing after another until it is time."""

    def __init__(self, worker, number):
        hosts = dict(zip(("swift", "s3"), (f"127.0.0.1:{port}" for port in worker.ports), strict=True))
        self.worker, self.hostile, self.statuses = worker, Hostile(f"{SEED}.{number}", hosts), Counter()

    def run(self, end):
        while time.monotonic() < end:
            face, data = self.hostile.next()
            answer = ask(self.worker.ports[face == "s3"], data)
            found = ANSWER.match(answer)
            status = int(found[1]) if found else 0
            self.statuses[status] += 1
            assert status < 500 or status in {501, 503}, (face, data[:6000], answer[:2000])
            assert SECRET not in answer, (face, data[:6000], answer[:2000])


def test_hostile_requests(worker):
    fill(worker)
    before, end = seen(worker), time.monotonic() + SECONDS
    senders = [Sender(worker, number) for number in range(SENDERS)]
    with ThreadPoolExecutor(SENDERS) as pool:
        running = [pool.submit(sender.run, end) for sender in senders]
        time.sleep(min(SECONDS / 4, 10))
        memory = worker.memory()
        while not all(one.done() for one in running):
            alive(worker)
            time.sleep(0.2)
        for one in running:
            one.result()
    alive(worker)
    statuses = sum((sender.statuses for sender in senders), Counter())
    assert not {200, 201, 204, 400, 401, 403, 404, 405} - statuses.keys(), statuses
    assert statuses[0] < 0.2 * statuses.total(), statuses
    assert worker.memory() < memory + ROOM
    assert seen(worker) == before
    told = worker.log.read_text(errors="replace")
    assert "Traceback" not in told, told[max(told.index("Traceback") - 500, 0) :][:20_000]
    assert worker.swift("HEAD", "/mine/smuggled").status == 404


def alive(worker):
    assert worker.process.poll() is None
    assert worker.swift("GET", "/still/a").body == b"alpha"
    assert worker.s3().send("GET", "/still/a")[2] == b"alpha"
