"""Login Flow v2: a program has a person sign in with a browser, and gets an app password of its own.

The program asks for two secrets, sends the browser to one and asks with the other until the person has let it in. The app
password is made when the program fetches it, so that none is ever kept. Source: Nextcloud's developer manual, "Login Flow".
"""

import asyncio
import hashlib
import re
import secrets
from datetime import datetime, timedelta
from html import escape
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.errors import BadRequest, CloudError, NotFound, TooManyRequests, Unauthorized
from andromede.http.plain import Reply, Request
from andromede.services.drive import devices
from andromede.services.drive.pages import Page, fields
from andromede.services.drive.people import People, Person, person_of
from andromede.services.drive.settings import Settings
from andromede.services.drive.slowing import Slowing
from andromede.services.drive.tables_people import login
from andromede.services.identity import service as identity
from andromede.services.identity.service import Opened

LIFETIME = timedelta(minutes=20)
SESSION = "drive_session"
_JSON = [("Content-Type", "application/json; charset=utf-8"), ("Cache-Control", "no-store")]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def begin(db: Connection, device: str) -> tuple[str, str]:
    """A new sign-in of a program: what it asks with, and what the browser is sent to."""
    asks, opens = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    moment = now()
    db.execute(delete(login).where(login.c.created < moment - LIFETIME))
    db.execute(insert(login).values(id=_digest(asks), opened=_digest(opens), device=device, created=moment))
    return asks, opens


def waiting(db: Connection, opens: str) -> Any:
    """The sign-in that a browser was sent to, as long as nobody has let it in and it has not ended; else None."""
    wanted = login.c.opened == _digest(opens), login.c.user_id.is_(None), login.c.created > now() - LIFETIME
    return db.execute(select(login).where(*wanted)).first()


def let_in(db: Connection, opens: str, user_id: str) -> None:
    """A person lets a program in. Raises NotFound where it has ended, or somebody has done so before."""
    found = waiting(db, opens)
    if found is None:
        raise NotFound("The sign-in has ended.")
    db.execute(update(login).where(login.c.id == found.id).values(user_id=user_id))


def fetch(db: Connection, asks: str) -> tuple[Person, str] | None:
    """What a program asks for: whom it is let in by, and its new app password, once. None as long as there is nothing."""
    row = db.execute(select(login).where(login.c.id == _digest(asks), login.c.created > now() - LIFETIME, login.c.user_id.is_not(None))).first()
    if row is None:
        return None
    db.execute(delete(login).where(login.c.id == row.id))
    found = identity.member(db, row.user_id, by_name=False)
    if found is None:
        return None
    return person_of(found), devices.add(db, row.user_id, row.device)[1]


def device_of(request: Request) -> str:
    """What a program calls itself, without what only machines read."""
    agent = re.sub(r"[^\x20-\x7e\u00a0-\uffff]", " ", request.headers.get("user-agent")).strip()
    return agent[:200] or "unnamed"


class Login:
    """The flow over HTTP."""

    def __init__(self, people: People, settings: Settings) -> None:
        self._people, self._settings = people, settings
        self._begun = Slowing(20)

    async def begin(self, request: Request) -> Reply:
        """`POST /index.php/login/v2`."""
        self._begun.check(request.remote)
        self._begun.wrong(request.remote)
        asks, opens = await asyncio.to_thread(self._people.database.run, lambda db: begin(db, device_of(request)))
        base = f"{self._settings.url}/index.php/login/v2"
        said = {"poll": {"token": asks, "endpoint": f"{base}/poll"}, "login": f"{base}/flow/{opens}"}
        return Reply(200, list(_JSON), msgspec.json.encode(said))

    async def poll(self, request: Request) -> Reply:
        """`POST /index.php/login/v2/poll`."""
        token = (await fields(request)).get("token", "")
        found = await asyncio.to_thread(self._fetch, token)
        if found is None:
            return Reply(404, list(_JSON), b"[]")
        person, secret = found
        said = {"server": self._settings.url, "loginName": person.account, "appPassword": secret}
        return Reply(200, list(_JSON), msgspec.json.encode(said))

    def _fetch(self, token: str) -> tuple[Person, str] | None:
        with self._people.database.read() as db:
            ready = db.execute(select(login.c.id).where(login.c.id == _digest(token), login.c.user_id.is_not(None))).first()
        return self._people.database.run(lambda db: fetch(db, token)) if ready is not None else None

    async def page(self, request: Request, opens: str) -> Reply:
        """`/index.php/login/v2/flow/TOKEN`, in a browser."""
        page = Page(request, self._settings.name, secure=self._settings.secure)
        found = await asyncio.to_thread(self._people.database.look, lambda db: waiting(db, opens))
        if found is None:
            return page.add(f"<p>{page.say('again')}</p>").reply("late", 404)
        person = await asyncio.to_thread(signed_in, self._people, page)
        status = 200
        if request.method == "POST":
            form = await page.sent()
            if person is None:
                opened, word = await asyncio.to_thread(sign_in, self._people, form, request.remote)
                if opened is None:
                    page.wrong(word)
                    status = 429 if word == "wait" else 403
                else:
                    person = opened[1]
            if person is not None:
                allowed = person
                await asyncio.to_thread(self._people.database.run, lambda db: let_in(db, opens, allowed.id))
                return page.add(f"<p>{page.say('close', device=found.device, account=person.account)}</p>").reply("let")
        page.add(f"<p>{page.say('who asks', device=found.device)}</p>")
        action = f"/index.php/login/v2/flow/{opens}"
        if person is not None:
            page.add(f"<p>{page.say('let it as', account=person.account)}</p>").form(action, submit="let it")
        else:
            page.form(action, *credentials(page), submit="let it")
        return page.reply("let in", status)


