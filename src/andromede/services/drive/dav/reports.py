"""REPORT: what changed in a folder since a token (RFC 6578), and files that meet rules (`oc:filter-files`).

SEARCH (RFC 5323, basicsearch): files below a folder by name, type, size, time and the like.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from xml.etree.ElementTree import Element

from sqlalchemy import ColumnElement, Connection, and_, false, not_, or_, select, true

from andromede.core.errors import BadRequest
from andromede.http.plain import Reply
from andromede.services.drive.dav import finding
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.props import Reader, sync_token
from andromede.services.drive.dav.xml import CLOSE, MOST, OPEN, d, escape, fault, nc, oc, parse, text
from andromede.services.drive.errors import Forbidden
from andromede.services.drive.tables import mark, node
from andromede.services.drive.tree import names as names_of
from andromede.services.drive.tree import nodes, properties, searching, syncing
from andromede.services.drive.tree.nodes import Node
from andromede.services.drive.tree.searching import Path


class BadToken(Forbidden):
    """A token that is not, or no longer, known (RFC 6578, 3.2)."""


async def report(call: Call) -> Reply:
    """A REPORT on something in the tree."""
    root = parse(await call.request.read(MOST))
    wanted = root.find(d("prop"))
    asked = None if wanted is None else [one.tag for one in wanted]
    if root.tag == d("sync-collection"):
        try:
            return await _changes(call, root, asked)
        except BadToken as error:
            return Reply(403, [finding.XML], fault(error.message, "Sabre\\DAV\\Exception\\InvalidSyncToken", "<d:valid-sync-token/>"))
    if root.tag == oc("filter-files"):
        return await _filter(call, root, asked)
    raise Forbidden("There is no such report.")


async def _changes(call: Call, root: Element, asked: list[str] | None) -> Reply:
    level = text(root.find(d("sync-level"))) or call.depth("1")
    if level not in {"1", "infinite", "infinity"}:
        raise BadRequest("The sync-level is 1 or infinite.")
    token, limit = text(root.find(d("sync-token"))), text(root.find(f"{d('limit')}/{d('nresults')}"))
    most = int(limit) if limit.isascii() and limit.isdigit() and 0 < len(limit) < 10 else None

    def look(db: Connection) -> str:
        chain = nodes.find(db, call.space.root_id, call.names)
        folder = chain[-1]
        if not folder.folder:
            raise Forbidden("A file has no members.")
        found, last = syncing.cut(syncing.changes(db, folder, _since(call, token, chain[0]), deep=level != "1"), most)
        reader = Reader(call, asked)
        reader.begin(db, chain)
        reader.learn(db, [one for *_, one in found if one is not None])
        made = []
        for _, path, one in found:
            href = call.href((*call.names, *path), folder=one is not None and one.folder)
            gone = f"<d:response><d:href>{escape(href)}</d:href><d:status>HTTP/1.1 404 Not Found</d:status></d:response>"
            made.append(gone if one is None else reader.entry(one, href))
        if last is not None:
            here = escape(call.href(call.names, folder=True))
            made.append(f"<d:response><d:href>{here}</d:href><d:status>HTTP/1.1 507 Insufficient Storage</d:status></d:response>")
        number = chain[0].changed if last is None else last
        return f"{''.join(made)}<d:sync-token>{sync_token(call.space.id, number)}</d:sync-token>"

    body = await call.dav.desk.read(look)
    return Reply(207, [finding.XML], f"{OPEN}{body}{CLOSE}".encode("utf-8", "surrogatepass"))


def _since(call: Call, token: str, root: Node) -> int:
    if not token:
        return 0
    number = token.rpartition(":")[2]
    known = number.isascii() and number.isdigit() and len(number) < 19 and token == sync_token(call.space.id, int(number))
    if not known or int(number) > root.changed:
        raise BadToken("The token is not one of this folder.")
    return int(number)


async def _filter(call: Call, root: Element, asked: list[str] | None) -> Reply:
    rules = root.find(oc("filter-rules"))
    if rules is None or not len(rules) or any(rule.tag != oc("favorite") for rule in rules):
        raise BadRequest("Files are filtered by oc:favorite.")
    wanted = all(text(rule) in {"1", "true", "yes"} for rule in rules)

    def look(db: Connection) -> str:
        chain = nodes.find(db, call.space.root_id, call.names)
        ids = properties.all_favourites(db, call.person.id) if wanted else []
        return _entries(call, db, asked, call.names, searching.among(db, chain[-1], ids))

    return finding.multistatus(await call.dav.desk.read(look))


def _entries(call: Call, db: Connection, asked: list[str] | None, at: Path, found: list[tuple[Node, Path]]) -> str:
    reader = Reader(call, asked)
    reader.begin(db, nodes.walk(db, call.space.root_id, at))
    reader.learn(db, [one for one, _ in found])
    return "".join([reader.entry(one, call.href((*at, *path), folder=one.folder)) for one, path in found])


# SEARCH
def _text(value: str) -> Any:
    return value


def _whole(value: str) -> Any:
    try:
        return int(value)
    except ValueError:
        raise BadRequest("What is compared with is not a number.") from None


def _time(value: str) -> Any:
    try:
        if value.isascii() and value.isdigit():
            return int(value)
        found = parsedate_to_datetime(value) if "," in value else datetime.fromisoformat(value)
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except (ValueError, TypeError, OverflowError, IndexError):
        raise BadRequest("What is compared with is not a time.") from None


COLUMNS: dict[str, tuple[ColumnElement[Any], Callable[[str], Any]]] = {
    d("displayname"): (node.c.name, _text), d("getcontenttype"): (node.c.mime, _text), d("getetag"): (node.c.etag, _text),
    d("getlastmodified"): (node.c.mtime, _time), d("creationdate"): (node.c.created, _time), nc("upload_time"): (node.c.created, _time),
    nc("creation_time"): (node.c.created, _time), d("getcontentlength"): (node.c.size, _whole), oc("size"): (node.c.size, _whole),
    oc("fileid"): (node.c.id, _whole), oc("id"): (node.c.id, lambda value: _whole(value.partition("oc")[0])),
}  # fmt: skip
"""What can be compared and sorted by, and how a value of it is read."""
_COMPARE: dict[str, Callable[[ColumnElement[Any], Any], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value, "gt": lambda column, value: column > value, "gte": lambda column, value: column >= value,
    "lt": lambda column, value: column < value, "lte": lambda column, value: column <= value, "like": searching.like,
}  # fmt: skip


async def search(call: Call) -> Reply:
    """A SEARCH; the path it is sent to does not matter, the scope does."""
    root = parse(await call.request.read(MOST), d("searchrequest"))
    basic = root.find(d("basicsearch"))
    if basic is None:
        raise BadRequest("A search is a basicsearch.")
    wanted, scope = basic.find(f"{d('select')}/{d('prop')}"), basic.find(f"{d('from')}/{d('scope')}")
    asked = None if wanted is None else [one.tag for one in wanted]
    at = _scope(call, text(scope.find(d("href"))) if scope is not None else "")
    deep = scope is None or (text(scope.find(d("depth"))) or "infinity") != "1"
    condition = basic.find(d("where"))
    where = _condition(call, next(iter(condition))) if condition is not None and len(condition) else true()
    order = [_order(one) for one in basic.findall(f"{d('orderby')}/{d('order')}")]
    limit, first = (
        _count(basic.find(f"{d('limit')}/{name}"), usual) for name, usual in ((d("nresults"), searching.MOST), (nc("firstresult"), 0))
    )  # fmt: skip

    def look(db: Connection) -> str:
        chain = nodes.find(db, call.space.root_id, at)
        found = searching.below(db, chain[-1], where, deep=deep, order=order, limit=limit, offset=first)
        return _entries(call, db, asked, at, found)

    return finding.multistatus(await call.dav.desk.read(look))


def _scope(call: Call, href: str) -> Path:
    path = unquote_to_bytes(urlsplit(href).path)
    for user in (call.person.account, call.person.id):
        base = f"/files/{user}".encode()
        if path == base or path.startswith(base + b"/"):
            return names_of.split(path[len(base) :])
    found = call.target(path)
    if found is None:
        raise BadRequest("The scope of a search is /files/USER or something below it.")
    return found


def _count(found: Element | None, usual: int) -> int:
    return usual if found is None else max(0, min(_whole(text(found)), 1 << 40))


def _order(found: Element) -> ColumnElement[Any]:
    prop = found.find(d("prop"))
    name = prop[0].tag if prop is not None and len(prop) else ""
    if name not in COLUMNS:
        raise BadRequest("It cannot be sorted by this property.")
    return COLUMNS[name][0].desc() if found.find(d("descending")) is not None else COLUMNS[name][0].asc()


def _condition(call: Call, found: Element) -> ColumnElement[bool]:
    name = found.tag.removeprefix("{DAV:}")
    if name in {"and", "or"}:
        parts = [_condition(call, one) for one in found]
        return and_(true(), *parts) if name == "and" else or_(false(), *parts)
    if name == "not" and len(found) == 1:
        return not_(_condition(call, found[0]))
    if name == "is-collection":
        return node.c.folder
    prop, literal = found.find(d("prop")), found.find(d("literal"))
    if name not in _COMPARE or prop is None or len(prop) != 1:
        raise BadRequest("There is no such condition.")
    if prop[0].tag == oc("favorite") and name == "eq":
        mine = node.c.id.in_(select(mark.c.node_id).where(mark.c.user_id == call.person.id, mark.c.kind == properties.FAVOURITE))
        return mine if text(literal) in {"1", "yes", "true"} else not_(mine)
    if prop[0].tag == d("resourcetype") and name == "eq":
        return node.c.folder
    if prop[0].tag not in COLUMNS:
        raise BadRequest("It cannot be compared by this property.")
    column, read = COLUMNS[prop[0].tag]
    return _COMPARE[name](column, read(text(literal)))
