"""A cloud in one process for the tests: the real application, engine and agents with fake drivers, on the database that
ANDROMEDE_TEST_DATABASE names (SQLite in the test's folder otherwise)."""

import asyncio
import atexit
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from sqlalchemy import Connection, NullPool, create_engine, event, make_url, select, text

from andromede.agent.host import HostLoop
from andromede.agent.inside import InsideHosts
from andromede.db.base import metadata
from andromede.db.engine import Database
from andromede.drivers.blob.fake import Fake as FakeStore
from andromede.drivers.block import Block
from andromede.drivers.block.fake import FakeBlock
from andromede.drivers.hypervisor.fake import Fake
from andromede.drivers.network.fake import FakeFabric, FakePlug
from andromede.drivers.seal import Sealer
from andromede.engine.client import LIVE
from andromede.engine.engine import Engine
from andromede.engine.tables import operation
from andromede.http.app import App
from andromede.run import migrate, wiring
from andromede.run.catalog import catalog
from andromede.run.settings import Settings
from andromede.services.audit.service import witness
from andromede.services.compute import flavors, hosts
from andromede.services.identity import bootstrap
from andromede.services.identity import service as identity
from andromede.services.identity.passwords import Hasher
from andromede.services.image.store import ImageStore
from andromede.services.network import service as network
from andromede.services.object.service import Objects
from andromede.services.volume import service as volume

URL = "http://cloud.test"
ADMIN_PASSWORD, USER_PASSWORD = "admin-secret", "user-secret"
HASHER = Hasher("bcrypt", 4)
assert migrate.TABLES
hosts.PATIENCE = 0.2
_made: set[str] = set()
_kept = Path(tempfile.mkdtemp(prefix="andromede-tests."))
atexit.register(shutil.rmtree, _kept, ignore_errors=True)


def fresh_database(folder: Path, fill: Callable[[Connection], None] | None = None, key: str = "empty") -> Database:
    """A database with all tables and what `fill` puts into them, which is the same wherever `key` is.

    It is a copy of one that is made once. Nothing waits for the disk: PostgreSQL is told so by `tests/run`, SQLite here.
    """
    url = os.environ.get("ANDROMEDE_TEST_DATABASE")
    if url is None:
        kept = _kept / f"{key}.db"
        if not kept.exists():
            _fill(_sqlite(kept), fill)
        shutil.copyfile(kept, folder / "cloud.db")
        return _sqlite(folder / "cloud.db")
    server = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with server.connect() as db:
        base = make_url(url)
        kept_url, used = base.set(database=f"{base.database}-kept-{key}"), base.set(database=f"{base.database}-used")
        if key not in _made:
            for wanted in (f'DROP DATABASE IF EXISTS "{kept_url.database}"', f'CREATE DATABASE "{kept_url.database}"'):
                db.execute(text(wanted))
            _fill(Database(kept_url.render_as_string(hide_password=False)), fill)
            _made.add(key)
        db.execute(text(f'DROP DATABASE IF EXISTS "{used.database}" WITH (FORCE)'))
        db.execute(text(f'CREATE DATABASE "{used.database}" TEMPLATE "{kept_url.database}"'))
    return Database(used.render_as_string(hide_password=False))


def _sqlite(path: Path) -> Database:
    database = Database(f"sqlite:///{path}")
    event.listen(database.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=OFF").close())
    return database


def _fill(database: Database, fill: Callable[[Connection], None] | None) -> None:
    metadata.create_all(database.engine)
    if fill:
        database.run(fill)
    database.close()


class Answer:
    """An HTTP answer."""

    def __init__(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers = dict(headers)

    @property
    def json(self):
        return msgspec.json.decode(self.body)

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:500]!r}>"


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


def _begin(db: Connection, names: tuple[str, ...]) -> None:
    entries = catalog(URL, f"{URL}:8080", f"{URL}:9000", f"{URL}:8083")
    bootstrap.foundation(db, catalog=entries)
    bootstrap.person(db, HASHER, name="admin", secret=ADMIN_PASSWORD, project_name="admin", roles=("admin",), system=True)
    bootstrap.person(db, HASHER, name="demo", secret=USER_PASSWORD, project_name="demo", roles=("member",))
    flavors.seed(db)
    network.seed(db)
    volume.seed(db)
    for name in names:
        hosts.register(db, name)


