"""Images that Compute makes of servers: their data is put into the staging area by a host, and then imported like any other."""

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from andromede.core.clock import now
from andromede.core.context import Context, Parts
from andromede.core.ids import new_id
from andromede.db.engine import after_commit
from andromede.engine.client import Operations
from andromede.services.image import changes, images, imports
from andromede.services.image.tables import image, task


def begin(
    ctx: Context, name: str, properties: dict[str, str], *, min_disk: int, min_ram: int, formats: tuple[str, str] = ("qcow2", "bare"),
    visibility: str = "private", protected: bool = False,
) -> tuple[str, str]:  # fmt: skip
    """A new image of the caller's project whose data will come; its id, and the path where the data is to be put.

    formats: of the disk, and of the container.
    Raises QuotaExceeded, BadRequest for properties that an image cannot have.
    """
    given: dict[str, Any] = {
        "name": name, "visibility": visibility, "protected": protected, "disk_format": formats[0],
        "container_format": formats[1], "min_disk": min_disk, "min_ram": min_ram,
    }  # fmt: skip
    row = changes.create(ctx, properties | given)
    blob = new_id()
    images.write(ctx.db, row["id"], status="saving", staged=blob)
    return row["id"], str(ctx.parts.images.staged(row["id"], blob))


def record(ctx: Context, name: str, properties: dict[str, str], *, min_disk: int, min_ram: int) -> str:
    """An image of the caller's project that has no data: its properties name what a server is made from. Answers its id.

    It is `active` at once, with a size of 0, as Nova leaves it. Raises QuotaExceeded, BadRequest.
    """
    given: dict[str, Any] = {
        "name": name, "visibility": "private", "disk_format": "raw", "container_format": "bare", "min_disk": min_disk, "min_ram": min_ram,
    }  # fmt: skip
    row = changes.create(ctx, properties | given)
    images.write(ctx.db, row["id"], status="active", size=0)
    return str(row["id"])


def receive(db: Connection, operations: Operations, image_id: str, request_id: str | None) -> None:
    """The data is there: import it. Nothing where the image is gone, or it is under way already."""
    from andromede.services.image.operations import IMPORT

    row = db.execute(select(image).where(image.c.id == image_id, image.c.status == "saving")).mappings().first()
    if row is None:
        return
    moment, id_ = now(), new_id()
    images.write(db, image_id, status="importing", importing=imports.STORE, failed_import="", writer=None, beat=None)
    given = {"image_id": image_id, "import_req": {"method": {"name": "glance-direct"}}, "backend": [imports.STORE]}
    db.execute(
        insert(task).values(
            id=id_, type="api_image_import", status="pending", owner=row["owner"], image_id=image_id, user_id=None, request_id=request_id,
            input=given, created_at=moment, updated_at=moment,
        )
    )  # fmt: skip
    operations.submit(
        db, IMPORT, image_id, project_id=row["owner"], request_id=request_id, memo={"task": id_, "method": "glance-direct", "uri": ""}
    )


def status(db: Connection, image_id: str) -> str | None:
    """An image's status; None where it is gone."""
    return db.scalar(select(image.c.status).where(image.c.id == image_id))


def discard(db: Connection, parts: Parts, image_id: str) -> None:
    """Delete an image that has not become whole. Nothing where it has, or is gone."""
    row = db.execute(select(image).where(image.c.id == image_id, image.c.status != "active")).mappings().first()
    if row is None:
        return
    parts.operations.cancel(db, image_id)
    for one in db.scalars(select(task.c.id).where(task.c.image_id == image_id)).all():
        imports.end_task(db, one, image_id, "The server's disk could not be copied.")
    db.execute(delete(image).where(image.c.id == image_id))
    after_commit(db, lambda: parts.images.remove(image_id, row["staged"]))


def backups(db: Connection, server_id: str, kind: str, project_id: str) -> list[str]:
    """The ids of a server's backups of one kind that are whole, the newest first."""
    rows = db.execute(select(image.c.id).where(image.c.owner == project_id, image.c.status == "active").order_by(image.c.created_at.desc())).all()
    found = images.properties_of(db, [row.id for row in rows])
    wanted = {"instance_uuid": server_id, "image_type": "backup", "backup_type": kind}
    return [row.id for row in rows if wanted.items() <= found.get(row.id, {}).items()]


def forget(db: Connection, parts: Parts, image_id: str) -> None:
    """Delete an image that Compute made, whatever it is."""
    row: Any = db.execute(select(image).where(image.c.id == image_id)).mappings().first()
    if row is not None and row["protected"] is False:
        db.execute(delete(image).where(image.c.id == image_id))
        after_commit(db, lambda: parts.images.remove(image_id, row["blob"]))
