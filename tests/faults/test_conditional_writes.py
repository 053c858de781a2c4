"""Conditional writes through both protocols and several processes at once: every key's history must be linearizable."""

import hashlib
import http.client
import itertools
import math
import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faces import workers
from tests.faults.linear import Operation, get, linearizable, put, put_new, put_over, remove, remove_one
from tests.s3 import UNSIGNED, sign

SEED, CLIENTS, EACH = 20_260_731, 8, 110
TOLD = {200: "done", 204: "done", 412: "other", 404: "absent"}
KEYS = ("plain/a", "plain/b", "kept/a", "kept/b")


def operation(start, end, step):
    return Operation(start, end, step)


GOOD = {
    "one after another": [(0, 1, put("a")), (2, 3, get("a")), (4, 5, remove(True)), (6, 7, get(None)), (8, 9, remove(False))],
    "reads beside a write": [(0, 10, put("a")), (1, 2, get(None)), (3, 4, get("a")), (5, 6, get("a"))],
    "one of two wins": [(0, 5, put_new("a", done=True)), (0, 5, put_new("b", done=False)), (6, 7, get("a"))],
    "between two": [(0, 9, put_new("a", done=True)), (0, 9, put_new("b", done=True)), (1, 8, remove(True)), (10, 11, get("b"))],
    "matched": [(0, 1, put("a")), (2, 9, put_over("b", "a", "done")), (2, 9, put_over("c", "a", "other")), (10, 11, get("b"))],
    "unheard, done": [(0, 1, put("a")), (2, math.inf, put("b")), (3, 4, get("a")), (5, 6, get("b"))],
    "unheard, never done": [(0, 1, put("a")), (2, math.inf, remove(None)), (3, 4, get("a"))],
    "removed by match": [(0, 1, put("a")), (2, 3, remove_one("b", "other")), (4, 5, remove_one("a", "done")), (6, 7, remove_one("a", "absent"))],
}
BAD = {
    "a stale read": [(0, 1, put("a")), (2, 3, put("b")), (4, 5, get("a"))],
    "a lost write": [(0, 1, put("a")), (2, 3, get(None))],
    "two that made it": [(0, 5, put_new("a", done=True)), (0, 5, put_new("b", done=True))],
    "nobody made it": [(0, 5, put_new("a", done=False)), (0, 5, put_new("b", done=False))],
    "an update is lost": [(0, 1, put("a")), (2, 9, put_over("b", "a", "done")), (2, 9, put_over("c", "a", "done"))],
    "back and forth": [(0, 20, put("a")), (1, 2, get("a")), (3, 4, get(None))],
    "seen before": [(0, 1, get("a")), (2, 3, put("a"))],
    "undone": [(0, 1, put("a")), (2, 3, remove(None)), (4, 5, get("a"))],
    "found by a deletion": [(0, 1, remove(True))],
    "removed twice": [(0, 1, put("a")), (2, 9, remove(True)), (2, 9, remove(True))],
    "unheard, then undone": [(0, 1, put("a")), (2, math.inf, put("b")), (3, 4, get("b")), (5, 6, get("a"))],
    "unheard, before it began": [(0, 1, put("a")), (2, 3, get("b")), (4, math.inf, put("b"))],
}


@pytest.mark.parametrize("name", GOOD)
def test_the_checker_accepts(name):
    assert linearizable([operation(*each) for each in GOOD[name]])


@pytest.mark.parametrize("name", BAD)
def test_the_checker_refuses(name):
    assert not linearizable([operation(*each) for each in BAD[name]])


def test_the_checker_agrees_with_every_order_tried():
    """Small random histories, against all permutations."""
    chance = random.Random(SEED)

    def by_trying(history):
        for order in itertools.permutations(history):
            if any(later.end < one.start for index, one in enumerate(order) for later in order[index + 1 :]):
                continue
            value = None
            for one in order:
                fits, value = one.step(value)
                if not fits:
                    break
            else:
                return True
        return False

    found = set()
    for _ in range(300):
        history = []
        for number in range(5):
            start, value = chance.randrange(10), chance.choice("ab")
            step = chance.choice([
                put(value), put_new(value, done=chance.random() < 0.5), put_over(str(number), value, chance.choice(list(TOLD.values()))),
                remove(chance.random() < 0.5), get(chance.choice((None, "a", "b"))),
            ])  # fmt: skip
            history.append(Operation(start, start + chance.randrange(1, 6), step))
        found.add(by_trying(history))
        assert linearizable(history) == by_trying(history)
    assert found == {True, False}


