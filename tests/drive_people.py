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

    def close(self):
        pass

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