class Cloud:
    """The cloud: `cloud.admin`, `cloud.user` (member of project `demo`) and `cloud.anyone` are clients.

    `cloud.settle()` starts the engine at its first call and waits until nothing is under way. `cloud.fabric`,
    `cloud.hypervisors`, `cloud.blocks` and `cloud.plugs` (by host) are the fakes.
    """

    def __init__(
        self, folder: Path, *, settings: Settings | None = None, hosts: tuple[str, ...] = ("host-1",), hypervisor: Callable[[Path], Fake] = Fake,
        block: Callable[[Path], Block] = FakeBlock,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.database = fresh_database(folder, lambda db: _begin(db, hosts), "-".join(hosts))
        given = settings or Settings()
        lifetime = given.identity.token_lifetime
        self.signing = identity.signing(self.database, folder / "keys", hasher=HASHER, rules=wiring.rules(given), lifetime=lifetime)
        self.fabric = FakeFabric()
        self.hypervisors = {name: hypervisor(folder / name / "guests") for name in hosts}
        self.plugs = {name: FakePlug() for name in hosts}
        self.blocks = {name: block(folder / name / "volumes") for name in hosts}
        for name, one in self.hypervisors.items():
            one.block = self.blocks[name] if isinstance(self.blocks[name], FakeBlock) else None
        loops = {name: HostLoop(folder / name, self.hypervisors[name], self.plugs[name], None, self.blocks[name]) for name in hosts}
        self.hosts = InsideHosts(loops)
        self.images = ImageStore(folder / "images")
        self._waker = wiring.Inside()
        self.parts = wiring.assemble(
            self.database, given, waker=self._waker, hosts=self.hosts, images=self.images, signing=self.signing,
            fabric=self.fabric, objects=Objects(FakeStore()), sealer=Sealer(b"\7" * 32), witness=witness("test/audit", folder / "audit.ed25519"),
        )  # fmt: skip
        self.engine: Engine | None = None
        self.app = wiring.app(self.parts, public_url=URL, threads=4)
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

    def id_of(self, kind: str, name: str) -> str:
        """The id of an Identity resource by name: `cloud.id_of("roles", "member")`."""
        (found,) = self.admin.get(f"/identity/v3/{kind}?name={name}").json[kind]
        return found["id"]

    def other(self, name: str = "other", *roles: str) -> Client:
        """A client of another user with these roles (member) in a project of the same name."""
        self.database.run(
            lambda db: bootstrap.person(db, HASHER, name=name, secret=USER_PASSWORD, project_name=name, roles=roles or ("member",))
        )
        return self.sign_in(name, USER_PASSWORD, name)

    def start(self) -> None:
        """Start the engine, where it does not run."""
        if self.engine is None:
            self.engine = Engine(self.database, self.parts, wiring.kinds(), wiring.reconcilers(self.parts), name="test")
            self._waker.engine = self.engine
            self.engine.start()

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until no operation is under way and every reconciler has run, from its beginning, since."""
        self.start()
        assert self.engine is not None
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with self.database.read() as db:
                live = db.execute(select(operation.c.kind, operation.c.step, operation.c.fault).where(operation.c.state.in_(LIVE))).all()
            if not live:
                break
            time.sleep(0.03)
        else:
            raise AssertionError(f"still under way: {live}")
        called, waited = time.monotonic(), [one for one in self.engine.health.values() if one.every > 0]
        for one in waited:
            self.engine.wake(one.name)
        while time.monotonic() < end and not all(one.last >= one.began >= called for one in waited):
            time.sleep(0.01)

    def close(self) -> None:
        if self.engine is not None:
            self.engine.stop()
        self.signing.known.close()
        self.app.close()
        self.hosts.close()
        self.database.close()
