"""Attachments: which server has which volume, and how far that is.

A volume is `reserved` or `attaching`, then `in-use`, then `detaching`; one with `multiattach` stays in use while any server has it.
"""

from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.core.ids import new_id
from andromede.engine.client import Operations
from andromede.services.volume import waiting
from andromede.services.volume.tables import FOREIGN, attachment, volume

FIRM = ("attached", "detaching")


def of_volume(db: Connection, volume_id: str) -> list[Any]:
    """Every attachment of a volume."""
    return list(db.execute(select(attachment).where(attachment.c.volume_id == volume_id).order_by(attachment.c.created)))


def find(db: Connection, attachment_id: str) -> Any:
    """An attachment's row, or None."""
    return db.execute(select(attachment).where(attachment.c.id == attachment_id)).first()


def reserve(
    ctx: Context, row: Any, server_id: str | None, *, mode: str = "rw", status: str = "reserved", contents: str = FOREIGN
) -> str:
    """Keep a volume for a server; answers the attachment's id. contents: what it is to be taken for from now on. Raises
    BadRequest where it cannot be attached now."""
    db, id_ = ctx.db, row["id"]
    others = of_volume(db, id_)
    if row["status"] == "downloading" or row["status"] not in ("available", "reserved", "in-use", "attaching"):
        raise BadRequest(f"Invalid volume: Volume {id_} status must be available to reserve, but the current status is {row['status']}.")
    if others and not row["multiattach"]:
        raise BadRequest(f"Invalid volume: volume {id_} is already attached or reserved, and has no multiattach.")
    if server_id is not None and any(one.server_id == server_id for one in others):
        raise BadRequest(f"Invalid volume: volume {id_} is already attached to server {server_id}.")
    if not others and row["status"] != "available":
        raise BadRequest(f"Invalid volume: Volume {id_} status must be available, but the current status is {row['status']}.")
    attachment_id = new_id()
    db.execute(
        insert(attachment).values(
            id=attachment_id, volume_id=id_, project_id=row["project_id"], server_id=server_id, status=status,
            mode="ro" if row["readonly"] else mode, created=now(),
        )
    )  # fmt: skip
    db.execute(update(volume).where(volume.c.id == id_).values(contents=contents))
    settle(db, id_)
    return attachment_id


def complete(db: Connection, attachment_id: str, *, device: str | None, host: str | None) -> None:
    """The server has the volume."""
    row = find(db, attachment_id)
    if row is None:
        raise Conflict("The volume was detached while it was attached.")
    values = {"status": "attached", "mountpoint": device or row.mountpoint, "host_name": host or row.host_name}
    db.execute(update(attachment).where(attachment.c.id == attachment_id).values(attached=row.attached or now(), **values))
    settle(db, row.volume_id)


def mark(db: Connection, attachment_id: str, status: str) -> None:
    """An attachment is on its way: `attaching`, `detaching`, or back."""
    row = find(db, attachment_id)
    if row is not None:
        db.execute(update(attachment).where(attachment.c.id == attachment_id).values(status=status))
        settle(db, row.volume_id)


def remove(db: Connection, attachment_id: str) -> None:
    """The server has the volume no more; nothing happens where it had not."""
    row = find(db, attachment_id)
    if row is not None:
        db.execute(delete(attachment).where(attachment.c.id == attachment_id))
        settle(db, row.volume_id)


def hurry_servers(db: Connection, operations: Operations, volume_id: str) -> None:
    """Operations on servers that wait for the volume look again."""
    servers = [one.server_id for one in of_volume(db, volume_id) if one.server_id]
    if servers:
        operations.hurry(db, *servers)


_STATUS = {"reserved": "reserved", "attaching": "attaching", "attached": "in-use", "detaching": "detaching"}
_ORDER = ("detaching", "attaching", "reserved", "attached")
"""What a volume of several servers shows first: what is under way with one of them."""


def settle(db: Connection, volume_id: str) -> None:
    """Give a volume the status that follows from its attachments, unless it is being changed in another way."""
    row = db.execute(select(volume).where(volume.c.id == volume_id)).one()
    stages = {one.status for one in of_volume(db, volume_id)}
    first = next((stage for stage in _ORDER if stage in stages), None)
    status = "available" if first is None else _STATUS[first]
    if row.status in ("available", "reserved", "attaching", "in-use", "detaching"):
        waiting.write(db, volume_id, status=status)
    elif row.previous in ("available", "reserved", "attaching", "in-use", "detaching"):
        waiting.write(db, volume_id, previous=status)
