"""Links: what somebody shares with whoever knows a token, as WebDAV (`/public.php/dav/files/TOKEN`) and as a plain page (`/s/TOKEN`)."""

import asyncio
import base64
import binascii
import hashlib
from html import escape
from typing import Any, Protocol
from urllib.parse import quote, unquote

import msgspec
from sqlalchemy import Connection

from andromede.core.errors import NotFound, TooManyRequests, Unauthorized
from andromede.core.units import show_bytes
from andromede.http.plain import Reply, Request
from andromede.services.drive import shares
from andromede.services.drive.pages import Page
from andromede.services.drive.people import REALM, People, Person
from andromede.services.drive.settings import Settings
from andromede.services.drive.shares import Grant
from andromede.services.drive.slowing import Slowing
from andromede.services.drive.tree import names as names_of
from andromede.services.drive.tree import nodes
from andromede.services.drive.tree.nodes import Node

_MOST = 2000


class Within(Protocol):
    """What serves files below a node."""

    async def within(self, request: Request, person: Person, grant: Grant, base: str, path: bytes) -> Reply:
        """Answer a request for what is below the node of a link."""


class _Link(msgspec.Struct, frozen=True):
    row: Any
    grant: Grant
    owner: Person


class Links:
    """The face of links."""

    def __init__(self, people: People, dav: Within, settings: Settings) -> None:
        self._people, self._dav, self._settings = people, dav, settings
        self._guesses = Slowing(10)

    async def _find(self, request: Request, token: str) -> _Link:
        """A link. Raises NotFound, and TooManyRequests for who guesses."""
        self._guesses.check(request.remote)

        def look(db: Connection) -> _Link | None:
            row = shares.by_token(db, token) if token.isalnum() and token.isascii() and len(token) < 65 else None
            found = shares.grant(db, row) if row is not None else None
            return None if found is None else _Link(row, found, shares.owner_of(db, row))

        link = await asyncio.to_thread(self._people.database.look, look)
        if link is None:
            self._guesses.wrong(request.remote)
            raise NotFound("There is no such link, or it has ended.")
        return link

    def _stranger(self, link: _Link) -> Person:
        return Person(f"link-{link.row.id}", link.owner.account, link.owner.name, link.owner.domain_id)

    async def dav(self, request: Request, path: bytes) -> Reply:
        """`/public.php/dav/files/TOKEN/…`; path: from the token on."""
        raw, _, rest = path.partition(b"/")
        token = raw.decode("utf-8", "replace")
        link = await self._find(request, token)
        if link.row.password:
            await asyncio.to_thread(self._prove, request, link, _password(request))
        base = f"/public.php/dav/files/{token}"
        return await self._dav.within(request, self._stranger(link), link.grant, base, rest)

    def _prove(self, request: Request, link: _Link, secret: str) -> None:
        """Raise Unauthorized for a wrong password, TooManyRequests for one too many."""
        with self._people.guarded(f"link {link.row.id}", request.remote):
            if not self._people.directory.matches(link.row.password, secret):
                raise Unauthorized("This link has a password.", headers=REALM)

    async def page(self, request: Request, path: str) -> Reply:
        """`/s/TOKEN`, `/s/TOKEN/FOLDER/…` and, with `?download`, what is at such a path; path: quoted, from the token on."""
        token, _, quoted = path.partition("/")
        page = Page(request, self._settings.name, secure=self._settings.secure)
        try:
            link = await self._find(request, token)
        except NotFound:
            return page.reply("not found", 404)
        if link.row.password:
            refused = await self._ask(request, page, link)
            if refused is not None:
                return refused
        if request.raw_query == "download" and request.method in {"GET", "HEAD"}:
            return await self._dav.within(request, self._stranger(link), link.grant, f"/s/{token}", unquote(quoted).encode())
        if not link.grant.permissions & shares.READ:
            where = f"{self._settings.url}/public.php/dav/files/{token}/"
            return page.add(f"<p>{page.say('drop', url=where)}</p>").reply("shared", name=link.grant.path[-1], by=link.owner.name)
        rest = names_of.split(unquote(quoted))
        return await asyncio.to_thread(self._list, page, link, rest)

    async def _ask(self, request: Request, page: Page, link: _Link) -> Reply | None:
        """Ask for the password; None for who has proven it. What says so in the browser holds as long as the password stays."""
        name, proof = f"drive_link_{link.row.id}", hashlib.sha256(f"{link.row.token}\0{link.row.password}".encode()).hexdigest()
        here, status = f"/s/{link.row.token}", 200
        if page.cookies.get(name) == proof:
            return None
        if request.method == "POST":
            form = await page.sent()
            try:
                await asyncio.to_thread(self._prove, request, link, form.get("password", ""))
            except TooManyRequests:
                page.wrong("wait")
                status = 429
            except Unauthorized:
                page.wrong("wrong password")
                status = 403
            else:
                page.set_cookie(name, proof)
                return page.redirect(here)
        field = page.field("password", "password", kind="password", more="required autofocus")
        return page.form(here, field, submit="open").reply("locked", status)

    def _list(self, page: Page, link: _Link, rest: tuple[str, ...]) -> Reply:
        def look(db: Connection) -> tuple[Node, list[Node]]:
            one = nodes.find(db, link.grant.space.root_id, (*link.grant.path, *rest))[-1]
            return one, nodes.children(db, one, limit=_MOST) if one.folder else []

        try:
            one, many = self._people.database.look(look)
        except NotFound:
            return page.reply("not found", 404)
        here = "/".join([f"/s/{link.row.token}", *[quote(name, safe="") for name in rest]])
        if link.row.note:
            page.add(f"<p>{escape(link.row.note)}</p>")
        if not one.folder:
            page.add(f'<p><a href="{here}?download">{page.say("download", name=one.name, size=show_bytes(one.size))}</a></p>')
        else:
            if rest:
                page.add(f'<p><a href="{here.rpartition("/")[0]}">{page.say("up")}</a></p>')
            page.add("<ul>")
            for each in many:
                there = f"{here}/{quote(each.name, safe='')}"
                mark, size = ("", "/") if each.folder else ("?download", f" ({show_bytes(each.size)})")
                page.add(f'<li><a href="{there}{mark}">{escape(each.name)}</a>{size}</li>')
            page.add("</ul>" if many else f"</ul><p>{page.say('empty')}</p>")
        return page.reply("shared", name=one.name, by=link.owner.name)


def _password(request: Request) -> str:
    """The password that came, whatever name came with it. Raises Unauthorized where there is none."""
    scheme, _, value = request.headers.get("authorization").partition(" ")
    try:
        if scheme.lower() == "basic":
            return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        pass
    raise Unauthorized("This link has a password.", headers=REALM)
