"""The arithmetic of the audit log, and a program that checks an export of it. It needs nothing but Python.

    python3 verifier.py EXPORT --key KEY [--known FILE …]

EXPORT is what `andromede audit export` writes: JSON lines, each an event with its hash, or a checkpoint. KEY is the cloud's public
key as `andromede audit key` prints it. Each FILE is a checkpoint that somebody kept from before: a log that was cut, or begun anew, has
no place for it. Sources: RFC 9162 (section 2.1: hashes, proofs), RFC 8032 (Ed25519), C2SP signed-note and tlog-checkpoint.
"""

import argparse
import base64
import binascii
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

EMPTY = hashlib.sha256(b"").digest()


def leaf_hash(document: bytes) -> bytes:
    """The hash of an event."""
    return hashlib.sha256(b"\0" + document).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\1" + left + right).digest()


def inclusion_root(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to from an event at `index` of `size` (RFC 9162, 2.1.3.2). Raises ValueError for what is no proof."""
    if not 0 <= index < size:
        raise ValueError("The log has no such event.")
    first, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise ValueError("The proof is too long.")
        if first & 1 or first == last:
            found = node_hash(step, found)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            found = node_hash(found, step)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("The proof is too short.")
    return found


def consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that the log of `new` events begins with that of `old` (RFC 9162, 2.1.4.2)."""
    if old == new:
        return not proof and old_root == new_root
    if not 0 < old < new or not proof:
        return False
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    of_old = of_new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            of_old, of_new = node_hash(step, of_old), node_hash(step, of_new)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            of_new = node_hash(of_new, step)
        first, last = first >> 1, last >> 1
    return last == 0 and of_old == old_root and of_new == new_root


class Growing:
    """The root of a log that is read from its beginning; it remembers one hash for each power of two."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[tuple[int, bytes]] = []

    def add(self, leaf: bytes) -> None:
        """The next event's hash."""
        self.size += 1
        width = 1
        while self._peaks and self._peaks[-1][0] == width:
            leaf, width = node_hash(self._peaks.pop()[1], leaf), width * 2
        self._peaks.append((width, leaf))

    def root(self) -> bytes:
        """The hash of everything so far."""
        if not self._peaks:
            return EMPTY
        found = self._peaks[-1][1]
        for _, peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found


class Checkpoint(NamedTuple):
    """What a cloud signed: its log had so many events, and this root."""

    origin: str
    size: int
    root: bytes


def key_id(origin: str, public: bytes) -> bytes:
    """The four bytes that a signature names its key with (C2SP signed-note)."""
    return hashlib.sha256(origin.encode() + b"\n\x01" + public).digest()[:4]


def written(checkpoint: Checkpoint) -> str:
    """The text that is signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def signed(checkpoint: Checkpoint, public: bytes, sign: Callable[[bytes], bytes]) -> str:
    """A signed note."""
    text = written(checkpoint)
    line = base64.b64encode(key_id(checkpoint.origin, public) + sign(text.encode())).decode()
    return f"{text}\n\N{EM DASH} {checkpoint.origin} {line}\n"


def opened(note: str, public: bytes) -> Checkpoint:
    """A signed note's checkpoint. Raises ValueError where it was not signed with this key."""
    try:
        text, _, rest = note.partition("\n\n")
        origin, size, root = text.split("\n")
        mark, name, line = rest.rstrip("\n").split(" ")
        signature, found = base64.b64decode(line, validate=True), Checkpoint(origin, int(size), base64.b64decode(root, validate=True))
    except (ValueError, binascii.Error) as error:
        raise ValueError("This is not a checkpoint.") from error
    right = mark == "\N{EM DASH}" and name == origin and written(found) == text + "\n" and signature[:4] == key_id(origin, public)
    if not right or not ed25519(public, signature[4:], written(found).encode()):
        raise ValueError("The checkpoint was not signed with this key.")
    return found


class Finding(NamedTuple):
    """What is wrong: the events from `first` up to before `end`, counted from 0, and why."""

    first: int
    end: int
    why: str


def check(lines: Iterable[str], public: bytes, known: Sequence[Checkpoint] = ()) -> tuple[int, list[Finding]]:
    """How many events an export has, and everything that is wrong with it."""
    told, real, found = Growing(), Growing(), list[Finding]()
    kept = {one.size: one for one in known}
    good, origin = 0, ""

    def compare(checkpoint: Checkpoint, whose: str) -> None:
        nonlocal good, origin
        if origin and checkpoint.origin != origin:
            found.append(Finding(checkpoint.size, checkpoint.size, f"{whose} is of another log: {checkpoint.origin}"))
            return
        origin = checkpoint.origin
        if checkpoint.size != told.size:
            found.append(Finding(good, told.size, f"{whose} is of {checkpoint.size} events where {told.size} are"))
        elif checkpoint.root != told.root():
            found.append(Finding(good, told.size, f"{whose} does not hold: an event was changed, moved, put in or taken out"))
        elif real.root() == told.root():
            good = told.size

    for number, line in enumerate(lines, 1):
        try:
            part = json.loads(line)
            if "checkpoint" in part:
                compare(opened(part["checkpoint"], public), "a checkpoint")
                continue
            document, leaf = part["event"], bytes.fromhex(part["hash"])
            actual = leaf if document is None else leaf_hash(document.encode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            found.append(Finding(told.size, told.size, f"line {number}: {error}"))
            continue
        if document is None or actual != leaf:
            why = "the event was removed" if document is None else "the event was changed: it does not have its hash"
            found.append(Finding(told.size, told.size + 1, why))
        told.add(leaf)
        real.add(actual)
        if told.size in kept:
            compare(kept.pop(told.size), "a checkpoint that was kept")
    for one in kept.values():
        found.append(Finding(told.size, one.size, f"the log was cut: a checkpoint that was kept is of {one.size} events"))
    return told.size, found


# Ed25519, to verify with only (RFC 8032, 5.1): nothing here is secret, so it need not take the same time for everything.
_P, _L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def _add(a: _Point, b: _Point) -> _Point:
    one, two = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    three, four = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = two - one, four - three, four + three, two + one
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(count: int, point: _Point) -> _Point:
    out: _Point = (0, 1, 1, 0)
    while count:
        if count & 1:
            out = _add(out, point)
        point, count = _add(point, point), count >> 1
    return out


def _point(data: bytes) -> _Point:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if y >= _P or (x * x - square) % _P or (x == 0 and sign):
        raise ValueError("This is not a key of Ed25519.")
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


_BASE = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))


