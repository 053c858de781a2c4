"""What headers a request sets on an account, a container or an object, and what an answer shows of them."""

import re
from collections.abc import Iterable

from andromede.core.clock import now
from andromede.services.object.model import DLO, SLO, Object
from andromede.services.object.swift.answers import Pairs, bad
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.settings import Settings

KEPT = ("content-disposition", "content-encoding", "cache-control", "content-language", "expires", "x-robots-tag")
"""Headers of objects that are kept as they are."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
LATEST = 9_999_999_999
Changes = dict[str, str]


def length(text: str) -> int:
    """Bytes of a header's value."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def valid(text: str) -> bool:
    """Whether a header's value is UTF-8 and holds no NUL."""
    if text.isascii():
        return "\0" not in text
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def sendable(text: str) -> bool:
    """Whether a text that came in a body may be a header's value."""
    return valid(text) and _CONTROL.search(text) is None


def check(call: Call, kind: str) -> None:
    """Raise Refused where the request's metadata are too many or too long. kind: `account`, `container`, `object`."""
    prefix, limits = f"x-{kind}-meta-", call.settings
    count = size = 0
    for name, value in call.headers.items():
        if len(value) > limits.max_header_size:
            raise bad(f"Header value too long: {name.title()[: limits.max_meta_name_length]}")
        if not name.startswith(prefix):
            continue
        key, amount = name[len(prefix) :], length(value)
        if not key:
            raise bad("Metadata name cannot be empty")
        if not valid(value):
            raise bad("Metadata must be valid UTF-8")
        count += 1
        size += len(key) + amount
        if len(key) > limits.max_meta_name_length:
            raise bad(f"Metadata name too long: {prefix}{key.title()}")
        if amount > limits.max_meta_value_length:
            raise bad(f"Metadata value longer than {limits.max_meta_value_length}: {prefix}{key.title()}")
        _total(limits, count, size)


def _total(limits: Settings, count: int, size: int) -> None:
    if count > limits.max_meta_count:
        raise bad(f"Too many metadata items; max {limits.max_meta_count}")
    if size > limits.max_meta_overall_size:
        raise bad(f"Total metadata too large; max {limits.max_meta_overall_size}")


def changes(call: Call, kind: str, others: Iterable[str] = ()) -> Changes:
    """What a request changes of an account's or a container's headers; an empty value removes. Raises Refused."""
    check(call, kind)
    prefix, remove = f"x-{kind}-meta-", f"x-remove-{kind}-meta-"
    out: Changes = {}
    for name, value in call.headers.items():
        if name.startswith(remove):
            out.setdefault(prefix + name[len(remove) :], "")
        elif name.startswith(prefix):
            out[name] = value
    for name in others:
        if name in call.headers:
            out[name] = call.headers.get(name)
            if not valid(out[name]):
                raise bad(f"{name.title()} must be valid UTF-8")
        if "x-remove-" + name[2:] in call.headers and not out.get(name):
            out[name] = ""
    return out


def merged(limits: Settings, before: dict[str, str], wanted: Changes, kind: str) -> dict[str, str]:
    """Kept headers with the changes. Raises Refused where there are too many now."""
    after = {name: value for name, value in {**before, **wanted}.items() if value != ""}
    prefix = f"x-{kind}-meta-"
    if any(name.startswith(prefix) for name in wanted):
        ours = [(name, value) for name, value in after.items() if name.startswith(prefix)]
        _total(limits, len(ours), sum(len(name) - len(prefix) + length(value) for name, value in ours))
    return after


def shown(kept: dict[str, str], prefixes: tuple[str, ...]) -> Pairs:
    """Kept headers as an answer has them."""
    return [(name.title(), value) for name, value in kept.items() if name.startswith(prefixes)]


def of_object(call: Call) -> dict[str, str]:
    """The metadata and the other headers that an object shall have. Raises Refused."""
    check(call, "object")
    out = {}
    for name, value in call.headers.items():
        if name.startswith("x-object-meta-"):
            out[name[9:]] = value
        elif name in KEPT and value:
            if not valid(value):
                raise bad(f"Invalid {name.title()}")
            out[name] = value
    return out


def delete_at(call: Call) -> int:
    """When an object shall expire, in seconds; 0 for never. Raises Refused."""
    after, at = call.headers.get("x-delete-after"), call.headers.get("x-delete-at")
    if not after and not at and "x-delete-after" not in call.headers and "x-delete-at" not in call.headers:
        return 0
    moment = now().timestamp()
    if "x-delete-after" in call.headers:
        value = _integer(after, "Non-integer X-Delete-After") + int(moment)
        if value <= moment:
            raise bad("X-Delete-After in past")
        return min(value, LATEST)
    value = _integer(at, "Non-integer X-Delete-At")
    if value <= moment:
        raise bad("X-Delete-At in past")
    return min(value, LATEST)


def _integer(text: str, fault: str) -> int:
    try:
        return int(text) if len(text) < 32 else LATEST
    except ValueError:
        raise bad(fault) from None


def of_answer(thing: Object) -> Pairs:
    """What an answer shows of an object beside its size, ETag and times."""
    pairs = [
        ("X-Object-" + name.title() if name.startswith("meta-") else name.title(), value)
        for name, value in thing.headers.items()
        if name.startswith("meta-") or name in KEPT
    ]
    if thing.delete_at:
        pairs.append(("X-Delete-At", str(thing.delete_at)))
    if thing.kind == SLO:
        pairs.append(("X-Static-Large-Object", "True"))
    elif thing.kind == DLO:
        pairs.append(("X-Object-Manifest", str(thing.target)))
    return pairs
