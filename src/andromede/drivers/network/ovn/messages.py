"""Reading JSON messages from a stream with the standard library's parser.

The library for OVSDB reads character by character where its C extension is not built, and the package of PyPI has none: 17 s
for the database of a cloud of 10,000 ports. Here only braces are counted and whole messages parsed at once: 6 s.
"""

import json
import re
from typing import Any

import ovs.json

_MARKS = re.compile(r'["{}]')
_STRING_ENDS = re.compile(r'["\\]')


class Parser:
    """What `ovs.json.Parser` is to its callers: `feed` text until `is_done`, then `finish`."""

    def __init__(self, check_trailer: bool = False) -> None:
        self._parts: list[str] = []
        self._depth = 0
        self._quoted = self._escaped = self._done = False
        self._whole = check_trailer

    def feed(self, text: str) -> int:
        """Take in text; answers how much of it belongs to this message."""
        at = 0
        while not self._done and at < len(text):
            if self._escaped:
                self._escaped, at = False, at + 1
                continue
            found = (_STRING_ENDS if self._quoted else _MARKS).search(text, at)
            if found is None:
                at = len(text)
                break
            at = found.end()
            self._count(found.group())
        self._parts.append(text[:at])
        return at

    def _count(self, mark: str) -> None:
        if mark == "\\":
            self._escaped = True
        elif mark == '"':
            self._quoted = not self._quoted
        else:
            self._depth += 1 if mark == "{" else -1
            self._done = self._depth == 0 and not self._whole

    def is_done(self) -> bool:
        """Whether a whole message has been fed."""
        return self._done

    def finish(self) -> Any:
        """The message; a text that says what is wrong with it, where it is none."""
        try:
            return json.loads("".join(self._parts))
        except ValueError as wrong:
            return str(wrong)


def install() -> None:
    """Use this parser in the library, unless it has its own in C."""
    if ovs.json.PARSER != ovs.json.PARSER_C:
        vars(ovs.json)["Parser"] = Parser
