"""A request for something that belongs to somebody else: what may be done with it, and how its paths are told.

The names of such a call are those of the owner's tree, so that every folder above a change learns of it; only what is below the shared
node is ever shown or taken.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from andromede.http.plain import Request
from andromede.services.drive.dav.call import Call
from andromede.services.drive.errors import Forbidden
from andromede.services.drive.people import Person
from andromede.services.drive.shares import CREATE, DELETE, READ, SHARE, UPDATE, Grant
from andromede.services.drive.tree import names as names_of
from andromede.services.drive.tree.nodes import Node

if TYPE_CHECKING:
    from andromede.services.drive.dav.face import Dav

_NEEDED = {
    "GET": READ, "HEAD": READ, "PROPFIND": READ, "REPORT": READ, "MKCOL": CREATE, "DELETE": DELETE, "PROPPATCH": UPDATE, "LOCK": UPDATE | CREATE,
    "UNLOCK": UPDATE | CREATE, "PATCH": UPDATE, "PUT": UPDATE | CREATE, "MOVE": UPDATE | CREATE | DELETE, "COPY": UPDATE | CREATE,
}  # fmt: skip
"""What a method needs, any of it; PUT and MOVE are looked at closer."""


class Shared(Call):
    """A call within a share. shown: the names under which the shared node is seen below `base`; roots: the unquoted paths that `base` stands for."""

    __slots__ = ("grant", "putting", "roots", "shown")

    def __init__(
        self, dav: "Dav", request: Request, person: Person, grant: Grant, base: str, shown: tuple[str, ...], rest: tuple[str, ...],
        roots: tuple[bytes, ...],
    ) -> None:  # fmt: skip
        super().__init__(dav, request, person, grant.space, base, (*grant.path, *rest))
        self.grant, self.shown, self.roots = grant, shown, roots
        self.putting = request.method == "PUT"

    def may(self, method: str) -> None:
        """Raise Forbidden for a method that the share does not allow."""
        if not _NEEDED.get(method, 0) & self.grant.permissions:
            raise Forbidden("The share does not allow this.")
        top = len(self.names) == len(self.grant.path)
        if top and method in {"DELETE", "MOVE", "MKCOL"}:
            raise Forbidden("The share's root stays where it is.")
        if method in {"MOVE", "COPY"}:
            to = self.target(self.destination())
            if method == "COPY":
                self._need(READ)
            elif to is not None:
                same = to[:-1] == self.names[:-1]
                self._need(UPDATE if same else CREATE | DELETE)
            if to is not None and len(to) <= len(self.grant.path):
                raise Forbidden("The share's root stays where it is.")

    def _need(self, bits: int) -> None:
        if bits & ~self.grant.permissions:
            raise Forbidden("The share does not allow this.")

    def permit(self, chain: Sequence[Node]) -> None:
        """Something is replaced, or made."""
        to = self.names if self.putting else self.target(self.destination()) if self.request.method == "COPY" else None
        if to is not None:
            self._need(UPDATE if len(chain) > len(to) else CREATE)

    def href(self, names: Sequence[str], *, folder: bool = False) -> str:
        """The path of something in the share."""
        return super().href((*self.shown, *names[len(self.grant.path) :]), folder=folder)

    def target(self, path: bytes) -> tuple[str, ...] | None:
        """The names, in the owner's tree, of a path within the share."""
        for root in self.roots:
            if path == root or path.startswith(root + b"/"):
                found = names_of.split(path[len(root) :])
                if found[: len(self.shown)] == self.shown:
                    return (*self.grant.path, *found[len(self.shown) :])
        return None

    def permissions(self, one: Node) -> str:
        """What may be done with a node, in the letters of Nextcloud's clients."""
        return letters(self.grant.permissions, one, root=one.id == self.grant.node_id and bool(self.shown))


def shared_of(call: Call, names: tuple[str, ...]) -> Shared | None:
    """The same request for what a path of one's own tree names, where that is somebody else's."""
    found = call.mounts.get(names[0]) if names else None
    if found is None:
        return None
    return Shared(call.dav, call.request, call.person, found, call.base, names[:1], names[1:], call.dav.bases(call.person))


def put_of(call: Call, names: tuple[str, ...]) -> Shared | None:
    """The same, for a file that is put there by another method than PUT."""
    made = shared_of(call, names)
    if made is not None:
        made.putting = True
    return made


def letters(bits: int, one: Node, *, root: bool) -> str:
    """Permissions of a share in letters. root: the shared node itself, which whoever it was given to may rename and take out of their tree."""
    out = "S" + ("R" if bits & SHARE else "") + ("G" if bits & READ else "")
    out += "D" if bits & DELETE or root else ""
    out += "NV" if bits & UPDATE or root else ""
    return out + (("CK" if bits & CREATE else "") if one.folder else ("W" if bits & UPDATE else ""))
