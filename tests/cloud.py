"""A cloud in one process for the tests: real application, real engine, the database that ANDROMEDE_TEST_DATABASE says; fake drivers."""

import asyncio
import os
from pathlib import Path

import msgspec

from andromede.core.context import Parts
from andromede.db.base import metadata
from andromede.db.engine import Database
from andromede.http.app import App
from andromede.services.identity import bootstrap, routes_auth
from andromede.services.identity import service as identity
from andromede.services.identity.passwords import Hasher
from andromede.services.quota import service as quota

URL = "http://cloud.test"
ADMIN_PASSWORD, USER_PASSWORD = "admin-secret", "user-secret"


def fresh_database(folder: Path) -> Database:
    """An empty database with all tables."""
    url = os.environ.get("ANDROMEDE_TEST_DATABASE", f"sqlite:///{folder}/cloud.db")
    database = Database(url)
    metadata.drop_all(database.engine)
    metadata.create_all(database.engine)
    return database


class Answer:
    """An HTTP answer."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = dict(headers)

    @property
    def json(self):
        return msgspec.json.decode(self.body)


class Client:
    """Calls the application in this process, as a user or as nobody."""

    def __init__(self, app: App, token: str | None = None) -> None:
        self.app, self.token = app, token

    def __call__(self, method: str, path: str, body=None, headers: dict | None = None) -> Answer:
        path, _, query = path.partition("?")
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        sent = {"content-length": str(len(data)), "content-type": "application/json", **(headers or {})}
        if self.token:
            sent.setdefault("x-auth-token", self.token)
        scope = {
            "type": "http", "method": method, "path": path, "query_string": query.encode(), "client": ("127.0.0.1", 1),
            "headers": [(key.lower().encode(), value.encode("latin-1")) for key, value in sent.items()],
        }  # fmt: skip
        out: dict = {"body": b""}
        pending = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive():
            return pending.pop(0) if pending else {"type": "http.disconnect"}

        async def send(message):
            if message["type"] == "http.response.start":
                out["status"] = message["status"]
                out["headers"] = [(key.decode(), value.decode("latin-1")) for key, value in message["headers"]]
            else:
                out["body"] += message.get("body", b"")

        asyncio.run(self.app(scope, receive, send))
        return Answer(out["status"], out["headers"], out["body"])

    def get(self, path, **more):
        return self("GET", path, **more)

    def post(self, path, body=None, **more):
        return self("POST", path, body, **more)

    def put(self, path, body=None, **more):
        return self("PUT", path, body, **more)

    def patch(self, path, body=None, **more):
        return self("PATCH", path, body, **more)

    def delete(self, path, **more):
        return self("DELETE", path, **more)


class Cloud:
    """The cloud: `cloud.admin`, `cloud.user` (member of project `demo`) and `cloud.anyone` are clients."""

    apis = (routes_auth.root, routes_auth.api)

    def __init__(self, folder: Path) -> None:
        self.database = fresh_database(folder)
        hasher = Hasher("bcrypt", 4)
        self.signing = identity.signing(self.database, folder / "keys", hasher=hasher)
        self.parts = Parts(database=self.database, signing=self.signing)

        def begin(db):
            bootstrap.foundation(db, catalog={"identity": ("keystone", f"{URL}/identity/v3")})
            bootstrap.person(db, hasher, name="admin", secret=ADMIN_PASSWORD, project_name="admin", roles=("admin",), system=True)
            bootstrap.person(db, hasher, name="demo", secret=USER_PASSWORD, project_name="demo", roles=("member",))

        self.database.run(begin)
        self.app = App(
            self.apis, parts=self.parts, database=self.database, authenticator=identity.Authenticator(self.signing.known),
            quota=quota.take, public_url=URL, threads=4,
        )  # fmt: skip
        self.anyone = Client(self.app)
        self.admin = self.sign_in("admin", ADMIN_PASSWORD, "admin")
        self.user = self.sign_in("demo", USER_PASSWORD, "demo")

    def sign_in(self, name: str, password: str, project: str | None = None, **scope) -> Client:
        """A client with a token of its own."""
        auth: dict = {
            "identity": {"methods": ["password"], "password": {"user": {"name": name, "domain": {"id": "default"}, "password": password}}}
        }
        if project:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        auth.update(scope)
        answer = Client(self.app).post("/identity/v3/auth/tokens", {"auth": auth})
        assert answer.status == 201, answer.body
        return Client(self.app, answer.headers["x-subject-token"])

    def close(self) -> None:
        self.signing.known.close()
        self.app.close()
        self.database.close()
