"""Conditions on requests: `If` (RFC 4918, 10.4), `If-Match` and its kin (RFC 9110, 13)."""

import re
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec

from andromede.core.errors import BadRequest, PreconditionFailed
from andromede.http.plain import Headers

_WORD = re.compile(r'\s*(?:(\()|(\))|(Not)\b|<([^>]*)>|\[((?:W/)?"[^"]*")\])', re.IGNORECASE)
State = tuple[str, frozenset[str]]
"""Of something: its etag, empty where it is not there, and the tokens of the locks on it."""


class _Condition(msgspec.Struct, frozen=True):
    """negated: it must not hold; token, etag: one of the two."""

    negated: bool
    token: str = ""
    etag: str = ""


class If:
    """The header If. lists: for each the path that it is for (None: what is asked for) and what must hold together; tokens: those that the
    client shows that it knows. Raises BadRequest."""

    def __init__(self, header: str) -> None:
        self.lists: list[tuple[bytes | None, list[_Condition]]] = []
        self.tokens: set[str] = set()
        at, path, inside, negated = 0, None, None, False
        while header[at:].strip():
            found = _WORD.match(header, at)
            if found is None:
                raise BadRequest("The header If cannot be read.")
            at = found.end()
            opening, closing, no, angled, etag = found.groups()
            if opening and inside is None:
                inside = list[_Condition]()
            elif closing and inside:
                self.lists.append((path, inside))
                inside = None
            elif no and inside is not None:
                negated = True
            elif angled is not None and inside is None:
                path = unquote_to_bytes(urlsplit(angled).path)
            elif angled is not None and inside is not None:
                inside.append(_Condition(negated, token=angled))
                self.tokens.add(angled)
                negated = False
            elif etag is not None and inside is not None:
                inside.append(_Condition(negated, etag=etag.removeprefix("W/").strip('"')))
                negated = False
            else:
                raise BadRequest("The header If cannot be read.")
        if inside is not None or (header.strip() and not self.lists):
            raise BadRequest("The header If cannot be read.")

    def __bool__(self) -> bool:
        return bool(self.lists)

    def prove(self, state: Callable[[bytes | None], State]) -> None:
        """Raise PreconditionFailed unless one of the lists holds. state: of a path, or of what is asked for."""
        if not self.lists:
            return
        for path, conditions in self.lists:
            etag, tokens = state(path)
            if all((one.token in tokens if one.token else one.etag == etag) != one.negated for one in conditions):
                return
        raise PreconditionFailed("None of the conditions of the header If holds.")


def tags(header: str) -> list[str]:
    """The etags of a header."""
    return [one.strip().removeprefix("W/").strip('"') for one in header.split(",")]


def when(header: str) -> float | None:
    """The moment of a header."""
    try:
        return parsedate_to_datetime(header).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def prove(headers: Headers, etag: str, mtime: int | None) -> None:
    """Raise PreconditionFailed unless something with this etag, empty where it is not there, may be changed."""
    match, none = headers.get("if-match"), headers.get("if-none-match")
    if match and (not etag or (match.strip() != "*" and etag not in tags(match))):
        raise PreconditionFailed("It is not what If-Match says.")
    if none and etag and (none.strip() == "*" or etag in tags(none)):
        raise PreconditionFailed("It is what If-None-Match says.")
    since = when(headers.get("if-unmodified-since")) if "if-unmodified-since" in headers and not match else None
    if since is not None and mtime is not None and mtime > since:
        raise PreconditionFailed("It has changed since then.")


def unmodified(headers: Headers, etag: str, mtime: int) -> bool:
    """Whether who reads has it already. Raises PreconditionFailed."""
    match, none = headers.get("if-match"), headers.get("if-none-match")
    if match and match.strip() != "*" and etag not in tags(match):
        raise PreconditionFailed("It is not what If-Match says.")
    since = when(headers.get("if-unmodified-since")) if "if-unmodified-since" in headers and not match else None
    if since is not None and mtime > since:
        raise PreconditionFailed("It has changed since then.")
    if none:
        return none.strip() == "*" or etag in tags(none)
    since = when(headers.get("if-modified-since")) if "if-modified-since" in headers else None
    return since is not None and mtime <= since


def ranges(header: str, size: int) -> Sequence[tuple[int, int]] | None:
    """First byte and end of each range that is asked for; None where the header is to be ignored, nothing where none can be given."""
    unit, _, text = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    found = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{0,19})-(\d{0,19})\s*", part, re.ASCII)
        if match is None or not (match[1] or match[2]):
            return None
        if match[1]:
            start, stop = int(match[1]), min(int(match[2]) + 1, size) if match[2] else size
            if match[2] and int(match[2]) < int(match[1]):
                return None
        else:
            start, stop = max(0, size - int(match[2])), size
        if start < stop:
            found.append((start, stop))
    return found
