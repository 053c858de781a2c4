"""Whether there is room for more: the quotas that Swift sets, of a container by its project and of an account by the operator, hold
for S3 too."""

import asyncio

from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.service import Objects, Place

_BREATH = 500


async def check(ask: Ask, place: Place, size: int, count: int = 1) -> None:
    """Raises QuotaExceeded where so many objects with so many bytes may not be added. Versions and parts count, in bytes."""
    kept, account = place.container.headers, ask.objects.account(place.account)
    if kept:
        most, many = kept.get("x-container-meta-quota-bytes", ""), kept.get("x-container-meta-quota-count", "")
        if most or many:
            _compare(*_held(ask.objects, place), size, count, most, many)
    if account is not None and account.headers:
        policy = _policy(ask.objects, place)
        for name in ("", f"-policy-{policy.lower()}"):
            most, many = (account.headers.get(f"x-account-quota-{kind}{name}", "") for kind in ("bytes", "count"))
            if (most or many) and not (ask.caller is not None and ask.caller.admin):
                used, there = 0, 0
                for number, each in enumerate(ask.objects.containers(place.account)):
                    if not name or _policy(ask.objects, each) == policy:
                        held = _held(ask.objects, each)
                        used, there = used + held[0], there + held[1]
                    if number % _BREATH == _BREATH - 1:
                        await asyncio.sleep(0)
                _compare(used, there, size, count, most, many)


def _policy(objects: Objects, place: Place) -> str:
    return place.container.headers.get("x-storage-policy", objects.store.classes[0])


def _held(objects: Objects, place: Place) -> tuple[int, int]:
    usage = objects.usage(place)
    return usage.weight + objects.hidden(place).weight, usage.entries


def _compare(used: int, there: int, size: int, count: int, most: str, many: str) -> None:
    if (most.isdigit() and used + size > int(most)) or (many.isdigit() and count and there + count > int(many)):
        raise S3Error("QuotaExceeded")
