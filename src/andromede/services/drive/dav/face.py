"""What a path of the drive's WebDAV means, and how anything that goes wrong there is answered.

    /remote.php/webdav/…                        the caller's files
    /remote.php/dav/files/USER/…                the same
    /remote.php/dav/uploads/USER/UPLOAD/…       uploads in parts
    /remote.php/dav/bulk                        many small files in one request
    /remote.php/dav/trashbin/USER/trash/…       what was deleted
    /remote.php/dav/versions/USER/versions/ID/… what files were
    /remote.php/dav/principals/users/USER       who the caller is
"""

from collections.abc import Awaitable, Callable
from urllib.parse import quote

import structlog
from sqlalchemy import Connection

from andromede.core.errors import CloudError, MethodNotAllowed, NotFound
from andromede.db.engine import Database
from andromede.drivers.blob import Store
from andromede.http.plain import Gone, Reply, Request
from andromede.services.drive import shares
from andromede.services.drive.content import Content
from andromede.services.drive.dav import bulk, finding, history, locking, reading, reports, trashbin, uploads, writing
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.finding import XML
from andromede.services.drive.dav.props import simple
from andromede.services.drive.dav.shared import Shared, shared_of
from andromede.services.drive.dav.xml import d, escape, fault, nc, oc
from andromede.services.drive.desk import Desk
from andromede.services.drive.errors import Forbidden
from andromede.services.drive.people import Person
from andromede.services.drive.settings import Settings
from andromede.services.drive.shares import Grant
from andromede.services.drive.tree import names as names_of
from andromede.services.drive.tree import nodes, spaces
from andromede.services.drive.tree.spaces import Space

log = structlog.get_logger("drive")
Handler = Callable[[Call], Awaitable[Reply]]
FILES: dict[str, Handler] = {
    "GET": reading.get, "HEAD": reading.get, "PUT": writing.put, "DELETE": writing.delete, "MKCOL": writing.mkcol, "COPY": writing.copy,
    "MOVE": writing.move, "PROPFIND": finding.propfind, "PROPPATCH": finding.proppatch, "LOCK": locking.lock, "UNLOCK": locking.unlock,
    "PATCH": writing.patch, "REPORT": reports.report, "SEARCH": reports.search,
}  # fmt: skip
_BESIDE: dict[str, Handler] = {"uploads": uploads.answer, "trashbin": trashbin.answer, "versions": history.answer}
_OLD, _NEW = b"/remote.php/webdav", b"/remote.php/dav"
_EXCEPTIONS = {
    400: "BadRequest", 401: "NotAuthenticated", 403: "Forbidden", 404: "NotFound", 405: "MethodNotAllowed", 409: "Conflict",
    412: "PreconditionFailed", 415: "UnsupportedMediaType", 423: "Locked", 501: "NotImplemented", 503: "ServiceUnavailable",
    507: "InsufficientStorage",
}  # fmt: skip


