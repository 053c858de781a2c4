"""Objects going away: DeleteObject, DeleteObjects."""

import asyncio

from andromede.core.errors import CloudError
from andromede.http.plain import Reply
from andromede.services.object.model import MARKER, Object
from andromede.services.object.s3 import access, locks, when
from andromede.services.object.s3.ask import Ask, checked
from andromede.services.object.s3.errors import S3Error, code_of
from andromede.services.object.s3.incoming import Incoming
from andromede.services.object.s3.writing import XML
from andromede.services.object.s3.xml import Node, document, malformed, parsed
from andromede.services.object.service import Deletion, Found, When

_MOST = 1000


async def delete(ask: Ask) -> Reply:
    """DeleteObject."""
    place, key, version = ask.place, ask.key, ask.version
    access.need(ask, place, "DeleteObject" if version is None else "DeleteObjectVersion", key, _tagged(ask))
    condition = when.for_deleting(ask)
    if version is not None:
        condition = _both(condition, locks.may_go(passing=locks.bypass(ask, place, key)))
    found = await ask.objects.delete(place, key, version, condition, cause=ask.cause())
    return Reply(204, _shown(found, version))


def _tagged(ask: Ask) -> Object | None:
    if not ask.place.container.s3.get("policy"):
        return None
    newest = ask.objects.newest(ask.place, ask.key)
    return newest.object if newest else None


def _both(one: When | None, other: When) -> When:
    def check(before: Object | None) -> None:
        if one is not None:
            one(before)
        other(before)

    return check


def _shown(found: Found | None, version: str | None) -> list[tuple[str, str]]:
    lines = []
    if found is not None and found.object.kind == MARKER:
        lines.append(("x-amz-delete-marker", "true"))
    if version is not None:
        lines.append(("x-amz-version-id", version))
    elif found is not None and found.object.kind == MARKER:
        lines.append(("x-amz-version-id", found.object.version or "null"))
    return lines


async def delete_many(ask: Ask) -> Reply:
    """DeleteObjects."""
    place = ask.place
    root = await parsed(await Incoming(ask.request, ask.proof, ask.settings.most_xml).whole(), "Delete")
    named = root.all("Object")
    if not 0 < len(named) <= _MOST:
        raise malformed()
    quiet = root.value("Quiet").strip().lower() == "true"
    lines: list[tuple[str, object]] = []
    wanted = []
    for number, node in enumerate(named):
        if number % 50 == 49:
            await asyncio.sleep(0)
        try:
            wanted.append(_deletion(ask, node))
        except S3Error as error:
            lines.append(_refused(node.value("Key"), node.value("VersionId"), error))
    for deletion, result in zip(wanted, await ask.objects.delete_many(place, wanted, cause=ask.cause()), strict=True):
        if isinstance(result, CloudError):
            lines.append(_refused(deletion.name, deletion.version or "", result))
        elif not quiet:
            marker = result is not None and result.object.kind == MARKER
            made = marker and deletion.version is None
            lines.append(("Deleted", [
                ("Key", deletion.name), ("VersionId", deletion.version), ("DeleteMarker", True if marker else None),
                ("DeleteMarkerVersionId", (result.object.version or "null") if result and marker and (made or deletion.version) else None),
            ]))  # fmt: skip
    return Reply(200, [XML], document("DeleteResult", lines))


def _deletion(ask: Ask, node: Node) -> Deletion:
    place, key, version, etag = ask.place, node.value("Key"), node.value("VersionId") or None, node.value("ETag")
    if not key:
        raise malformed()
    checked(key)
    access.need(ask, place, "DeleteObject" if version is None else "DeleteObjectVersion", key)
    condition = when.same(etag) if etag else None
    if version is not None:
        condition = _both(condition, locks.may_go(passing=locks.bypass(ask, place, key)))
    return Deletion(key, version, condition)


def _refused(key: str, version: str, error: CloudError) -> tuple[str, object]:
    return ("Error", [("Key", key), ("VersionId", version or None), ("Code", code_of(error)[1]), ("Message", error.message)])
