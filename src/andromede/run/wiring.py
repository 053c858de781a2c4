"""Which parts make a process: the one place where drivers meet services.

What only the API needs (routes, the HTTP layer, signing in) is imported where it is used: the engine does without it.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from andromede.agent.client import AgentHosts
from andromede.core.context import Parts
from andromede.db.engine import Database
from andromede.drivers.host import Hosts
from andromede.drivers.network import Fabric
from andromede.drivers.seal import Sealer, from_file
from andromede.engine.client import Operations, SocketWaker, Waker
from andromede.engine.engine import Engine, process_name, purge
from andromede.engine.metrics import Teller
from andromede.engine.model import Kind, Reconciler
from andromede.run import members, object_settings
from andromede.run.home import Home
from andromede.run.settings import Settings
from andromede.services.audit import service as audit
from andromede.services.compute import hosts
from andromede.services.compute import operations as compute_operations
from andromede.services.compute import reconcile as compute_clock
from andromede.services.compute.carriers import ComputeHosts
from andromede.services.compute.hosts import chassis as find_chassis
from andromede.services.drive import service as drive
from andromede.services.hadoop import service as hadoop
from andromede.services.identity import leftovers
from andromede.services.image import service as image
from andromede.services.image.store import ImageStore
from andromede.services.network import service as network
from andromede.services.object.reconcile import reconcilers as of_objects
from andromede.services.object.service import Objects
from andromede.services.volume import service as volume

if TYPE_CHECKING:
    from andromede.drivers.blob import Store
    from andromede.http.api import Api
    from andromede.http.app import App
    from andromede.services.identity.auth import Signing
    from andromede.services.identity.lockout import Rules

@cache
def apis() -> "tuple[Api, ...]":
    """Every API that is served."""
    from andromede.http import openapi
    from andromede.services.audit import routes as audit_routes
    from andromede.services.compute import routes as compute_routes
    from andromede.services.hadoop import routes as hadoop_routes
    from andromede.services.identity import routes as identity_routes
    from andromede.services.image import routes as image_routes
    from andromede.services.key_manager import routes as key_routes
    from andromede.services.network import routes as network_routes
    from andromede.services.volume import routes as volume_routes

    services = [*identity_routes.APIS, *image_routes.APIS, *network_routes.APIS, *compute_routes.APIS, *volume_routes.APIS, *key_routes.APIS]
    services += [*hadoop_routes.APIS, *audit_routes.APIS]
    return (*services, openapi.served(services))


def kinds() -> list[Kind]:
    """Every kind of operation."""
    return [*compute_operations.KINDS, *image.KINDS, *volume.KINDS]


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Every reconciler."""
    services = (
        hosts.reconcilers, compute_clock.reconcilers, network.reconcilers, image.reconcilers, volume.reconcilers, leftovers.reconcilers, of_objects,
        hadoop.reconcilers, drive.reconcilers, audit.reconcilers,
    )  # fmt: skip
    return [purge(parts.database), *(one for of in services for one in of(parts))]


def rules(settings: Settings) -> "Rules":
    """The rules about passwords, from the settings."""
    from andromede.services.identity.lockout import Rules

    return Rules(**{name: getattr(settings.identity, name) for name in Rules.__struct_fields__})


def signing(home: Home, database: Database) -> "Signing":
    """What signing in needs."""
    from andromede.services.identity import service as identity
    from andromede.services.identity.passwords import Hasher

    given = home.settings
    hasher = Hasher(given.identity.password_hash, given.identity.bcrypt_rounds)
    return identity.signing(database, home.keys, hasher=hasher, rules=rules(given), lifetime=given.identity.token_lifetime)


def assemble(
    database: Database, settings: Settings, *, waker: Waker, hosts: Hosts, images: ImageStore, signing: "Signing | None" = None,
    fabric: Fabric | None = None, objects: Objects | None = None, sealer: Sealer, witness: audit.Witness,
) -> Parts:  # fmt: skip
    """What services find in `ctx.parts` and reconcilers in `parts`; only the API signs people in, only the engine has the fabric."""
    optional = {"fabric": fabric, "objects": objects, "signing": signing}
    known = {name: part for name, part in optional.items() if part is not None}
    faces = {"s3": object_settings.of_s3(settings), "swift": object_settings.of_swift(settings)}
    return Parts(
        database=database, settings=settings, operations=Operations(waker), hosts=hosts, images=images, chassis=find_chassis,
        carriers=ComputeHosts(), sealer=sealer, witness=witness, guests_s3=object_settings.for_guests(settings), **faces, **known,
    )  # fmt: skip