class Dav:
    """The drive's WebDAV."""

    def __init__(self, database: Database, store: Store, settings: Settings | None = None) -> None:
        self.desk, self.content, self.settings = Desk(database), Content(store), settings or Settings()
        self._homes: dict[str, Space] = {}

    def close(self) -> None:
        """Wait for what is under way."""
        self.desk.close()

    async def answer(self, request: Request, person: Person) -> Reply:
        """Answer a request, whatever becomes of it."""
        request.notes["user"] = person.id
        return await self._safely(request, self._answer(request, person))

    async def _safely(self, request: Request, answering: Awaitable[Reply]) -> Reply:
        try:
            return await answering
        except Gone:
            return Reply(499)
        except CloudError as error:
            if error.status >= 500 and error.status != 507:
                log.warning("refused", request_id=request.id, cause=repr(error), why=repr(error.__cause__))
            condition = "<d:lock-token-submitted/>" if error.status == 423 else ""
            body = fault(error.message, f"Sabre\\DAV\\Exception\\{_EXCEPTIONS.get(error.status, 'Exception')}", condition)
            return Reply(error.status, [XML, *error.headers.items()], body)
        except Exception:
            log.exception("unexpected", request_id=request.id)
            return Reply(500, [XML], fault("Something went wrong here.", "Exception"))

    async def home(self, person: Person) -> Space:
        """Somebody's own space, made where it is missing."""
        known = self._homes.get(person.id)
        if known is None:
            known = await self.desk.read(lambda db: spaces.find(db, spaces.HOME, person.id))
            if known is None:
                known = await self.desk.write(lambda db: spaces.home(db, person))
            self._homes[person.id] = known
        return known

    async def _answer(self, request: Request, person: Person) -> Reply:
        path = request.path
        if path == _OLD or path.startswith(_OLD + b"/"):
            return await self._files(request, person, _OLD.decode(), path[len(_OLD) :])
        parts = [part for part in path[len(_NEW) :].split(b"/") if part]
        if request.method == "OPTIONS":
            return self._options()
        kind = parts[0].decode("utf-8", "replace") if parts else ""
        if len(parts) > 1 and kind in {"files", "uploads", "trashbin", "versions"}:
            user = parts[1].decode("utf-8", "replace")
            if user not in {person.account, person.id}:
                raise NotFound("There is no such user, or their files are not yours to see.")
            below = b"/".join(parts[2:])
            base = f"{_NEW.decode()}/{kind}/{quote(user)}"
            if kind == "files":
                return await self._files(request, person, base, below)
            call = Call(self, request, person, await self.home(person), base, names_of.split(below))
            call.mounts = await self.mounts(person) if kind == "uploads" and request.method == "MOVE" else {}
            return await _BESIDE[kind](call)
        if request.method == "SEARCH":
            base = f"{_NEW.decode()}/files/{quote(person.account)}"
            return await reports.search(Call(self, request, person, await self.home(person), base, ()))
        if kind == "bulk" and request.method == "POST":
            many = Call(self, request, person, await self.home(person), base="", names=())
            many.mounts = await self.mounts(person)
            return await bulk.post(many)
        return await self._others(request, person, kind, parts)

    async def _files(self, request: Request, person: Person, base: str, path: bytes) -> Reply:
        if request.method == "OPTIONS":
            return self._options()
        handler = self._handler(request)
        names = names_of.split(path)
        call = Call(self, request, person, await self.home(person), base, names)
        call.mounts = await self.mounts(person)
        if not call.mounts:
            return await handler(call)
        to = call.target(call.destination()) if request.method in {"MOVE", "COPY"} else None
        there = shared_of(call, names)
        if there is None:
            if to and to[0] in call.mounts:
                raise Forbidden("What is one's own is not moved or copied into what others share: copy it there by its content.")
            return await handler(call)
        if len(names) == 1 and request.method in {"DELETE", "MOVE"}:
            return await self._mount(call, names[0], to)
        there.may(request.method)
        return await handler(there)

    async def mounts(self, person: Person) -> dict[str, Grant]:
        """What others have shared with somebody, by the names under which it is seen. It is looked up each time: were a process to remember
        it, a client that asks another one next would take a share for removed, and its own copy of it for something new."""

        def look(db: Connection) -> dict[str, Grant] | None:
            rows = shares.taken(db, person)
            if any(row.mount is None for row in rows):
                return None
            return {row.mount: found for row in rows if not row.hidden and (found := shares.grant(db, row)) is not None}

        def name(db: Connection) -> dict[str, Grant]:
            shares.name_mounts(db, person)
            return look(db) or {}

        made = await self.desk.read(look)
        if made is None:
            made = await self.desk.write(name)
        return made

    async def _mount(self, call: Call, name: str, to: tuple[str, ...] | None) -> Reply:
        """The root of what another has shared is taken out of one's tree, or called otherwise there."""
        row, person = call.mounts[name].row, call.person
        if call.request.method == "DELETE":
            await self.desk.write(lambda db: shares.hide(db, person, row))
            return Reply(204)
        if to is None or len(to) != 1:
            raise Forbidden("What another has shared stays at the root.")
        names_of.allow(to)

        def change(db: Connection) -> None:
            if len(nodes.walk(db, call.space.root_id, to)) > 1 or to[0] in call.mounts:
                raise Forbidden("There is something of that name already.", status=412)
            shares.rename_mount(db, person, row.id, to[0])

        await self.desk.write(change)
        return Reply(201)

    async def within(self, request: Request, person: Person, grant: Grant, base: str, path: bytes) -> Reply:
        """Answer a request for what is below a node that a link is of. base: the path that stands for that node."""
        return await self._safely(request, self._within(request, person, grant, base, path))

    async def _within(self, request: Request, person: Person, grant: Grant, base: str, path: bytes) -> Reply:
        if request.method == "OPTIONS":
            return self._options()
        handler = self._handler(request)
        call = Shared(self, request, person, grant, base, (), names_of.split(path), (base.encode(),))
        call.may(request.method)
        return await handler(call)

    async def _others(self, request: Request, person: Person, kind: str, parts: list[bytes]) -> Reply:
        """What is above people's files, and people themselves."""
        if request.method != "PROPFIND":
            raise MethodNotAllowed("There is nothing here but people's files.", headers={"Allow": "OPTIONS, PROPFIND"})
        call = Call(self, request, person, await self.home(person), _NEW.decode(), ())
        asked, _ = await finding.asked(call)
        me = f"<d:href>{escape(self.principal(person))}</d:href>"
        folder = [(d("resourcetype"), "<d:collection/>"), (d("current-user-principal"), me)]
        user = [
            (d("resourcetype"), "<d:principal/>"), (d("displayname"), escape(person.name)), (d("principal-URL"), me),
            (d("current-user-principal"), me), (oc("id"), escape(person.account)), (nc("is-admin"), "false"),
        ]  # fmt: skip
        here = self.principal(person)
        if not parts:
            entries = [(f"{_NEW.decode()}/", folder)]
            entries += [(f"{_NEW.decode()}/{name}/", folder) for name in ("files", "principals", "trashbin", "uploads", "versions")]
        elif len(parts) == 1 and kind in {"files", "trashbin", "uploads", "versions"}:
            entries = [(f"{_NEW.decode()}/{kind}/", folder), (f"{_NEW.decode()}/{kind}/{quote(person.account)}/", folder)]
        elif kind == "principals" and parts[1:] in ([], [b"users"]):
            below = (f"{_NEW.decode()}/principals/users/", folder) if len(parts) == 1 else (here, user)
            entries = [(f"{_NEW.decode()}/{'/'.join(part.decode() for part in parts)}/", folder), below]
        elif kind == "principals" and parts[1:] and f"{_NEW.decode()}/principals/{'/'.join(map(_text, parts[1:]))}/" == here:
            entries = [(here, user)]
        else:
            raise NotFound("There is nothing here.")
        if call.depth("1") == "0":
            del entries[1:]
        return finding.multistatus("".join(simple(href, found, asked) for href, found in entries))

    def _handler(self, request: Request) -> Handler:
        """What serves a method for files. Raises MethodNotAllowed."""
        found = FILES.get(request.method)
        if found is None:
            raise MethodNotAllowed("There is no such method.", headers={"Allow": self.allowed()})
        return found

    def _options(self) -> Reply:
        return Reply(
            200, [("DAV", "1, 2, 3, nextcloud-checksum-update"), ("MS-Author-Via", "DAV"), ("Allow", self.allowed()), ("Content-Length", "0")]
        )

    def allowed(self, *, folder: bool = False) -> str:
        """The methods that there are; `folder`: for one."""
        return ", ".join(["OPTIONS", *[name for name in FILES if not folder or name not in {"GET", "PUT", "PATCH"}]])

    def oc_id(self, node_id: int) -> str:
        """The id of a file as clients keep it."""
        return f"{node_id:08d}{self.settings.instance}"

    def principal(self, person: Person) -> str:
        """The path that stands for somebody."""
        return f"{_NEW.decode()}/principals/users/{quote(person.account)}/"

    def bases(self, person: Person) -> tuple[bytes, ...]:
        """The paths of somebody's root, unquoted."""
        return _OLD, *(_NEW + b"/files/" + name.encode() for name in (person.account, person.id))


def _text(part: bytes) -> str:
    return quote(part)