def credentials(page: Page) -> list[str]:
    """The fields that somebody signs in with."""
    return [
        page.field("user", "user", more='autocomplete="username" autocapitalize="none" required autofocus'),
        page.field("password", "password", kind="password", more='autocomplete="current-password" required'),
        page.field("passcode", "passcode", more='autocomplete="one-time-code" inputmode="numeric"'),
    ]


def sign_in(people: People, form: Any, remote: str) -> tuple[tuple[Opened, Person] | None, str]:
    """Sign a person in with what a form has; else the word that says why not."""
    name = form.get("user", "").strip()
    try:
        with people.guarded(name, remote):
            opened = people.directory.sign_in(name, form.get("password", ""), form.get("passcode", "").strip())
            return (opened, people.by_token(opened.token)), ""
    except TooManyRequests:
        return None, "wait"
    except Unauthorized:
        return None, "wrong"


def signed_in(people: People, page: Page) -> Person | None:
    """Who is signed in on a browser."""
    token = page.cookies.get(SESSION, "")
    try:
        return people.by_token(token) if token else None
    except Unauthorized:
        return None


class Account:
    """`/index.php/settings/user/security`: the devices of a person, in a browser."""

    PATH = "/index.php/settings/user/security"

    def __init__(self, people: People, settings: Settings) -> None:
        self._people, self._settings = people, settings

    async def page(self, request: Request) -> Reply:
        """Show and change them."""
        page = Page(request, self._settings.name, secure=self._settings.secure)
        person = await asyncio.to_thread(signed_in, self._people, page)
        form = await page.sent() if request.method == "POST" else {}
        if person is None:
            return await self._outside(page, form)
        if form.get("do") == "leave":
            page.set_cookie(SESSION, "", seconds=0)
            return page.redirect(self.PATH)
        try:
            return await asyncio.to_thread(self._inside, page, person, form)
        except CloudError as fault:
            if fault.status >= 500:
                raise
            return page.add(f'<p><a href="{self.PATH}">{page.say("back")}</a></p>').reply("refused", fault.status)

    async def _outside(self, page: Page, form: Any) -> Reply:
        status = 200
        if form:
            opened, word = await asyncio.to_thread(sign_in, self._people, form, page.request.remote)
            if opened is not None:
                page.set_cookie(SESSION, opened[0].token)
                return page.redirect(self.PATH)
            page.wrong(word)
            status = 429 if word == "wait" else 403
        return page.form(self.PATH, *credentials(page), submit="sign in").reply("sign in", status)

    def _inside(self, page: Page, person: Person, form: Any) -> Reply:
        database = self._people.database
        if form.get("do") == "remove":
            id_ = form.get("id", "")
            database.run(lambda db: devices.remove(db, person.id, id_))
            self._people.forget(id_)
            return page.redirect(self.PATH)
        if form.get("do") == "make":
            scopes = (devices.READ,) if form.get("may") == "read" else devices.SCOPES
            name, expires = form.get("name", ""), _after(form.get("days", "").strip())
            _, secret = database.run(lambda db: devices.add(db, person.id, name, scopes=scopes, expires=expires))
            page.add(f"<p>{page.say('once')}</p><p><code>{secret}</code></p>", f'<p><a href="{self.PATH}">{page.say("back")}</a></p>')
            return page.reply("made", device=name)
        kept = database.look(lambda db: devices.listed(db, person.id))
        dav = f"{self._settings.url}/remote.php/webdav/"
        page.add(f"<p>{page.say('welcome', account=person.account, url=self._settings.url, dav=dav)}</p><p>{page.say('explain')}</p>")
        self._list(page, kept)
        page.add(f"<h2>{page.say('new device')}</h2>")
        page.form(
            self.PATH, '<input type="hidden" name="do" value="make">', page.field("name", "device name", more='required maxlength="200"'),
            f'<label for="may">{page.say("may")}</label><select id="may" name="may"><option value="write">{page.say("may write")}</option>'
            f'<option value="read">{page.say("may read")}</option></select>',
            page.field("days", "days", kind="number", more='min="1" max="3650"'), submit="make",
        )  # fmt: skip
        page.form(self.PATH, '<input type="hidden" name="do" value="leave">', submit="sign out", plain=True)
        return page.reply("devices")

    def _list(self, page: Page, kept: list[devices.Device]) -> None:
        if not kept:
            page.add(f"<p>{page.say('none')}</p>")
            return
        heads = "".join(f'<th scope="col">{page.say(word)}</th>' for word in ("device", "may", "created", "used", "take away"))
        page.add(f"<table><thead><tr>{heads}</tr></thead><tbody>")
        for each in kept:
            used = f"{each.used:%Y-%m-%d}" if each.used else page.say("never")
            may = page.say("may write" if devices.WRITE in each.scopes else "may read")
            page.add(f"<tr><td>{escape(each.name)}</td><td>{may}</td><td>{each.created:%Y-%m-%d}</td><td>{used}</td><td>")
            hidden = f'<input type="hidden" name="do" value="remove"><input type="hidden" name="id" value="{each.id}">'
            page.form(self.PATH, hidden, submit="take away", plain=True).add("</td></tr>")
        page.add("</tbody></table>")


def _after(days: str) -> datetime | None:
    """When something ends that lasts so many days. Raises BadRequest."""
    if not days:
        return None
    if not (days.isascii() and days.isdigit() and 0 < int(days) <= 3650):
        raise BadRequest("The days must be a number from 1 to 3650.")
    return now() + timedelta(days=int(days))
