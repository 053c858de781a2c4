"""Guesses are slowed: who was wrong too often must wait, for each wrong try twice as long. Each process counts for itself."""

import threading

from andromede.core.clock import monotonic
from andromede.core.errors import TooManyRequests

_MOST, _FORGET, _LONGEST = 20_000, 900.0, 60.0


class Slowing:
    """Wrong tries by key, such as an account and an address. free: how many cost nothing."""

    def __init__(self, free: int) -> None:
        self._free = free
        self._wrong: dict[str, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def check(self, key: str) -> None:
        """Raise TooManyRequests, with the seconds to wait, for who was wrong too often too lately."""
        count, last = self._wrong.get(key, (0, 0.0))
        if count < self._free:
            return
        left = last + min(2.0 ** (count - self._free), _LONGEST) - monotonic()
        if left > 0:
            raise TooManyRequests("Too many wrong tries: wait, and try again.", headers={"Retry-After": str(int(left) + 1)})

    def wrong(self, key: str) -> None:
        """Count a wrong try."""
        moment = monotonic()
        with self._lock:
            if len(self._wrong) >= _MOST:
                self._wrong = {one: kept for one, kept in self._wrong.items() if kept[1] > moment - _FORGET}
                while len(self._wrong) >= _MOST:
                    del self._wrong[next(iter(self._wrong))]
            count, last = self._wrong.pop(key, (0, 0.0))
            self._wrong[key] = (count + 1 if last > moment - _FORGET else 1, moment)

    def right(self, key: str) -> None:
        """Forget wrong tries."""
        with self._lock:
            self._wrong.pop(key, None)
