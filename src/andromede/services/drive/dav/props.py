"""Properties: those that the drive knows of every node, by name, and how an entry of a multistatus is written.

A `Reader` is made for what one request asks for; it looks up for many nodes at once what is not in their rows.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from functools import lru_cache

from sqlalchemy import Connection

from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.xml import d, element, empty, escape, nc, oc, propstat, tag
from andromede.services.drive.tree import locks, properties, room
from andromede.services.drive.tree.locks import Lock
from andromede.services.drive.tree.nodes import Node

Write = Callable[["Reader", Node], str | None]
"""The XML within a property of a node; None where it has none."""
_LOCKS = "".join(
    f"<d:lockentry><d:lockscope><d:{scope}/></d:lockscope><d:locktype><d:write/></d:locktype></d:lockentry>" for scope in ("exclusive", "shared")
)
_REPORTS = "".join(
    f"<d:supported-report><d:report><{name}/></d:report></d:supported-report>" for name in ("d:sync-collection", "oc:filter-files")
)


@lru_cache(4096)
def http_date(moment: int) -> str:
    """A moment as HTTP has it."""
    try:
        return formatdate(moment, usegmt=True)
    except (ValueError, OverflowError, OSError):
        return formatdate(0, usegmt=True)


def _iso(moment: int) -> str:
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return "1970-01-01T00:00:00Z"


def active(call: Call, found: Iterable[Lock], hrefs: dict[int, str]) -> str:
    """Locks as `lockdiscovery` has them. hrefs: where the nodes are that they were put on."""
    made = []
    for one in found:
        root = f"<d:lockroot><d:href>{escape(hrefs[one.node_id])}</d:href></d:lockroot>" if one.node_id in hrefs else ""
        made.append(
            f"<d:activelock><d:lockscope><d:{'shared' if one.shared else 'exclusive'}/></d:lockscope><d:locktype><d:write/></d:locktype>"
            f"{root}<d:depth>{'infinity' if one.infinite else '0'}</d:depth><d:timeout>Second-{one.seconds}</d:timeout>"
            f"<d:locktoken><d:href>{one.token}</d:href></d:locktoken>{one.owner if one.user_id == call.person.id else ''}</d:activelock>"
        )
    return "".join(made)


def _file(write: Callable[[Node], str]) -> Write:
    return lambda _reader, one: None if one.folder else write(one)


def _always(write: Callable[[Node], str]) -> Write:
    return lambda _reader, one: write(one)


SETTABLE = frozenset({d("getlastmodified"), nc("creation_time"), oc("favorite")})
BASIC = [
    d(name) for name in (
        "resourcetype", "getlastmodified", "getcontentlength", "getcontenttype", "getetag", "creationdate", "displayname", "supportedlock",
        "lockdiscovery", "quota-used-bytes", "quota-available-bytes",
    )
]  # fmt: skip


def sync_token(space: str, number: int) -> str:
    """The token of a state of a space."""
    return f"urn:andromede:sync:{space}:{number}"


class Reader:
    """What a request asks of nodes. wanted: the properties, or None for the basic ones and all that people have set; names: only what
    there is is asked for."""

    def __init__(self, call: Call, wanted: Sequence[str] | None, *, names: bool = False) -> None:
        self.call: Call = call
        self.names = names
        self._all = wanted is None
        asked = BASIC if wanted is None else list(dict.fromkeys(wanted))
        self._live = [(name, *tag(name), LIVE.get(name)) for name in asked]
        self._dead = self._all or any(write is None for *_, write in self._live)
        self._locks, self._favour = d("lockdiscovery") in asked, oc("favorite") in asked
        self._room = d("quota-available-bytes") in asked
        self._missing: dict[tuple[str, ...], str] = {}
        self.usage: room.Usage = room.Usage(0, 0, 0, 0)
        self.principal: str = call.dav.principal(call.person)
        self.favourites: set[int] = set()
        self.locks: dict[int, list[Lock]] = {}
        self.inherited: list[Lock] = []
        self.hrefs: dict[int, str] = {}
        self.mounted: dict[int, str] = {}
        """Permissions of what others have shared, by its node."""
        self.etags: dict[int, str] = {}
        """Etags that say more than their nodes' own."""
        self._props: dict[int, dict[str, str]] = {}

    def begin(self, db: Connection, chain: Sequence[Node]) -> None:
        """Look up what holds for all: the room, and the locks of what is above the entries."""
        if self._room:
            self.usage = room.usage(db, self.call.space, self.call.quota)
        if self._locks:
            self.inherited = [one for one in locks.on(db, chain[:-1]) if one.infinite] if len(chain) > 1 else []
            for depth, one in enumerate(chain):
                self.hrefs[one.id] = self.call.href([each.name for each in chain[1 : depth + 1]], folder=one.folder)

    def below(self, one: Node) -> None:
        """From now on nodes are within this folder, whose own locks may hold for them."""
        self.inherited = [*self.inherited, *[lock for lock in self.locks.get(one.id, []) if lock.infinite]]

    def learn(self, db: Connection, many: Sequence[Node]) -> None:
        """Look up what is not in the rows of these nodes."""
        ids = [one.id for one in many]
        if self._dead:
            self._props = properties.of(db, ids)
        if self._favour:
            self.favourites = properties.favourites(db, self.call.person.id, ids)
        if self._locks:
            self.locks = locks.of(db, ids)

    def add(self, node_id: int, found: dict[str, str]) -> None:
        """Have a node have further properties: whole elements by name. `learn` comes before."""
        self._props[node_id] = {**self._props.get(node_id, {}), **found}

    def entry(self, one: Node, href: str) -> str:
        """A node as a response of a multistatus. `learn` has seen it."""
        if self._locks:
            self.hrefs[one.id] = href
        dead = self._props.get(one.id, {}) if self._dead else {}
        found, missing = [], []
        for name, opening, closing, write in self._live:
            content = write(self, one) if write is not None else None
            if content is None:
                if name in dead:
                    found.append(empty(name) if self.names else dead[name])
                elif not self._all:
                    missing.append(name)
            elif self.names or not content:
                found.append(f"<{opening}/>")
            else:
                found.append(f"<{opening}>{content}</{closing}>")
        if self._all:
            found += [empty(name) if self.names else value for name, value in dead.items()]
        rest = ""
        if missing:
            key = tuple(missing)
            rest = self._missing.get(key) or self._missing.setdefault(key, propstat(map(empty, missing), "404 Not Found"))
        first = f"<d:propstat><d:prop>{''.join(found)}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>" if found or not missing else ""
        return f"<d:response><d:href>{escape(href)}</d:href>{first}{rest}</d:response>"


