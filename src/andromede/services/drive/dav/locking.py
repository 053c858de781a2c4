"""LOCK and UNLOCK (RFC 4918, 9.10 and 9.11)."""

import re
from functools import partial

from sqlalchemy import Connection

from andromede.core.errors import BadRequest
from andromede.http.plain import Reply
from andromede.services.drive.dav import guard
from andromede.services.drive.dav.call import Call
from andromede.services.drive.dav.finding import XML
from andromede.services.drive.dav.props import active
from andromede.services.drive.dav.writing import mime_of
from andromede.services.drive.dav.xml import HEAD, MOST, SPACES, d, parse, raw
from andromede.services.drive.tree import files, locks, nodes
from andromede.services.drive.tree.locks import Lock
from andromede.services.drive.tree.nodes import File

USUAL = 1800
"""Seconds for which a lock is had where its client does not say."""
_LONG = 8 << 10


def _seconds(header: str) -> int:
    for word in header.split(","):
        found = re.fullmatch(r"\s*Second-(\d{1,10})\s*", word, re.IGNORECASE | re.ASCII)
        if found:
            return int(found[1])
        if word.strip().lower() == "infinite":
            return locks.MOST
    return USUAL


async def lock(call: Call) -> Reply:
    """Lock something, or have a lock hold longer. Where nothing is an empty file comes to be."""
    data, seconds = await call.request.read(MOST), _seconds(call.header("timeout"))
    if not data.strip():
        def again(db: Connection) -> tuple[Lock, dict[int, str]]:
            chain = nodes.find(db, call.space.root_id, call.names)
            held = locks.refresh(db, chain, call.given.tokens, call.person.id, seconds)
            return held, {one.id: call.href([each.name for each in chain[1 : at + 1]], folder=one.folder) for at, one in enumerate(chain)}

        held, hrefs = await call.dav.desk.write(again)
        return Reply(200, [XML], _body(call, held, hrefs))
    depth = call.depth("infinity")
    if depth == "1":
        raise BadRequest("LOCK has the depth 0 or infinity.")
    root = parse(data, d("lockinfo"))
    if root.find(f"{d('locktype')}/{d('write')}") is None:
        raise BadRequest("A lock is for writing.")
    shared = root.find(f"{d('lockscope')}/{d('shared')}") is not None
    if not shared and root.find(f"{d('lockscope')}/{d('exclusive')}") is None:
        raise BadRequest("A lock is exclusive or shared.")
    owner = root.find(d("owner"))
    text = raw(owner) if owner is not None else ""
    if len(text) > _LONG:
        raise BadRequest("The owner of a lock is told too long.")

    def take(db: Connection) -> tuple[Lock, bool, bool]:
        chain = nodes.walk(db, call.space.root_id, call.names)
        new = len(chain) <= len(call.names)
        guard.proven(call, db, None if new else chain[-1])
        if new:
            empty = File(0, b"", mime_of(call.names[-1]))
            files.put(db, call.space, call.names, empty, quota=call.quota, by=call.person.id, check=partial(guard.placed, call))
            chain = nodes.find(db, call.space.root_id, call.names)
        held = locks.take(db, chain, call.person.id, text, infinite=depth == "infinity", shared=shared, seconds=seconds)
        return held, new, chain[-1].folder

    held, new, folder = await call.dav.desk.write(take)
    hrefs = {held.node_id: call.href(call.names, folder=folder)}
    return Reply(201 if new else 200, [XML, ("Lock-Token", f"<{held.token}>")], _body(call, held, hrefs))


def _body(call: Call, held: Lock, hrefs: dict[int, str]) -> bytes:
    return f"{HEAD}<d:prop {SPACES}><d:lockdiscovery>{active(call, [held], hrefs)}</d:lockdiscovery></d:prop>".encode()


async def unlock(call: Call) -> Reply:
    """Give up a lock."""
    token = call.header("lock-token").strip()
    if not (token.startswith("<") and token.endswith(">")):
        raise BadRequest("The header Lock-Token is missing, or not in angles.")

    def change(db: Connection) -> None:
        locks.release(db, nodes.find(db, call.space.root_id, call.names), token[1:-1], call.person.id)

    await call.dav.desk.write(change)
    return Reply(204)
