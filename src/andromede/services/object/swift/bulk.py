"""Many objects in one request: `?bulk-delete` with a path on each line, and `?extract-archive` with a tar of objects."""

from urllib.parse import unquote

import msgspec

from andromede.core.errors import CloudError
from andromede.http.plain import Reply
from andromede.services.object.errors import NoContainer, NotEmpty
from andromede.services.object.model import Object
from andromede.services.object.swift import access, metadata, report, tar, writing
from andromede.services.object.swift.answers import Refused, line, quoted
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.report import Errors, Facts

_LINE = 4096
FORMS = {"tar": "", "tar.gz": "gz", "tar.bz2": "bz2"}


async def delete(call: Call) -> Reply:
    """Delete what the body names: `CONTAINER/OBJECT` or `CONTAINER` on each line, quoted."""
    kind = report.media(call, strict=False)
    given = call.headers.get("content-type")

    async def work() -> tuple[Facts, Errors]:
        if given and not given.startswith("text/plain"):
            raise Refused(406)
        errors: Errors = []
        return await deleted(call, await _names(call, errors), errors)

    return await report.answer(call, 200, kind, work, {"Number Deleted": 0, "Number Not Found": 0}, "delete")


async def _names(call: Call, errors: Errors) -> list[str]:
    out: list[str] = []
    rest = b""
    async for chunk in call.request.body():
        *lines, rest = (rest + chunk).split(b"\n")
        for each in lines:
            _add(call, out, errors, each)
        if len(rest) > _LINE:
            raise Refused(400, "Invalid File Name")
    _add(call, out, errors, rest)
    return out


def _add(call: Call, out: list[str], errors: Errors, raw: bytes) -> None:
    if not raw.strip():
        return
    if len(raw) > _LINE:
        raise Refused(400, "Invalid File Name")
    if len(out) >= call.settings.max_deletes:
        raise Refused(413, f"Maximum Bulk Deletes: {call.settings.max_deletes} per request")
    name = unquote(raw.strip().decode("utf-8", "surrogateescape"), errors="surrogateescape")
    if not metadata.valid(name):
        errors.append((quoted_raw(name), line(412)))
    else:
        out.append(name)


def quoted_raw(name: str) -> str:
    """A name for a report, whatever bytes it has."""
    from urllib.parse import quote

    return quote(name.encode("utf-8", "surrogateescape"), safe="/~")


async def deleted(call: Call, paths: list[str], errors: Errors) -> tuple[Facts, Errors]:
    """Delete objects, and then containers; what became of them."""
    facts: Facts = {"Response Status": line(200), "Response Body": "", "Number Deleted": 0, "Number Not Found": 0}
    count = {"Number Deleted": 0, "Number Not Found": 0}
    itself = f"/{call.container}/{call.name}" if call.name else ""
    objects, containers = [path for path in paths if "/" in path.strip("/")], [path for path in paths if "/" not in path.strip("/")]
    for path in objects + containers:
        try:
            await _delete(call, path, call.query.get("version-id") if path == itself else None)
            count["Number Deleted"] += 1
        except CloudError as fault:
            if fault.status == 404:
                count["Number Not Found"] += 1
            else:
                errors.append((quoted(path), line(fault.status)))
        if len(errors) >= call.settings.max_failed:
            return {**facts, **count, "Response Status": line(400), "Response Body": "Max delete failures exceeded"}, errors
    facts |= count
    if errors:
        facts["Response Status"] = line(400)
    elif not any(count.values()):
        facts |= {"Response Status": line(400), "Response Body": "Invalid bulk delete."}
    return facts, errors


async def _delete(call: Call, path: str, version: str | None) -> None:
    container, _, name = path.lstrip("/").partition("/")
    one = call.at(call.account_name, container.rstrip("/"), name, "DELETE", {})
    if name:
        await writing.removed(one, writing.writable(one), name, version)
        return
    access.to_account(one)
    place = one.place()
    if place is None:
        raise Refused(404)
    try:
        await one.objects.remove(place)
    except NotEmpty:
        raise Refused(409) from None
    except NoContainer:
        raise Refused(404) from None


async def extract(call: Call) -> Reply:
    """Put every file of an archive as an object."""
    form = FORMS.get(call.query["extract-archive"].lower().strip("."))
    if form is None:
        raise Refused(400, "Unsupported archive format")
    kind = report.media(call, strict=False)
    if call.request.length == 0 and "content-length" not in call.headers:
        raise Refused(411)
    return await report.answer(call, 200, kind, lambda: _extracted(call, form), {"Number Files Created": 0}, "extract")


async def _extracted(call: Call, form: str) -> tuple[Facts, Errors]:
    facts: Facts = {"Response Status": line(201), "Response Body": "", "Number Files Created": 0}
    errors: Errors = []
    created = 0
    containers = [0]
    fields = {name: value for name, value in metadata.of_object(call).items() if name.startswith("meta-")}
    at = metadata.delete_at(call)
    try:
        stream = tar.Stream(call.request.body(), form)
        async for file in tar.files(stream):
            path = "/".join(part for part in (call.container, call.name.rstrip("/")) if part)
            path = f"{path}/{file.name}" if path else file.name
            if "/" in path and len(errors) < call.settings.max_failed:
                thing = Object(content_type=file.content_type, headers={**fields, **file.metadata}, delete_at=at)
                try:
                    await _one(call, path, thing, file, containers)
                    created += 1
                except CloudError as fault:
                    errors.append((quoted_raw(path[:_LINE]), line(fault.status)))
                    if fault.status in {401, 499}:
                        raise
            elif len(errors) >= call.settings.max_failed:
                break
    except tar.Bad as fault:
        facts |= {"Response Status": line(400), "Response Body": f"Invalid Tar File: {fault}"}
        return {**facts, "Number Files Created": created}, errors
    except Refused as fault:
        facts |= {"Response Status": line(fault.status), "Response Body": fault.text}
        return {**facts, "Number Files Created": created}, errors
    facts["Number Files Created"] = created
    if errors:
        facts["Response Status"] = line(400)
    elif not created:
        facts |= {"Response Status": line(400), "Response Body": "Invalid Tar File: No Valid Files"}
    return facts, errors


async def _one(call: Call, path: str, thing: Object, file: tar.File, made: list[int]) -> None:
    if not metadata.valid(path):
        raise Refused(412)
    if file.size > call.settings.max_file_size:
        raise Refused(413)
    container, _, name = path.partition("/")
    one = call.at(call.account_name, container, name, "PUT", {})
    if not container or not name or metadata.length(container) > call.settings.max_container_name_length:
        raise Refused(400)
    writing.named(one, name)
    place = one.place()
    if place is None:
        access.to_account(one)
        made[0] += 1
        if made[0] > call.settings.max_extracted_containers:
            raise Refused(400, f"More than {call.settings.max_extracted_containers} containers to create from tar.")
        place, _new = await call.objects.create(call.account, container, lambda before: before, owner=call.caller.user_id if call.caller else "")
    access.to_object(one, place)
    if not thing.content_type:
        thing = msgspec.structs.replace(thing, content_type=tar.guessed(name))
    await writing.store(one, place, name, thing, file.pieces(), file.size, etag="")
