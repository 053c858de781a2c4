"""PROPFIND and PROPPATCH (RFC 4918, 9.1 and 9.2)."""

import hashlib
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from sqlalchemy import Connection, select

from andromede.core.errors import BadRequest
from andromede.http.plain import Reply
from andromede.services.drive.dav import guard, props
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.props import Reader
from andromede.services.drive.dav.shared import letters
from andromede.services.drive.dav.xml import CLOSE, MOST, OPEN, d, empty, escape, nc, oc, parse, propstat, raw, text
from andromede.services.drive.errors import NoRoom
from andromede.services.drive.tables import node
from andromede.services.drive.tree import nodes, properties
from andromede.services.drive.tree.nodes import COLUMNS, Node

XML = ("Content-Type", "application/xml; charset=utf-8")
_FEW, _PAGE = 1500, 500


def multistatus(body: str) -> Reply:
    """An answer whose responses are all there."""
    return Reply(207, [XML], f"{OPEN}{body}{CLOSE}".encode("utf-8", "surrogatepass"))


async def asked(call: Call) -> tuple[list[str] | None, bool]:
    """What a PROPFIND asks for: properties, or None for all; and whether only for their names. Raises BadRequest."""
    data = await call.request.read(MOST)
    if not data.strip():
        return None, False
    root = parse(data, d("propfind"))
    wanted = root.find(d("prop"))
    if wanted is not None:
        return [one.tag for one in wanted], False
    if root.find(d("propname")) is not None:
        return None, True
    if root.find(d("allprop")) is None:
        raise BadRequest("A propfind asks for prop, propname or allprop.")
    more = root.find(d("include"))
    return (None if more is None else [*props.BASIC, *[one.tag for one in more]]), False


async def propfind(call: Call) -> Reply:
    """Properties of something, and of what is in it."""
    depth = call.depth("infinity")
    wanted, names = await asked(call)

    def look(db: Connection) -> bytes | None:
        """All of it where that is little; None where it is to be streamed."""
        chain = nodes.find(db, call.space.root_id, call.names)
        one, reader = chain[-1], Reader(call, wanted, names=names)
        many: list[Node] = []
        if one.folder and depth == "infinity":
            return None
        if one.folder and depth == "1":
            many = [*nodes.children(db, one, limit=_FEW + 1), *_mounted(call, db, reader)]
            if len(many) > _FEW:
                return None
        return f"{OPEN}{''.join(_listed(call, db, reader, chain, many))}{CLOSE}".encode("utf-8", "surrogatepass")

    found = await call.dav.desk.read(look)
    if found is not None:
        return Reply(207, [XML], found)
    reader = Reader(call, wanted, names=names)
    return Reply(207, [XML], stream=call.dav.desk.pages(lambda db: _streamed(call, db, reader, deep=depth == "infinity")))


def _mounted(call: Call, db: Connection, reader: Reader) -> list[Node]:
    """What others have shared, as it is seen at the root of a tree."""
    found = []
    for name, grant in call.mounts.items() if not call.names else ():
        one = nodes.by_id(db, grant.node_id)
        if one is not None:
            one.name = name
            reader.mounted[one.id] = letters(grant.permissions, one, root=True)
            found.append(one)
    return found


def _listed(call: Call, db: Connection, reader: Reader, chain: list[Node], many: list[Node]) -> Iterator[str]:
    one = chain[-1]
    if call.mounts and not call.names:
        said = [one.etag, *[f"{each.name}/{each.etag}" for each in _mounted(call, db, reader)]]
        reader.etags[one.id] = hashlib.sha256("\0".join(said).encode()).hexdigest()[:32]
    reader.begin(db, chain)
    reader.learn(db, [one])
    here = call.href([each.name for each in chain[1:]], folder=one.folder)
    yield reader.entry(one, here)
    if many:
        reader.below(one)
        reader.learn(db, many)
        base = call.href([each.name for each in chain[1:]])
        for child in many:
            yield reader.entry(child, f"{base}{call.href_end(child)}")


