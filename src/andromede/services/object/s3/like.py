"""Patterns with `*` and `?`, as policies have them."""

import re


def like(pattern: str, text: str) -> bool:
    """Whether a text fits a pattern with `*` and `?`, in time that does not explode. Stars that are meant are U+E000."""
    first, *rest = [_literal(part) for part in pattern.split("*")]
    if not rest:
        return len(first) == len(text) and _fits(first, text, 0)
    if not _fits(first, text, 0) or len(text) < len(first):
        return False
    at = len(first)
    *middle, last = rest
    for part in middle:
        at = _search(part, text, at)
        if at < 0:
            return False
        at += len(part)
    return len(text) - len(last) >= at and _fits(last, text, len(text) - len(last))


def _literal(part: str) -> str:
    return part.replace("?", "\ue003").replace("\ue000", "*").replace("\ue001", "?")


def _fits(part: str, text: str, at: int) -> bool:
    if "\ue003" not in part:
        return text.startswith(part, at)
    return len(text) >= at + len(part) and all(one in ("\ue003", other) for one, other in zip(part, text[at:], strict=False))


def _search(part: str, text: str, at: int) -> int:
    if "\ue003" not in part:
        return text.find(part, at)
    found = re.compile("".join("." if letter == "\ue003" else re.escape(letter) for letter in part), re.DOTALL).search(text, at)
    return found.start() if found else -1
