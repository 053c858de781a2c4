"""Swift behind a real server, for tests: requests to it, and who may be who."""

import contextlib
import http.client
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from andromede.core.context import Caller
from andromede.drivers.blob.fake import Fake
from andromede.http.plain import serve
from andromede.services.object.service import Objects
from andromede.services.object.swift import Settings, Swift
from tests.objects import served

ROLES = {
    "member": ("p1", ("member", "reader")), "reader": ("p1", ("reader",)), "stranger": ("p2", ("member", "reader")), "bare": ("p1", ("auditor",)),
    "admin": ("p3", ("admin", "member", "reader")),
}  # fmt: skip


class People:
    """Who tokens stand for: names of ROLES. `rules` are the access rules of the credential that `ruled` is signed in with."""

    rules: tuple = ()

    async def of_token(self, token):
        if token == "ruled":
            return msgspec.structs.replace(await self.of_token("member"), rules=self.rules)
        if token not in ROLES:
            return None
        project, roles = ROLES[token]
        return Caller(
            user_id=f"id-{token}", user_name=token, user_domain_id="default", project_id=project, project_name=f"{project}-name",
            project_domain_id="default", roles=frozenset(roles),
        )  # fmt: skip


class Answer(msgspec.Struct):
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return msgspec.json.decode(self.body)


class Client:
    """Requests by path below `/v1/AUTH_p1`, or by a whole path."""

    def __init__(self, url: str, objects: Objects, people: People) -> None:
        self.url, self.objects, self.people = url, objects, people
        self.host = urlsplit(url).netloc

    def __call__(self, method, path, body=None, token="member", **headers):
        connection = http.client.HTTPConnection(self.host, timeout=20)
        path = path if path.startswith(("/v1", "/info", "/healthcheck", "!")) else f"/v1/AUTH_p1{path}"
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["X-Auth-Token"] = token
        try:
            connection.request(method, path.removeprefix("!"), body if body is not None or method not in ("PUT", "POST") else b"", sent)
            answer = connection.getresponse()
            return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
        finally:
            connection.close()


@contextlib.contextmanager
def swift(*, store: Fake | None = None, **settings) -> Iterator[Client]:
    """A Swift of its own."""
    objects, people = Objects(store or Fake()), People()
    with served(lambda: serve(Swift(objects, people, Settings(**settings)), "swift")) as url:
        yield Client(url, objects, people)
