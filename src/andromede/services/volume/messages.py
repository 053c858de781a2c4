"""Messages: what went wrong with somebody's things in the background, in words for them. Source: Block Storage API 3.3."""

from datetime import timedelta

import msgspec
from sqlalchemy import Connection, insert

from andromede.core.clock import now
from andromede.core.ids import new_id
from andromede.engine.model import Work
from andromede.services.volume.tables import message

_KEPT = timedelta(days=30)


class Event(msgspec.Struct, frozen=True):
    """What was being done; `code` is stable."""

    code: str
    text: str


CREATE = Event("VOLUME_VOLUME_001_001", "create volume")
DELETE = Event("VOLUME_VOLUME_014_001", "delete volume")
EXTEND = Event("VOLUME_VOLUME_007_001", "extend volume")
RETYPE = Event("VOLUME_VOLUME_004_001", "retype volume")
REIMAGE = Event("VOLUME_VOLUME_018_001", "reimage volume")
REVERT = Event("VOLUME_VOLUME_016_001", "revert volume to snapshot")
MIGRATE = Event("VOLUME_VOLUME_030_001", "migrate volume")
UPLOAD = Event("VOLUME_VOLUME_005_001", "copy volume to image")
SNAPSHOT = Event("VOLUME_VOLUME_SNAPSHOT_011_001", "create snapshot")
DELETE_SNAPSHOT = Event("VOLUME_VOLUME_SNAPSHOT_012_001", "delete snapshot")
BACKUP = Event("VOLUME_VOLUME_BACKUP_013_001", "create backup")
RESTORE = Event("VOLUME_VOLUME_BACKUP_014_001", "restore backup")
DELETE_BACKUP = Event("VOLUME_VOLUME_BACKUP_015_001", "delete backup")
ATTACH = Event("VOLUME_VOLUME_002_001", "attach volume")


def tell(db: Connection, work: Work, kind: str, project_id: str, resource_id: str, event: Event, fault: str) -> None:
    """Keep a message for a project; it is forgotten after 30 days."""
    moment = now()
    db.execute(
        insert(message).values(
            id=new_id(), project_id=project_id, request_id=work.request_id, resource_type=kind, resource_id=resource_id, event=event.code,
            text=f"{event.text}: {fault}", level="ERROR", created=moment, expires=moment + _KEPT,
        )
    )  # fmt: skip