class Actor:
    """A client that does one thing after another, through any face of any process, and notes what it was told."""

    def __init__(self, pair, number, histories, known):
        self.chance = random.Random(f"{SEED}.{number}")
        self.pair, self.number, self.histories, self.known = pair, number, histories, known
        self.connections = {}
        self.statuses = {}

    def run(self):
        try:
            for count in range(EACH):
                self.act(count)
        finally:
            for connection in self.connections.values():
                connection.close()

    def ask(self, face, method, key, body=b"", condition=None):
        worker = self.chance.choice(self.pair)
        port = worker.ports[face == "s3"]
        host, path = f"127.0.0.1:{port}", f"/{key}" if face == "s3" else f"/v1/AUTH_p1/{key}"
        headers = {"host": host, **(condition or {})}
        headers |= sign(("KEY-member", "secret-member"), method, path, headers, payload=UNSIGNED) if face == "s3" else {"x-auth-token": "member"}
        connection = self.connections.setdefault(port, http.client.HTTPConnection(host, timeout=20))
        connection.request(method, path, body if method == "PUT" else None, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.statuses[method, bool(condition), answer.status] = self.statuses.get((method, bool(condition), answer.status), 0) + 1
        return answer.status, content

    def act(self, count):
        chance, key = self.chance, self.chance.choice(KEYS)
        face, what = chance.choice(("s3", "swift")), chance.choice(("get", "get", "put", "new", "new", "over", "over", "remove", "remove one"))
        if what in {"over", "remove one"}:
            face = "s3"
        body = f"{self.number}.{count} ".encode() * chance.choice((1, 1000))
        value, match = hashlib.md5(body).hexdigest(), self.known.get(key, "0")
        start = time.monotonic()
        if what == "get":
            status, content = self.ask(face, "GET", key)
            assert status in (200, 404), (status, content)
            seen = hashlib.md5(content).hexdigest() if status == 200 else None
            self.known[key] = seen or self.known.get(key, "0")
            step = get(seen)
        elif what == "put":
            status, content = self.ask(face, "PUT", key, body)
            assert status in (200, 201), (status, content)
            step = put(value)
        elif what == "new":
            status, content = self.ask(face, "PUT", key, body, {"if-none-match": "*"})
            assert status in (200, 201, 412), (status, content)
            step = put_new(value, done=status != 412)
        elif what == "remove":
            status, content = self.ask(face, "DELETE", key)
            assert status in (204, 404), (status, content)
            step = remove(None if face == "s3" else status == 204)
        else:
            method = "PUT" if what == "over" else "DELETE"
            status, content = self.ask(face, method, key, body, {"if-match": f'"{match}"'})
            assert status in TOLD, (status, content)
            step = put_over(value, match, TOLD[status]) if what == "over" else remove_one(match, TOLD[status])
        self.histories[key].append(Operation(start, time.monotonic(), step, f"{self.number}.{count} {face} {what} {status} {value[:6]} {match[:6]}"))


def test_conditional_writes_are_linearizable(tmp_path):
    with workers(tmp_path) as pair:
        for name in ("plain", "kept"):
            assert pair[0].swift("PUT", f"/{name}", X_Versions_Enabled="true" if name == "kept" else "false").status == 201
        histories, known = {key: [] for key in KEYS}, {}
        actors = [Actor(pair, number, histories, known) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(actor.run) for actor in actors]:
                done.result(60)
    counts = {}
    for actor in actors:
        for told, count in actor.statuses.items():
            counts[told] = counts.get(told, 0) + count
    for told in (("PUT", True, 412), ("PUT", True, 200), ("PUT", True, 201), ("DELETE", True, 204), ("DELETE", True, 412)):
        assert counts.get(told), f"nothing was answered so: {told}"
    for key, history in histories.items():
        lines = "\n".join(f"{one.start:.4f} {one.end:.4f} {one.text}" for one in sorted(history, key=lambda one: one.start))
        assert linearizable(history), f"{key}\n{lines}"