def ed25519(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature is that of a public key."""
    if len(public) != 32 or len(signature) != 64 or (s := int.from_bytes(signature[32:], "little")) >= _L:
        return False
    try:
        key, r = _point(public), _point(signature[:32])
    except ValueError:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % _L
    a, b = _times(s, _BASE), _add(r, _times(h, key))
    return (a[0] * b[2] - b[0] * a[2]) % _P == 0 and (a[1] * b[2] - b[1] * a[2]) % _P == 0


def main() -> int:
    """The program: 0 where the log is whole, 1 where it is not, 2 where it cannot be read."""
    parser = argparse.ArgumentParser(description="Check an export of an audit log.")
    parser.add_argument("export", type=Path)
    parser.add_argument("--key", required=True, help="the cloud's public key, in base64")
    parser.add_argument("--known", type=Path, action="append", default=[], help="a checkpoint that was kept")
    asked = parser.parse_args()
    try:
        public = base64.b64decode(asked.key, validate=True)
        known = [opened(file.read_text(), public) for file in asked.known]
        with asked.export.open(encoding="utf-8") as lines:
            size, found = check(lines, public, known)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"cannot be checked: {error}\n")
        return 2
    for one in found:
        sys.stdout.write(f"events {one.first} to {one.end}: {one.why}\n")
    sys.stdout.write(f"{size} events, {len(found)} faults\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
