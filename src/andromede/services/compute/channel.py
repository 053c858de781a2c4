"""What the cloud says to a program of its own in a server, and what that says of itself: through the server's metadata service.

Neither needs a way into the server's network. The documents are the server's alone, and sealed in its row: they hold secrets. Of its states
the last one counts.
"""

import base64
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.db.base import chunks
from andromede.drivers.host import PRIVATE, Told
from andromede.drivers.seal import Sealer
from andromede.engine.client import Operations
from andromede.services.compute.tables import server
from andromede.services.compute.tables_channel import channel, told


class Heard(msgspec.Struct, frozen=True):
    """The last state of a server, a text that nobody has checked, and when it came; `number` is that of the documents it has now."""

    state: str | None
    heard: datetime | None
    number: int


def _seal(sealer: Sealer, documents: Mapping[str, str]) -> str:
    return base64.b64encode(sealer.seal(msgspec.json.encode(dict(documents)))).decode()


def _open(sealer: Sealer, kept: str) -> dict[str, str]:
    return msgspec.json.decode(sealer.open(base64.b64decode(kept)), type=dict[str, str])


def put(db: Connection, sealer: Sealer, server_id: str, topic: str, documents: Mapping[str, str]) -> bool:
    """Give a server these documents; whether that changed any. `topic`: the reconciler that its states wake."""
    row = db.execute(select(channel.c.number, channel.c.documents).where(channel.c.server_id == server_id)).first()
    if row is None:
        db.execute(insert(channel).values(server_id=server_id, topic=topic, number=1, documents=_seal(sealer, documents)))
        db.execute(insert(told).values(server_id=server_id))
        return True
    if _open(sealer, row.documents) == documents:
        return False
    db.execute(update(channel).where(channel.c.server_id == server_id).values(documents=_seal(sealer, documents), number=row.number + 1))
    return True


def drop(db: Connection, server_id: str) -> None:
    """Speak no more with a server, whose documents go."""
    db.execute(delete(channel).where(channel.c.server_id == server_id))


def heard(db: Connection, ids: Iterable[str]) -> dict[str, Heard]:
    """What was heard of servers."""
    query = select(channel.c.server_id, told.c.state, told.c.heard, channel.c.number).join(told, told.c.server_id == channel.c.server_id)
    rows = [row for some in chunks(ids) for row in db.execute(query.where(channel.c.server_id.in_(some)))]
    return {row.server_id: Heard(row.state, row.heard, row.number) for row in rows}


def numbers(db: Connection, ids: Iterable[str]) -> dict[str, int]:
    """What changes whenever a server's documents do."""
    rows = [row for some in chunks(ids) for row in db.execute(select(channel.c.server_id, channel.c.number).where(channel.c.server_id.in_(some)))]
    return {row.server_id: row.number for row in rows}


def files(db: Connection, sealer: Sealer, ids: Iterable[str]) -> dict[str, dict[str, bytes]]:
    """Documents by path, of servers that have any."""
    query = select(channel.c.server_id, channel.c.documents)
    rows = [row for some in chunks(ids) for row in db.execute(query.where(channel.c.server_id.in_(some)))]
    return {row.server_id: {PRIVATE + name: text.encode() for name, text in _open(sealer, row.documents).items()} for row in rows}


def note(db: Connection, operations: Operations, host: str, said: Mapping[str, Told]) -> None:
    """Write down what servers of a host said, and wake whoever speaks with them. db: a transaction of its own, see `Database.note`."""
    query = select(channel.c.server_id, channel.c.topic, told.c.state).join(told, told.c.server_id == channel.c.server_id)
    query = query.join(server, server.c.id == channel.c.server_id).where(server.c.host == host)
    rows = [row for some in chunks(sorted(said)) for row in db.execute(query.where(channel.c.server_id.in_(some)))]
    topics = set()
    for row in rows:
        text = said[row.server_id].data.decode("utf-8", "replace").replace("\0", "�")
        db.execute(update(told).where(told.c.server_id == row.server_id).values(state=text, heard=now()))
        if text != row.state:
            topics.add(row.topic)
    for topic in sorted(topics):
        operations.signal(db, topic)
