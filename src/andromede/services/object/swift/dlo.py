"""Dynamic large objects: `X-Object-Manifest: CONTAINER/PREFIX` makes an object of all whose names begin so, in their order."""

from urllib.parse import unquote

from andromede.services.object.swift.answers import Refused
from andromede.services.object.swift.call import Call

HEADER = "x-object-manifest"


def wanted(call: Call) -> str:
    """The manifest that a request sets, as it is kept. Raises Refused."""
    text = call.headers.get(HEADER)
    container, slash, prefix = unquote(text).partition("/")
    if not container or not slash or not prefix or "?" in text or "&" in text or prefix.startswith("/"):
        raise Refused(400, "X-Object-Manifest must be in the format container/prefix")
    return text
