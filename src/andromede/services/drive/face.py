"""The drive over HTTP: which part answers a path, and what every answer is sent with."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
import structlog

from andromede.core.errors import CloudError, Forbidden
from andromede.http.plain import Gone, Reply, Request
from andromede.services.drive import devices
from andromede.services.drive.links import Links
from andromede.services.drive.login import Account, Login
from andromede.services.drive.ocs import cloud
from andromede.services.drive.ocs.face import Ocs
from andromede.services.drive.pages import fields
from andromede.services.drive.people import People, Person
from andromede.services.drive.settings import Settings
from andromede.services.drive.shares import Grant

log = structlog.get_logger("drive")
_READS = frozenset({"GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"})
_TEXT = [("Content-Type", "text/plain; charset=utf-8")]
_JSON = [("Content-Type", "application/json; charset=utf-8")]
_SAFE = (
    ("Content-Security-Policy", "default-src 'none'; sandbox"), ("X-Content-Type-Options", "nosniff"), ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
)  # fmt: skip
"""What keeps a file that a browser opens from being a page of ours."""


class DavFace(Protocol):
    """What serves files."""

    async def answer(self, request: Request, person: Person) -> Reply:
        """Answer a request for a path below `/remote.php`."""

    async def within(self, request: Request, person: Person, grant: Grant, base: str, path: bytes) -> Reply:
        """Answer a request for what is below the node of a link."""

    def close(self) -> None:
        """Wait for what is under way."""



class Drive:
    """A face of the object workers."""

    def __init__(self, people: People, dav: DavFace, settings: Settings) -> None:
        self._people, self._dav, self._settings = people, dav, settings
        self._ocs, self._login, self._account = Ocs(people, settings), Login(people, settings), Account(people, settings)
        self._links = Links(people, dav, settings)
        self._pages: dict[tuple[str, str], Callable[[Request], Awaitable[Reply]]] = {
            ("GET", "/status.php"): self._status,
            ("GET", "/"): self._front,
            ("GET", "/index.php"): self._front,
            ("GET", "/204"): _nothing,
            ("POST", "/login/v2"): self._login.begin,
            ("POST", "/login/v2/poll"): self._login.poll,
            ("GET", "/settings/user/security"): self._account.page,
            ("POST", "/settings/user/security"): self._account.page,
            ("POST", "/core/wipe/check"): self._wipe,
            ("POST", "/core/wipe/success"): self._wiped,
        }

    async def __call__(self, request: Request) -> Reply:
        """Answer a request, whatever becomes of it."""
        try:
            reply = await self._answer(request)
        except Gone:
            return Reply(499)
        except CloudError as fault:
            if fault.status >= 500:
                log.warning("refused", request_id=request.id, cause=repr(fault))
            reply = Reply(fault.status, [*_TEXT, *fault.headers.items()], f"{fault.message}\n".encode())
        there = {name.lower() for name, _ in reply.headers}
        reply.headers += [(name, value) for name, value in _SAFE if name.lower() not in there]
        reply.headers.append(("X-Request-Id", request.id))
        return reply

    async def finish(self) -> None:
        """The process ends."""
        await asyncio.to_thread(self._dav.close)

    async def _answer(self, request: Request) -> Reply:
        try:
            path = request.path.decode()
        except UnicodeDecodeError:
            return Reply(400, list(_TEXT), b"The path is no UTF-8.\n")
        if request.headers.get("sec-fetch-site") in {"cross-site", "same-site"} and request.method not in {"GET", "HEAD", "OPTIONS"}:
            raise Forbidden("Another site had the browser send this.")
        if path.startswith("/remote.php/"):
            return await self._files(request)
        if path.startswith(("/ocs/v1.php/", "/ocs/v2.php/")):
            if request.headers.get("sec-fetch-site") == "cross-site":
                raise Forbidden("Another site had the browser send this.")
            return await self._ocs(request, int(path[6]), request.raw_path[len("/ocs/v1.php/") :])
        if path.startswith("/public.php/dav/files/"):
            return await self._links.dav(request, request.path[len(b"/public.php/dav/files/") :])
        path = path.removeprefix("/index.php") or "/"
        if path.startswith("/s/") and request.method in {"GET", "HEAD", "POST"}:
            return await self._links.page(request, request.raw_path.removeprefix("/index.php")[len("/s/") :].rstrip("/"))
        handler = self._pages.get((request.method if request.method != "HEAD" else "GET", path.rstrip("/") or "/"))
        if handler is not None:
            return await handler(request)
        if path.startswith("/login/v2/flow/") and request.method in {"GET", "POST"}:
            return await self._login.page(request, path.removeprefix("/login/v2/flow/"))
        return Reply(404, list(_TEXT), b"There is nothing here.\n")

    async def _files(self, request: Request) -> Reply:
        person = await asyncio.to_thread(self._people.of, request)
        request.notes["user"] = person.id
        if devices.WRITE not in person.scopes and request.method not in _READS:
            raise Forbidden("This app password may only read.")
        return await self._dav.answer(request, person)

    async def _status(self, _request: Request) -> Reply:
        told = [*_JSON, ("Cache-Control", "no-store"), ("Access-Control-Allow-Origin", "*")]
        return Reply(200, told, msgspec.json.encode(cloud.status(self._settings)))

    async def _front(self, _request: Request) -> Reply:
        return Reply(303, [("Location", Account.PATH)])

    async def _wipe(self, request: Request) -> Reply:
        """Whether the device of an app password is to forget everything: asked by clients that are refused."""
        found = await self._device(request)
        if found is None or not found.wipe:
            return Reply(404, list(_JSON), b"[]")
        return Reply(200, list(_JSON), b'{"wipe":true}')

    async def _wiped(self, request: Request) -> Reply:
        """A device has forgotten everything."""
        found = await self._device(request)
        if found is None or not found.wipe:
            return Reply(404, list(_JSON), b"[]")
        await asyncio.to_thread(self._people.database.run, lambda db: devices.remove(db, found.user_id, found.id))
        self._people.forget(found.id)
        return Reply(200, list(_JSON), b"[]")

    async def _device(self, request: Request) -> devices.Device | None:
        token = (await fields(request)).get("token", "")
        return await asyncio.to_thread(self._people.database.look, lambda db: devices.of_secret(db, token))


async def _nothing(_request: Request) -> Reply:
    return Reply(204)
