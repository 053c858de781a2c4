"""Whether what clients saw of one key could have happened one thing after another (linearizability), after Wing and Gong, with a memory of
what was tried as Lowe has it.

A key holds a value or None. An operation is what a client asked and was told, and from when to when that took; where it was told
nothing, it may have happened at any time after its start, or never.
"""

import math
from collections.abc import Callable

import msgspec

NONE = None
Step = Callable[[str | None], tuple[bool, str | None]]
"""From the value before to whether the answer fits it, and the value after."""


class Operation(msgspec.Struct, frozen=True):
    """`end` infinite: no answer came."""

    start: float
    end: float
    step: Step
    text: str = ""


def linearizable(history: list[Operation], first: str | None = NONE) -> bool:
    """Whether there is an order that fits all answers, and in which nothing comes before what had ended when it began."""
    each = sorted(history, key=lambda one: one.start)
    needed = sum(1 << index for index, one in enumerate(each) if one.end < math.inf)
    tried = {(0, first)}
    waiting = [(0, first)]
    while waiting:
        done, value = waiting.pop()
        if done & needed == needed:
            return True
        last = math.inf
        for index in range((~done & (done + 1)).bit_length() - 1, len(each)):
            if done >> index & 1:
                continue
            one = each[index]
            if one.start > last:
                break
            last = min(last, one.end)
            fits, after = one.step(value)
            state = (done | 1 << index, after)
            if fits and state not in tried:
                tried.add(state)
                waiting.append(state)
    return False


def put(value: str) -> Step:
    """A write that succeeded."""
    return lambda _before: (True, value)


def put_new(value: str, *, done: bool) -> Step:
    """A write of what must not be there."""
    return lambda before: (done == (before is None), value if done else before)


def put_over(value: str, match: str, told: str) -> Step:
    """A write over one value. told: `done`, `other` or `absent`."""
    return lambda before: (told == _state(before, match), value if told == "done" else before)


def remove(told: bool | None) -> Step:
    """A deletion; told: whether something was there, None where that was not said."""
    return lambda before: (told is None or told == (before is not None), None)


def remove_one(match: str, told: str) -> Step:
    """A deletion of one value. told: as of `put_over`."""
    return lambda before: (told == _state(before, match), None if told == "done" else before)


def get(value: str | None) -> Step:
    """A read."""
    return lambda before: (before == value, before)


def _state(before: str | None, match: str) -> str:
    return "absent" if before is None else "done" if before == match else "other"
