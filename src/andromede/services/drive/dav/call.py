"""One request to the drive: who asks, for what, and under which conditions."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes, urlsplit

from andromede.core.errors import BadRequest
from andromede.http.plain import Request
from andromede.services.drive.dav.conditions import If
from andromede.services.drive.people import Person
from andromede.services.drive.tree import names as names_of
from andromede.services.drive.tree.nodes import Node
from andromede.services.drive.tree.spaces import Space

if TYPE_CHECKING:
    from andromede.services.drive.dav.face import Dav
    from andromede.services.drive.shares import Grant

Headers = list[tuple[str, str]]
FOLDER, FILE = "RGDNVCK", "RGDNVW"
"""What may be done with one's own, in the letters of Nextcloud's clients."""
_SAFE = "/!$&'()*+,;=:@-._~"


class Call:
    """One request. base: the path of the tree's root as it was asked for, quoted, without a slash at its end; names: the path within."""

    __slots__ = ("base", "dav", "given", "mounts", "names", "person", "request", "space")

    def __init__(self, dav: "Dav", request: Request, person: Person, space: Space, base: str, names: tuple[str, ...]) -> None:
        self.dav, self.request, self.person, self.space, self.base, self.names = dav, request, person, space, base, names
        self.given = If(self.header("if"))
        self.mounts: Mapping[str, Grant] = {}
        """What others have shared, by the names under which it is seen at the root of this tree."""

    @property
    def quota(self) -> int:
        """What the space has where it has no quota of its own."""
        return self.dav.settings.quota

    def header(self, name: str) -> str:
        """A header's value."""
        return self.request.headers.get(name)

    def number(self, name: str) -> int | None:
        """A header that is a count or a time; None where it is not there. Raises BadRequest."""
        value = self.header(name).strip()
        if not value:
            return None
        try:
            found = int(float(value))
        except (ValueError, OverflowError):
            raise BadRequest(f"The header {name} is not a number.") from None
        if not -(1 << 62) < found < 1 << 62:
            raise BadRequest(f"The header {name} is too large.")
        return found

    def href(self, names: Sequence[str], *, folder: bool = False) -> str:
        """The path of something in the tree, as answers have it."""
        path = "".join(f"/{quote(name, safe=_SAFE)}" for name in names)
        return f"{self.base}{path}{'/' if folder else ''}"

    def depth(self, default: str) -> str:
        """The header Depth: `0`, `1` or `infinity`. Raises BadRequest."""
        value = self.header("depth").strip().lower() or default
        if value not in {"0", "1", "infinity"}:
            raise BadRequest("The header Depth is 0, 1 or infinity.")
        return value

    def overwrite(self) -> bool:
        """The header Overwrite. Raises BadRequest."""
        value = self.header("overwrite").strip().upper() or "T"
        if value not in {"T", "F"}:
            raise BadRequest("The header Overwrite is T or F.")
        return value == "T"

    def destination(self) -> bytes:
        """The path that the header Destination names, unquoted. Raises BadRequest."""
        value = self.header("destination").strip()
        if not value:
            raise BadRequest("The header Destination is missing.")
        try:
            return unquote_to_bytes(urlsplit(value).path)
        except ValueError:
            raise BadRequest("The header Destination is not a URL.") from None

    def target(self, path: bytes) -> tuple[str, ...] | None:
        """The names of a path within the same tree; None where it is elsewhere."""
        for base in self.dav.bases(self.person):
            if path == base or path.startswith(base + b"/"):
                return names_of.split(path[len(base) :])
        return None

    def permit(self, chain: Sequence[Node]) -> None:
        """Raise Forbidden where the last node of a chain may not be changed so: one's own always may."""

    def permissions(self, one: Node) -> str:
        """What may be done with a node, in the letters of Nextcloud's clients."""
        return FOLDER if one.folder else FILE

    def told(self, one: Node) -> Headers:
        """What an answer says of something that was made or changed."""
        return [("OC-FileId", self.dav.oc_id(one.id)), ("ETag", f'"{one.etag}"'), ("OC-ETag", f'"{one.etag}"')]

    def href_end(self, one: Node) -> str:
        """What is added to a folder's path for something in it."""
        return f"/{quote(one.name, safe=_SAFE)}/" if one.folder else f"/{quote(one.name, safe=_SAFE)}"
