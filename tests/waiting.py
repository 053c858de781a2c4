"""How tests wait: for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import Any

_SOON, _SELDOM, _LEAST = 0.01, 0.5, 120.0


def until(check: Callable[[], Any], seconds: float = _LEAST, *, ignore: tuple[type[Exception], ...] = ()) -> Any:
    """What `check` answers, once that is true; it is asked often at first and then twice a second. ignore: its errors that mean not yet.
    Two minutes are the least that is waited: a test that goes well loses nothing by them, and the machine may be busy."""
    seconds = max(seconds, _LEAST)
    end, pause = time.monotonic() + seconds, _SOON
    while time.monotonic() < end:
        try:
            if found := check():
                return found
        except ignore:
            pass
        time.sleep(pause)
        pause = min(pause * 1.5, _SELDOM)
    raise AssertionError(f"it did not come about within {seconds:.0f} s")
