"""The log's tree, kept in tiles: rows of up to 256 hashes, of events at level 0, of whole tiles of the level below above that.

Source: C2SP tlog-tiles. A tile that is full never changes; a proof in a log of ten million events reads a dozen.
"""

import hashlib
from collections.abc import Callable

from andromede.services.audit.verifier import EMPTY, node_hash

WIDTH, HEIGHT, HASH = 256, 8, 32
Get = Callable[[int, int], bytes]
"""The hashes of a tile, one after the other, by level and index."""


class Tree:
    """A log of `size` events over its tiles."""

    def __init__(self, size: int, get: Get) -> None:
        self.size, self._get = size, get
        self._seen: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        """The hash of the whole log."""
        return self._hash(0, self.size) if self.size else EMPTY

    def inclusion(self, index: int) -> list[bytes]:
        """The proof that an event is in the log (RFC 9162, 2.1.3.1)."""
        low, high, out = 0, self.size, list[bytes]()
        while high - low > 1:
            middle = low + _largest(high - low)
            if index < middle:
                out.append(self._hash(middle, high))
                high = middle
            else:
                out.append(self._hash(low, middle))
                low = middle
        return out[::-1]

    def consistency(self, old: int) -> list[bytes]:
        """The proof that the log begins with its first `old` events (RFC 9162, 2.1.4.1)."""
        if old in (0, self.size):
            return []
        low, high, out, whole = 0, self.size, list[bytes](), True
        while old != high:
            middle = low + _largest(high - low)
            if old <= middle:
                out.append(self._hash(middle, high))
                high = middle
            else:
                out.append(self._hash(low, middle))
                low, whole = middle, False
        if not whole:
            out.append(self._hash(low, high))
        return out[::-1]

    def _hash(self, low: int, high: int) -> bytes:
        count = high - low
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, low // count)
        middle = low + _largest(count)
        return node_hash(self._hash(low, middle), self._hash(middle, high))

    def _node(self, level: int, index: int) -> bytes:
        """The hash of a subtree that is whole."""
        row, above = divmod(level, HEIGHT)
        first = index << above
        place = (row, first // WIDTH)
        if place not in self._seen:
            self._seen[place] = self._get(*place)
        start = first % WIDTH * HASH
        return folded(self._seen[place][start : start + (HASH << above)])


def folded(hashes: bytes) -> bytes:
    """The hash of a subtree of a power of two of hashes."""
    pair, sha = 2 * HASH, hashlib.sha256
    while len(hashes) > HASH:  # as `node_hash`, which is called a thousand times for a proof
        hashes = b"".join([sha(b"\1" + hashes[at : at + pair]).digest() for at in range(0, len(hashes), pair)])
    return hashes


def _largest(count: int) -> int:
    """The largest power of two below a number."""
    return 1 << ((count - 1).bit_length() - 1)
