"""The rules of groups: which volumes may be in one, and what becomes of a group with its volumes and their snapshots.

What is done to a group is done to each of its volumes; nothing here makes it happen to all at one moment.
"""

from typing import Any

from sqlalchemy import Connection, delete, func, select

from andromede.core.errors import BadRequest
from andromede.services.volume.tables import group, group_snapshot, snapshot, volume


def fits(row: Any, type_id: str | None) -> None:
    """Raise BadRequest where volumes of a type may not be in a group, or the group cannot take any now."""
    if type_id not in row.volume_types:
        raise BadRequest(f"Invalid volume: Cannot add volume to group {row.id}: its volume type is not supported by the group.")
    if row.status != "available":
        raise BadRequest(f"Invalid volume: group {row.id} is {row.status}, so no volume can be put into it.")


def tidy(db: Connection, group_id: str | None) -> None:
    """A volume of a group is gone: so is the group, where it was being deleted and this was the last."""
    if group_id is not None and not db.scalar(select(func.count()).where(volume.c.group_id == group_id)):
        db.execute(delete(group).where(group.c.id == group_id, group.c.status == "deleting"))


def tidy_snapshot(db: Connection, group_snapshot_id: str | None) -> None:
    """The same for a snapshot of a group."""
    if group_snapshot_id is not None and not db.scalar(select(func.count()).where(snapshot.c.group_snapshot_id == group_snapshot_id)):
        db.execute(delete(group_snapshot).where(group_snapshot.c.id == group_snapshot_id, group_snapshot.c.status == "deleting"))


def status(db: Connection, row: Any) -> str:
    """Of a group snapshot: that of its parts, until all are made."""
    parts = set(db.scalars(select(snapshot.c.status).where(snapshot.c.group_snapshot_id == row["id"])))
    for one in ("error", "creating"):
        if row["status"] == "available" and one in parts:
            return one
    return str(row["status"])


def status_of_group(db: Connection, row: Any) -> str:
    """Of a group: that of its volumes while some are being made."""
    parts = set(db.scalars(select(volume.c.status).where(volume.c.group_id == row["id"])))
    if row["status"] == "available" and (row["source_id"] or row["group_snapshot_id"]):
        for one in ("error", "creating"):
            if one in parts:
                return one
    return str(row["status"])