def _streamed(call: Call, db: Connection, reader: Reader, *, deep: bool) -> Iterator[bytes]:
    """The pages of a long answer, in an order in which folders come before what is in them."""
    chain = nodes.find(db, call.space.root_id, call.names)
    yield f"{OPEN}{''.join(_listed(call, db, reader, chain, _mounted(call, db, reader)))}".encode("utf-8", "surrogatepass")
    reader.below(chain[-1])
    waiting = [(chain[-1], call.href([each.name for each in chain[1:]]), reader.inherited)]
    while waiting:
        folder, base, reader.inherited = waiting.pop()
        query = select(*COLUMNS).where(node.c.parent_id == folder.id).order_by(node.c.name)
        rows = db.execution_options(yield_per=_PAGE).execute(query)
        for page in rows.partitions():
            many = [Node(*row) for row in page]
            reader.learn(db, many)
            yield "".join([reader.entry(child, f"{base}{call.href_end(child)}") for child in many]).encode("utf-8", "surrogatepass")
            if deep:
                for child in many:
                    if child.folder:
                        held = [one for one in reader.locks.get(child.id, []) if one.infinite]
                        waiting.append((child, f"{base}{call.href_end(child)}".rstrip("/"), [*reader.inherited, *held]))
    yield CLOSE.encode()


async def proppatch(call: Call) -> Reply:
    """Set and remove properties: all of them, or none."""
    root = parse(await call.request.read(MOST), d("propertyupdate"))
    values: dict[str, str | None] = {}
    for action in root:
        if action.tag in {d("set"), d("remove")}:
            for prop in action.findall(d("prop")):
                for one in prop:
                    values[one.tag] = raw(one) if action.tag == d("set") else None
    if not values:
        raise BadRequest("A propertyupdate sets or removes at least one property.")
    refused = {name for name, value in values.items() if props.protected(name) or (name in props.SETTABLE and not _settable(name, value))}
    if refused:
        return await _refused(call, values, refused, "403 Forbidden")

    def change(db: Connection) -> bool:
        chain = nodes.find(db, call.space.root_id, call.names)
        guard.proven(call, db, chain[-1])
        guard.changed(call, db, chain)
        dead = {name: value for name, value in values.items() if name not in props.SETTABLE}
        if dead:
            properties.change(db, chain[-1].id, dead)
        times = {name: _moment(value) for name, value in values.items() if name in {d("getlastmodified"), nc("creation_time")} and value}
        if times:
            nodes.set_times(db, chain, mtime=times.get(d("getlastmodified")), created=times.get(nc("creation_time")))
        if oc("favorite") in values:
            properties.favour(db, call.person.id, chain[-1].id, wanted=_content(values[oc("favorite")]) in {"1", "true"})
        return chain[-1].folder

    try:
        folder = await call.dav.desk.write(change)
    except NoRoom:
        return await _refused(call, values, set(values), "507 Insufficient Storage")
    href = escape(call.href(call.names, folder=folder))
    return multistatus(f"<d:response><d:href>{href}</d:href>{propstat(map(empty, values), '200 OK')}</d:response>")


def _content(value: str | None) -> str:
    return text(parse(value.encode())) if value else ""


def _moment(value: str | None) -> int | None:
    said = _content(value)
    try:
        return int(float(said)) if said.replace(".", "", 1).isdigit() else int(parsedate_to_datetime(said).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _settable(name: str, value: str | None) -> bool:
    return name == oc("favorite") or (value is not None and _moment(value) is not None)


async def _refused(call: Call, values: dict[str, str | None], refused: set[str], status: str) -> Reply:
    """Nothing was changed, because of some."""
    chain = await call.dav.desk.read(lambda db: nodes.find(db, call.space.root_id, call.names))
    others = [empty(name) for name in values if name not in refused]
    stats = propstat([empty(name) for name in values if name in refused], status)
    stats += propstat(others, "424 Failed Dependency") if others else ""
    return multistatus(f"<d:response><d:href>{escape(call.href(call.names, folder=chain[-1].folder))}</d:href>{stats}</d:response>")
