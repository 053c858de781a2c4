"""The drive's WebDAV as it is served, for people who are who they say they are.

    python -m tests.drive FOLDER PORT

serves until its input ends; the password of everybody is `secret`.
"""

import asyncio
import base64
import contextlib
import http.client
import sys
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
from tests.program import Program, free_ports

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


class Process(Program):
    """A process that serves a folder."""

    def __init__(self, folder: Path, *more: str) -> None:
        (self.port,) = ports = free_ports(1)
        super().__init__(folder / "drive.log", "tests.drive", str(folder), str(self.port), *more, ports=ports)
        self.ready()

    def client(self, user: str = "alice") -> Client:
        return Client("127.0.0.1", self.port, user)


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
    face = Face(Dav(database, store, Settings(quota=quota)))
    server = Server(serve(face, "drive"), address="127.0.0.1", port=int(sys.argv[2]), interface=Interfaces.ASGI, websockets=False, log_enabled=False)
    serving = asyncio.create_task(server.serve())
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.stop()
    await asyncio.wait({serving}, timeout=5)
    store.close()
    database.close()


if __name__ == "__main__":
    asyncio.run(main())
