"""Regular expressions that callers send to find things by.

Python's engine, which SQLite calls for us, tries every way to split a text among repetitions, and nothing can interrupt it: one
request could hold a process for years. So only what needs few tries is taken: no repeated group, and two repetitions at most.
"""

import re
import warnings

from andromede.core.errors import BadRequest

_MOST = 255
_REPEATS = 2
_PART = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\)[*+{]|\(\?|[*+{]|.", re.DOTALL)


def quick(pattern: str, field: str) -> str:
    """The pattern, where it is a regular expression that is soon matched. Raises BadRequest that names `field`.

    Raises re.error for what is no regular expression; the caller knows what to make of that.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        re.compile(pattern)
    parts = _PART.findall(pattern)
    repeats = sum(part in ("*", "+", "{") for part in parts)
    hard = any((part[0] == ")" and len(part) > 1) or part == "(?" or re.fullmatch(r"\\\d", part) for part in parts)
    if hard or repeats > _REPEATS or len(pattern) > _MOST:
        raise BadRequest(
            f"Invalid input for query parameter {field}: the regular expression may hold {_REPEATS} repetitions at most, "
            "and none of a group, no (?…) and no reference to a group."
        )
    return pattern
