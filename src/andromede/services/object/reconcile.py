"""What the object store does by itself: objects expire, room is given back, bytes without an owner go."""

import asyncio

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.errors import DriverError
from andromede.core.units import show_bytes
from andromede.drivers.blob import Finding
from andromede.engine.model import Reconciler
from andromede.services.object.s3.upkeep import Done, run_lifecycle
from andromede.services.object.service import Objects
from andromede.services.object.swift.expiry import expired

_MINUTE, _HOUR = 60.0, 3600.0


def reconcilers(parts: Parts) -> list[Reconciler]:
    """Those of the object store of a process, `parts.objects`."""
    objects: Objects = parts.objects

    def expire() -> str:
        count = asyncio.run(expired(objects, now().timestamp()))
        return f"{count} expired" if count else ""

    def live() -> str:
        done = asyncio.run(run_lifecycle(objects, now()))
        return f"{done}" if done != Done() else ""

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
        Reconciler("object.expire", _MINUTE, expire), Reconciler("object.lifecycle", _HOUR, live),
        Reconciler("object.compact", 10 * _MINUTE, compact), Reconciler("object.check", 24 * _HOUR, tidy),
    ]  # fmt: skip
