<<<<<<< HEAD
"""The drive's WebDAV as it is served, for people who are who they say they are.

    python -m tests.drive FOLDER PORT

serves until its input ends; the password of everybody is `secret`.
"""

import asyncio
import base64
import contextlib
import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from sqlalchemy import event

from andromede.db.base import metadata
from andromede.db.engine import Database
from andromede.drivers.blob.local import Local
from andromede.http.plain import Reply, Request, serve
from andromede.services.drive import tables
from andromede.services.drive.dav.face import Dav
from andromede.services.drive.people import Person
from andromede.services.drive.settings import Settings

KEY = b"k" * 32
assert tables.space is not None


class Face:
    """Everybody who brings the password is the user that they name."""

    def __init__(self, dav: Dav) -> None:
        self.dav = dav

    async def __call__(self, request: Request) -> Reply:
        _, _, given = request.headers.get("authorization").partition(" ")
        name, _, password = base64.b64decode(given).decode().partition(":")
        if password != "secret":
            return Reply(401, [("WWW-Authenticate", 'Basic realm="drive", charset="UTF-8"')])
        return await self.dav.answer(request, Person(f"id-{name}", name, name.title()))

    async def finish(self) -> None:
        self.dav.close()


class Client:
    """Requests of one user. Answers have `status`, `headers`, `body`, and `xml` where it is that."""

    def __init__(self, host: str, port: int, user: str = "alice") -> None:
        self.host, self.port, self.user = host, port, user
        self._link: http.client.HTTPConnection | None = None

    def __call__(self, method: str, path: str = "", body=None, /, raw: str = "", **headers):
        path = raw or f"/remote.php/dav/files/{self.user}{quote(path)}"
        given = {"authorization": "Basic " + base64.b64encode(f"{self.user}:secret".encode()).decode()}
        given |= {name.replace("_", "-"): str(value) for name, value in headers.items()}
        for _ in range(2):
            link = self._link or http.client.HTTPConnection(self.host, self.port, timeout=60)
            try:
                link.request(method, path, body.encode() if isinstance(body, str) else body, given)
                answer = link.getresponse()
                data = answer.read()
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                link.close()
                if self._link is None:
                    raise
                self._link = None
                continue
            self._link = None if answer.will_close else link
            return Answer(answer.status, answer.headers, data)
        raise AssertionError

    def props(self, path: str = "", *names: str, depth: str = "0", raw: str = "") -> dict[str, dict[str, ElementTree.Element]]:
        """Properties by path: those that are there."""
        asked = "".join(f'<x:{name.partition("}")[2]} xmlns:x="{name[1:].partition("}")[0]}"/>' for name in names)
        body = f'<d:propfind xmlns:d="DAV:"><d:prop>{asked}</d:prop></d:propfind>' if names else None
        answer = self("PROPFIND", path, body, raw=raw, depth=depth)
        assert answer.status == 207, answer
        return answer.props()

    def close(self) -> None:
        if self._link is not None:
            self._link.close()


class Answer:
    def __init__(self, status, headers, body) -> None:
        self.status, self.headers, self.body = status, headers, body

    def __repr__(self) -> str:
        return f"{self.status} {dict(self.headers)} {self.body[:500]!r}"

    @property
    def xml(self) -> ElementTree.Element:
        return ElementTree.fromstring(self.body)

    def props(self) -> dict[str, dict[str, ElementTree.Element]]:
        made = {}
        for one in self.xml.findall("{DAV:}response"):
            found = made.setdefault(one.findtext("{DAV:}href"), {})
            for stat in one.findall("{DAV:}propstat"):
                if " 200 " in stat.findtext("{DAV:}status"):
                    found |= {prop.tag: prop for prop in stat.find("{DAV:}prop")}
        return made


def made(folder: Path, *, sync: bool = True) -> tuple[Database, Local]:
    """What is kept in a folder."""
    database = Database(f"sqlite:///{folder / 'drive.db'}")
    if not sync:
        event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF").close())
    metadata.create_all(database.engine)
    return database, Local(folder / "store", KEY, sync=sync)