def app(parts: Parts, *, public_url: str, threads: int = 12) -> "App":
    """The application over these parts."""
    from andromede.http.app import App
    from andromede.services.audit.trail import Trail
    from andromede.services.identity import service as identity
    from andromede.services.quota import service as quota

    return App(
        apis(), parts=parts, database=parts.database, authenticator=identity.Authenticator(parts.signing.known), quota=quota.take,
        trail=Trail(parts.database), public_url=public_url, threads=threads,
    )  # fmt: skip


def _common(home: Home, database: Database, waker: Waker) -> dict[str, Any]:
    """What both processes are made of."""
    hosts = AgentHosts(lambda: members.sockets(home))
    return {
        "database": database, "settings": home.settings, "waker": waker, "hosts": hosts, "images": ImageStore(home.images),
        "sealer": from_file(home.secrets_key), "witness": audit.witness(home.log_name, home.audit_key),
    }  # fmt: skip


@contextlib.contextmanager
def application(home: Home) -> "Iterator[App]":
    """The application of an API process."""
    database = Database(home.database_url)
    objects = cast("Objects", Later(lambda: _objects(home)))
    parts = assemble(**_common(home, database, SocketWaker(home.engine_socket)), signing=signing(home, database), objects=objects)
    serving = app(parts, public_url=home.url, threads=home.settings.api.threads)
    try:
        yield serving
    finally:
        serving.close()
        parts.signing.known.close()
        _close(parts)


@contextlib.contextmanager
def object_faces(home: Home) -> "Iterator[dict[int, Any]]":
    """The ASGI applications of a process that serves objects, by port."""
    from andromede.http.plain import serve
    from andromede.run import drivers
    from andromede.services.identity import service as identity
    from andromede.services.object.beside import Beside
    from andromede.services.object.callers import Callers
    from andromede.services.object.s3.face import S3
    from andromede.services.object.swift.face import Swift

    database, store, given = Database(home.database_url), drivers.store(home), home.settings.object
    proving = signing(home, database)
    callers = Callers(identity.Authenticator(proving.known), identity.AccessKeys(proving), identity.Sessions(proving))
    objects = Objects(store, drivers.object_keys(home, store))
    swift, of_s3 = Swift(objects, callers, object_settings.of_swift(home.settings)), object_settings.of_s3(home.settings)
    faces = {given.swift_port: serve(Beside(swift, S3(objects, callers, of_s3)), "swift"), given.s3_port: serve(S3(objects, callers, of_s3), "s3")}
    if home.settings.drive.enabled:
        faces[home.settings.drive.port] = serve(drive_face(home, database, proving, store), "drive")
    try:
        yield faces
    finally:
        proving.known.close()
        store.close()
        database.close()


def drive_face(home: Home, database: Database, proving: "Signing", store: "Store") -> Any:
    """The drive, over the store that objects are in."""
    from andromede.run.drivers import drive_instance
    from andromede.services.drive.dav.face import Dav
    from andromede.services.drive.face import Drive
    from andromede.services.drive.people import People
    from andromede.services.drive.settings import Settings as DriveSettings
    from andromede.services.identity.service import Directory

    given = home.settings.drive
    told = DriveSettings(given.quota, drive_instance(home), home.drive_url, given.name, given.bulk_from)
    return Drive(People(database, Directory(proving)), Dav(database, store, told), told)


class Later:
    """Something that is made when it is first used: what a process seldom needs costs it nothing."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._made, self._lock = make, None, threading.Lock()

    def __getattr__(self, name: str) -> Any:
        with self._lock:
            if self._made is None:
                self._made = self._make()
        return getattr(self._made, name)


class Inside:
    """Wakes an engine in this process."""

    engine: Engine | None = None

    def wake(self, topic: str) -> None:
        """Pass it on."""
        if self.engine is not None:
            self.engine.wake(topic)


@contextlib.contextmanager
def engine(home: Home) -> Iterator[Engine]:
    """The engine's process."""
    from andromede.run.drivers import fabric

    database, waker = Database(home.database_url), Inside()
    parts = assemble(**_common(home, database, waker), fabric=fabric(home), objects=_objects(home))
    running = Engine(database, parts, kinds(), reconcilers(parts), name=process_name(home.host), socket_path=home.engine_socket)
    waker.engine = running
    teller = Teller(running, home.metrics_socket, home.settings.engine.metrics_port)
    try:
        yield running
    finally:
        teller.close()
        parts.fabric.close()
        parts.objects.store.close()
        _close(parts)


def _objects(home: Home) -> Objects:
    from andromede.run import drivers

    kept = drivers.store(home)
    return Objects(kept, drivers.object_keys(home, kept))


def _close(parts: Parts) -> None:
    parts.hosts.close()
    parts.database.close()