LIVE: dict[str, Write] = {
    d("resourcetype"): _always(lambda one: "<d:collection/>" if one.folder else ""),
    d("getlastmodified"): _always(lambda one: http_date(one.mtime)),
    d("getcontentlength"): _file(lambda one: str(one.size)),
    d("getcontenttype"): _file(lambda one: escape(one.mime)),
    d("getetag"): lambda reader, one: f"&quot;{reader.etags.get(one.id) or one.etag}&quot;",
    d("creationdate"): _always(lambda one: _iso(one.created)),
    d("displayname"): lambda reader, one: escape(one.name or reader.call.person.account),
    d("supportedlock"): _always(lambda _: _LOCKS),
    d("lockdiscovery"): lambda reader, one: active(reader.call, [*reader.inherited, *reader.locks.get(one.id, [])], reader.hrefs),
    d("quota-used-bytes"): lambda _, one: str(one.size) if one.folder else None,
    d("quota-available-bytes"): lambda reader, one: str(reader.usage.free) if one.folder else None,
    d("supported-report-set"): _always(lambda one: _REPORTS if one.folder else ""),
    d("sync-token"): lambda reader, one: sync_token(reader.call.space.id, one.changed) if one.folder else None,
    d("current-user-principal"): lambda reader, _: f"<d:href>{escape(reader.principal)}</d:href>",
    d("owner"): lambda reader, _: f"<d:href>{escape(reader.principal)}</d:href>",
    oc("id"): lambda reader, one: reader.call.dav.oc_id(one.id),
    oc("fileid"): _always(lambda one: str(one.id)),
    oc("size"): _always(lambda one: str(one.size)),
    oc("permissions"): lambda reader, one: reader.mounted.get(one.id) or reader.call.permissions(one),
    oc("checksums"): lambda _, one: f"<oc:checksum>{escape(one.checksums)}</oc:checksum>" if one.checksums else None,
    oc("favorite"): lambda reader, one: "1" if one.id in reader.favourites else "0",
    oc("share-types"): _always(lambda _: ""),
    oc("owner-id"): lambda reader, _: escape(reader.call.person.account),
    oc("owner-display-name"): lambda reader, _: escape(reader.call.person.name),
    oc("data-fingerprint"): _always(lambda _: ""),
    oc("comments-unread"): _always(lambda _: "0"),
    nc("has-preview"): _always(lambda _: "false"),
    nc("mount-type"): _always(lambda _: ""),
    nc("is-encrypted"): _always(lambda _: "0"),
    nc("creation_time"): _always(lambda one: str(one.created)),
    nc("upload_time"): _always(lambda one: str(one.created)),
    nc("hidden"): _always(lambda _: "false"),
    nc("is-mount-root"): _always(lambda _: "false"),
    nc("sharees"): _always(lambda _: ""),
    nc("share-attributes"): _always(lambda _: "[]"),
}
"""What is known of every node; shares, previews and comments say here that there are none."""


def protected(name: str) -> bool:
    """Whether a property is the drive's own, and not to be set."""
    return name in LIVE and name not in SETTABLE


def simple(href: str, found: Sequence[tuple[str, str]], asked: Sequence[str] | None) -> str:
    """The response for something that is not a node, with a few properties. asked: as of a `Reader`."""
    have = dict(found)
    if asked is None:
        return f"<d:response><d:href>{escape(href)}</d:href>{propstat([element(*one) for one in found], '200 OK')}</d:response>"
    there = [element(name, have[name]) for name in asked if name in have]
    missing = [empty(name) for name in asked if name not in have]
    rest = propstat(missing, "404 Not Found") if missing else ""
    return f"<d:response><d:href>{escape(href)}</d:href>{propstat(there, '200 OK') if there or not missing else ''}{rest}</d:response>"