class Process:
    """A process that serves a folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "drive.log"
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "tests.drive", str(folder), str(self.port), *more]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log.read_text()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    break
            time.sleep(0.02)

    def client(self, user: str = "alice") -> Client:
        return Client("127.0.0.1", self.port, user)

    def end(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def process(folder: Path, *more: str) -> Iterator[Process]:
    running = Process(folder, *more)
    try:
        yield running
    finally:
        running.end()


async def main() -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    folder, loop = Path(sys.argv[1]), asyncio.get_running_loop()
    database, store = made(folder, sync="fast" not in sys.argv)
    quota = next((int(word[6:]) for word in sys.argv if word.startswith("quota=")), Settings().quota)
    face = Face(Dav(database, store, Settings(quota)))
    server = Server(serve(face, "drive"), address="127.0.0.1", port=int(sys.argv[2]), interface=Interfaces.ASGI, websockets=False, log_enabled=False)
    serving = asyncio.create_task(server.serve())
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.stop()
    await asyncio.wait({serving}, timeout=5)
    store.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main())
=======
"""The drive behind a real server, with the users of a cloud in this process."""

import base64
import contextlib
import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from andromede.http.plain import Reply, serve
from andromede.services.drive.face import Drive
from andromede.services.drive.people import People
from andromede.services.drive.settings import Settings
from andromede.services.identity.service import Directory
from tests.cloud import USER_PASSWORD, Cloud
from tests.objects import served

JSON = {"OCS-APIRequest": "true", "Accept": "application/json"}


class Echo:
    """Says who asked, in the place of files."""

    async def answer(self, request, person):
        return Reply(200, [("Content-Type", "text/html")], f"{person.account} {request.method} {request.path.decode()}".encode())


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def data(self) -> Any:
        return self.json["ocs"]["data"]

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:600]!r}>"


class Site:
    """`site("GET", "/status.php")`; `site.signed("demo", "secret")` is the same as somebody; forms are dicts."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        self.url, self.headers = url, headers or {}
        self.people: People | None = None

    def __call__(self, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
        sent = {**self.headers, **(headers or {})}
        if isinstance(body, dict):
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
            body = urlencode(body).encode() if "json" not in sent["Content-Type"] else msgspec.json.encode(body)
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=60)
        try:
            connection.request(method, path, body or None, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def signed(self, name: str, secret: str = USER_PASSWORD, **headers: str) -> "Site":
        word = base64.b64encode(f"{name}:{secret}".encode()).decode()
        other = Site(self.url, {"Authorization": f"Basic {word}", **headers})
        other.people = self.people
        return other

    def ocs(self, method: str, path: str, body: Any = b"", version: int = 2) -> Answer:
        return self(method, f"/ocs/v{version}.php/{path}", body, JSON)


class Browser:
    """Keeps cookies, and fills in the forms of pages."""

    def __init__(self, site: Site, language: str = "en") -> None:
        self.site, self.language = site, language
        self.cookies: dict[str, str] = {}

    def __call__(self, method: str, path: str, body: Any = b"", headers: dict[str, str] | None = None) -> Answer:
        cookie = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())} if self.cookies else {}
        answer = self.site(method, path, body, {"Accept-Language": self.language, **cookie, **(headers or {})})
        for one in answer.headers.get_all("set-cookie") or []:
            name, _, value = one.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer

    def open(self, path: str) -> Answer:
        answer = self("GET", path)
        while answer.status == 303:
            answer = self("GET", answer.headers["location"])
        return answer

    def send(self, page: Answer, path: str, **fields: str) -> Answer:
        """Send the page's form with these fields, and follow where it leads."""
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf is not None, page
        answer = self("POST", path, {"csrf": csrf[1], **fields})
        return self.open(answer.headers["location"]) if answer.status == 303 else answer


@contextlib.contextmanager
def drive(cloud: Cloud, dav: Any = None, **settings: Any) -> Iterator[Site]:
    """The drive of a cloud."""
    people = People(cloud.database, Directory(cloud.signing))
    with served(lambda: serve(Drive(people, dav or Echo(), Settings(**settings)), "drive")) as url:
        site = Site(url)
        site.people = people
        yield site
>>>>>>> 496cbe0 (Let people into the drive by password, app password and token; answer what its clients ask besides files)
