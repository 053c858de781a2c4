"""Documents, in and out. In: defusedxml, with declarations refused, so that no entity is ever expanded. Out: text that is put together,
since a folder may have a hundred thousand entries.

A name is `{namespace}local`, as ElementTree has it.
"""

from collections.abc import Iterable
from functools import lru_cache
from xml.etree.ElementTree import Element, ParseError, tostring

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from andromede.core.errors import BadRequest

DAV, OC, NC = "DAV:", "http://owncloud.org/ns", "http://nextcloud.org/ns"
MOST = 1 << 20
"""Bytes that a document of a request may have."""
_PREFIXES = {DAV: "d", OC: "oc", NC: "nc", "http://sabredav.org/ns": "s"}
HEAD = '<?xml version="1.0" encoding="utf-8"?>\n'
SPACES = 'xmlns:d="DAV:" xmlns:s="http://sabredav.org/ns" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns"'
OPEN, CLOSE = f"{HEAD}<d:multistatus {SPACES}>", "</d:multistatus>"
_ESCAPES = {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord('"'): "&quot;", 13: "&#xD;"} | {
    code: "\ufffd" for code in range(32) if code not in {9, 10, 13}
}
_DEEP = 60


def d(name: str) -> str:
    """A name of DAV:."""
    return f"{{DAV:}}{name}"


def oc(name: str) -> str:
    """A name of ownCloud's namespace."""
    return f"{{{OC}}}{name}"


def nc(name: str) -> str:
    """A name of Nextcloud's namespace."""
    return f"{{{NC}}}{name}"


def parse(data: bytes, *roots: str) -> Element:
    """The root element, which must be one of `roots` where any are given. Raises BadRequest."""
    try:
        found: Element = fromstring(data, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise BadRequest("The body is not a document of XML that can be read here.") from error
    if roots and found.tag not in roots:
        raise BadRequest(f"The document should be a {' or '.join(roots)}.")
    waiting = [(found, 0)]
    while waiting:
        one, depth = waiting.pop()
        if depth > _DEEP:
            raise BadRequest("The document is too deep.")
        waiting += [(child, depth + 1) for child in one]
    return found


def text(found: Element | None) -> str:
    """The text of an element, without spaces around it."""
    return (found.text or "").strip() if found is not None else ""


def raw(found: Element) -> str:
    """An element as it is to be kept."""
    found.tail = None
    return tostring(found, encoding="unicode")


def escape(given: str) -> str:
    """A text as it stands in a document."""
    return given.translate(_ESCAPES)


@lru_cache(1000)
def tag(name: str) -> tuple[str, str]:
    """What opens and what closes an element of a name, without the angles."""
    space, brace, local = name[1:].partition("}") if name.startswith("{") else ("", "", name)
    if brace and space in _PREFIXES:
        return f"{_PREFIXES[space]}:{local}", f"{_PREFIXES[space]}:{local}"
    return (f'x:{local} xmlns:x="{escape(space)}"', f"x:{local}") if space else (local, local)


def empty(name: str) -> str:
    """An element with nothing in it."""
    return f"<{tag(name)[0]}/>"


def element(name: str, content: str) -> str:
    """An element with XML in it."""
    opening, closing = tag(name)
    return f"<{opening}>{content}</{closing}>" if content else f"<{opening}/>"


def propstat(props: Iterable[str], status: str) -> str:
    """Properties with the status that they share."""
    return f"<d:propstat><d:prop>{''.join(props)}</d:prop><d:status>HTTP/1.1 {status}</d:status></d:propstat>"


def fault(message: str, exception: str, condition: str = "") -> bytes:
    """What an error looks like to clients."""
    return (
        f"{HEAD}<d:error {SPACES}>{condition}<s:exception>{exception}</s:exception><s:message>{escape(message)}</s:message></d:error>"
    ).encode("utf-8", "surrogatepass")
