"""What the object store does by itself: objects expire, copies and events go where they are to go, room is given back, bytes without
an owner go."""

import asyncio

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.errors import DriverError
from andromede.core.units import show_bytes
from andromede.drivers.blob import Finding
from andromede.engine.model import Reconciler
from andromede.services.identity.service import projects_known
from andromede.services.object.kms import LocalKeys
from andromede.services.object.leaving import Left, leave
from andromede.services.object.s3.events import deliver
from andromede.services.object.s3.replicate import replicate
from andromede.services.object.s3.upkeep import Done, run_lifecycle
from andromede.services.object.service import Objects
from andromede.services.object.swift.expiry import expired
from andromede.services.object.swift.synchronize import synchronize
from andromede.services.object.tasks import EVENT, REPLICA, SYNC, ready

_SOON, _MINUTE, _HOUR = 2.0, 60.0, 3600.0


def _due(objects: Objects, kind: str) -> bool:
    return ready(objects.store, kind, now().timestamp())


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Those of the object store of a process, `parts.objects`, with the settings of its faces, `parts.s3` and `parts.swift`."""
    objects: Objects = parts.objects

    def expire() -> str:
        moment = now().timestamp()
        count = asyncio.run(expired(objects, moment))
        keys = asyncio.run(objects.keys.purge(moment)) if isinstance(objects.keys, LocalKeys) else 0
        return ", ".join([*([f"{count} expired"] if count else []), *([f"{keys} keys deleted"] if keys else [])])

    def live() -> str:
        done = asyncio.run(run_lifecycle(objects, now(), parts.s3.classes))
        return f"{done}" if done != Done() else ""

    def leaving() -> str:
        grace = parts.settings.object.deleted_project_hours * _HOUR
        if grace < 0:
            return ""

        def known(ids: set[str]) -> set[str]:
            found: set[str] = parts.database.look(lambda db: projects_known(db, ids))
            return found

        done = asyncio.run(leave(objects, known, now().timestamp(), grace))
        return f"{done}" if done != Left() else ""

    def tell() -> str:
        count = asyncio.run(deliver(objects, parts.s3)) if _due(objects, EVENT) else 0
        return f"{count} events delivered" if count else ""

    def copy() -> str:
        count = asyncio.run(replicate(objects, parts.s3)) if _due(objects, REPLICA) else 0
        return f"{count} copies made" if count else ""

    def send() -> str:
        count = asyncio.run(synchronize(objects, parts.swift)) if _due(objects, SYNC) else 0
        return f"{count} objects synchronized" if count else ""

    def compact() -> str:
        steps = list(objects.store.compact())
        return f"{show_bytes(steps[-1].total)} looked through" if steps and steps[-1].total else ""

    def tidy() -> str:
        found = [one for one in objects.store.check(repair=True, deep=False) if isinstance(one, Finding)]
        left = [one for one in found if not one.mended]
        if left:
            raise DriverError(f"{len(left)} findings cannot be mended, the first: {left[0].text}. See: andromede storage check")
        return f"{len(found)} mended" if found else ""

    return [
        Reconciler("object.expire", _MINUTE, expire), Reconciler("object.lifecycle", _HOUR, live), Reconciler("object.events", _SOON, tell),
        Reconciler("object.replicate", _SOON, copy), Reconciler("object.sync", _SOON, send),
        Reconciler("object.leaving", _HOUR, leaving),
        Reconciler("object.compact", 10 * _MINUTE, compact),
        Reconciler("object.check", 24 * _HOUR, tidy),
    ]  # fmt: skip
