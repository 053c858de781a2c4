"""Objects through Swift's protocol: PUT and GET of 4 KiB with 64 clients against Swift itself; 64 MiB against what the parts cost.

    sudo python benchmarks/objects.py [SECONDS] [ROUNDS]

Both sides sync each object before they answer. Each PUT has a name of its own; GET asks for one of 1,000 objects.
"""

import contextlib
import hashlib
import http.client
import json
import os
import sys
import tempfile
import time
from typing import Any
from urllib.parse import urlsplit

import lib
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

import swift

SMALL, BIG, OBJECTS, CLIENTS, BAR = 4096, 64 << 20, 1000, 64, 50.0
_NAMES = """
local run, range, thread, count = "%s", %d, 0, 0
function setup(each) thread = thread + 1; each:set("number", thread) end
function init() math.randomseed(os.time() + number) end
function request()
  count = count + 1
  local name = range > 0 and math.random(0, range - 1) or run .. "-" .. number .. "-" .. count
  return wrk.format(nil, wrk.path .. name)
end
"""


def small(url: str, token: str, seconds: int) -> dict[str, Any]:
    """The two ways, as functions that run wrk once."""
    headers, body = {"X-Auth-Token": token}, os.urandom(SMALL)
    lib.call(f"{url}/small", "PUT", b"", headers)
    for number in range(OBJECTS):
        lib.call(f"{url}/small/{number}", "PUT", body, headers)

    def put() -> dict[str, float]:
        script = _NAMES % (time.monotonic_ns(), 0)
        return lib.wrk(f"{url}/small/", clients=CLIENTS, seconds=seconds, method="PUT", body=body, headers=headers, script=script)

    def get() -> dict[str, float]:
        return lib.wrk(f"{url}/small/", clients=CLIENTS, seconds=seconds, headers=headers, script=_NAMES % ("", OBJECTS))

    return {"PUT 4 KiB": put, "GET 4 KiB": get}


def upload(url: str, token: str, block: bytes) -> float:
    """Seconds for one PUT of 64 MiB."""
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    began = time.monotonic()
    link.putrequest("PUT", f"{parts.path}/small/large")
    link.putheader("X-Auth-Token", token)
    link.putheader("Content-Length", str(BIG))
    link.endheaders()
    for at in range(0, BIG, 1 << 20):
        link.send(block[at : at + (1 << 20)])
    answer = link.getresponse()
    answer.read()
    assert answer.status == 201, answer.status
    link.close()
    return time.monotonic() - began


def download(url: str, token: str) -> float:
    """Seconds for one GET of 64 MiB."""
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    buffer, size = memoryview(bytearray(1 << 20)), 0
    began = time.monotonic()
    link.request("GET", f"{parts.path}/small/large", headers={"X-Auth-Token": token})
    answer = link.getresponse()
    while got := answer.readinto(buffer):
        size += got
    assert size == BIG, size
    link.close()
    return time.monotonic() - began


def md5(block: bytes) -> float:
    """Seconds that md5 alone takes for the same bytes."""
    began = time.monotonic()
    hashlib.md5(block, usedforsecurity=False).hexdigest()
    return time.monotonic() - began


def decrypted(block: bytes) -> float:
    """Seconds of a loop that reads 64 MiB from a file, decrypts them in chunks of 64 KiB and writes them to a socket."""
    import socket
    import threading

    cipher, chunk = AESGCM(os.urandom(32)), 64 << 10
    sealed = [cipher.encrypt(number.to_bytes(12), block[at : at + chunk], None) for number, at in enumerate(range(0, BIG, chunk))]
    ours, theirs = socket.socketpair()
    buffer = memoryview(bytearray(1 << 20))

    def drain() -> None:
        while theirs.recv_into(buffer):
            pass

    with tempfile.TemporaryFile(dir="/var/tmp") as file:
        file.write(b"".join(sealed))
        file.seek(0)
        reader = threading.Thread(target=drain)
        reader.start()
        began = time.monotonic()
        for number in range(len(sealed)):
            ours.sendall(cipher.decrypt(number.to_bytes(12), file.read(chunk + 16), None))
        ours.close()
        reader.join()
        return time.monotonic() - began


def main() -> None:
    numbers = [int(word) for word in sys.argv[1:] if word.isdecimal()]
    seconds, rounds = (numbers + [6, 3][len(numbers) :])[:2]
    if "ANDROMEDE_BENCH_PEER" not in os.environ:  # before the namespace, where nothing can be fetched
        os.environ["ANDROMEDE_BENCH_PEER"] = str(swift.install())
    lib.isolate()
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(lib.cloud(lib.FAKE))
        made.cli("up")
        body = json.dumps(lib.password_body("demo", made.password("demo"), "demo")).encode()
        _, headers, answer = lib.call(f"{made.url}/identity/v3/auth/tokens", "POST", body)
        project = json.loads(answer)["token"]["project"]["id"]
        url, token = f"http://127.0.0.1:{made.swift_port}/v1/AUTH_{project}", headers["X-Subject-Token"]
        ways = {f"{name}, ours": run for name, run in small(url, token, seconds).items()}
        if os.environ["ANDROMEDE_BENCH_PEER"] == "True":
            theirs, their_token, _pids = stack.enter_context(swift.serving())
            ways |= {f"{name}, Swift": run for name, run in small(theirs, their_token, seconds).items()}
        found = lib.in_turns(ways, rounds)
        for name, run in found.items():
            lib.say(name, rate=run["rate"], p50_ms=run["p50"], p99_ms=run["p99"], bad=int(run["bad"]), broken=int(run["broken"]))
        for name in ("PUT 4 KiB", "GET 4 KiB"):
            if f"{name}, Swift" in found:
                ratio = found[f"{name}, ours"]["rate"] / found[f"{name}, Swift"]["rate"]
                lib.say(f"{name}: ours / Swift", ratio=ratio)
                lib.verdict(f"{name} {BAR:.0f} times Swift's", holds=ratio >= BAR)
        block = os.urandom(BIG)
        turns = [(upload(url, token, block), md5(block), download(url, token), decrypted(block)) for _ in range(max(5, rounds))]
        put, get = lib.middle(alone / whole for whole, alone, _, _ in turns), lib.middle(alone / whole for _, _, whole, alone in turns)
        lib.say("PUT 64 MiB, encrypted", mb_s=BIG / 1e6 / lib.middle(turn[0] for turn in turns), of_md5_alone=put)
        lib.verdict("PUT of 64 MiB at 0.9 of md5's rate", holds=put >= 0.9)
        lib.say("GET 64 MiB, encrypted", mb_s=BIG / 1e6 / lib.middle(turn[2] for turn in turns), of_a_bare_loop=get)
        lib.verdict("GET of 64 MiB at 0.8 of a loop that reads, decrypts and writes", holds=get >= 0.8)


if __name__ == "__main__":
    main()
