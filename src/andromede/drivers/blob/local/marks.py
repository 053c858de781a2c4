"""Whether the few entries that nearly every request reads are still as this process read them last, told without asking the index.

Each shard has a number in a small file that all processes map. Whoever commits a change of a watched key makes it odd before the
journal has it, and another even number once the index shows it. So what was read under an even number, and found under the same
number again, is what there is. A crash leaves it odd, and nothing is remembered until the journal was caught up with.
"""

import mmap
import os
from pathlib import Path

from andromede.drivers.blob.local.disk import Disk


class Marks:
    """The numbers. watched: what the keys begin with, two bytes each. Only who holds a shard's lock may `begin` and `end`."""

    def __init__(self, path: Path, shards: int, disk: Disk, watched: frozenset[bytes]) -> None:
        self.watched = watched
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size < 8 * shards:
                os.ftruncate(fd, 8 * shards)
                disk.sync(fd)
            self._numbers = memoryview(mmap.mmap(fd, 8 * shards)).cast("Q")
        finally:
            os.close(fd)

    def get(self, shard: int) -> int:
        """The number of a shard."""
        return self._numbers[shard]

    def begin(self, shard: int) -> None:
        """Something watched is about to change."""
        self._numbers[shard] |= 1

    def end(self, shard: int) -> None:
        """It has changed, or has not; whoever looks from now on sees which."""
        self._numbers[shard] = ((self._numbers[shard] | 1) + 1) & (1 << 64) - 1
