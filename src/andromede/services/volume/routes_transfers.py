"""Routes of transfers: a volume goes to another project, which shows the key that the giver was told. Source: Block Storage API v3.

`os-volume-transfer` is the older name of `volume-transfers` (3.55), which takes the volume's snapshots along.
"""

import hashlib
import hmac
import secrets
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import is_id, new_id
from andromede.http.wire import Body, since
from andromede.services.key_manager import service as keys
from andromede.services.volume import listing, quotas, volumes, waiting
from andromede.services.volume.api import Name, api, clean, everyone, links, member, reader, when
from andromede.services.volume.tables import snapshot, transfer, volume

_OLD, _NEW = "/os-volume-transfer", "/volume-transfers"
_VERSIONS = ("3.55", "3.70")


class NewTransfer(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked for."""

    volume_id: str
    name: Name | None | UnsetType = UNSET
    no_snapshots: Annotated[bool | str, since("3.55")] | UnsetType = UNSET


class Create(Body):
    """`POST /volume-transfers`."""

    transfer: NewTransfer


class Key(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The proof of who accepts."""

    auth_key: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class Accept(Body):
    """`POST /volume-transfers/{id}/accept`."""

    accept: Key


def _find(ctx: Context, transfer_id: str) -> Any:
    row = ctx.db.execute(select(transfer).where(transfer.c.id == transfer_id)).mappings().first()
    if row is None or not (ctx.caller.admin or row["project_id"] == ctx.caller.project_id):
        raise NotFound(f"Transfer {transfer_id} could not be found.")
    return row


def _brief(ctx: Context, row: Any) -> dict[str, Any]:
    return {"id": row["id"], "volume_id": row["volume_id"], "name": row["name"], "links": links(ctx, "volume-transfers", row["id"])}


def _full(ctx: Context, row: Any) -> dict[str, Any]:
    out = _brief(ctx, row) | {"created_at": when(row["created"])}
    if ctx.at_least("3.55"):
        out["no_snapshots"] = not row["snapshots"]
    if ctx.at_least("3.57"):
        out |= {"source_project_id": row["project_id"], "destination_project_id": row["destination"], "accepted": row["accepted"]}
    return out


def _digest(salt: str, key: str) -> str:
    return hmac.new(salt.encode(), key.encode(), hashlib.sha256).hexdigest()


def _create(ctx: Context, body: Create) -> dict[str, Any]:
    wanted = body.transfer
    if not is_id(wanted.volume_id):
        raise BadRequest(f"Invalid input for field/attribute volume_id. Value: {wanted.volume_id}. It is not an id.")
    row = volumes.find(ctx, wanted.volume_id)
    volumes.require(row, "be transferred", "available")
    if row["key_id"] is not None and not ctx.at_least("3.70"):
        raise BadRequest("Invalid volume: transferring encrypted volume is not supported before microversion 3.70.")
    if row["group_id"] is not None:
        raise BadRequest("Invalid volume: a volume in a group cannot be transferred.")
    volumes.unread(ctx.db, row["id"])
    no_snapshots = wanted.no_snapshots is not UNSET and str(wanted.no_snapshots).lower() in ("true", "1")
    kept = list(ctx.db.execute(select(snapshot).where(snapshot.c.volume_id == row["id"], snapshot.c.purpose.is_(None))))
    if kept and no_snapshots and row["key_id"] is not None:
        raise BadRequest("Invalid volume: an encrypted volume goes with its snapshots.")
    if any(one.status != "available" for one in kept):
        raise BadRequest("Invalid snapshot: every snapshot of the volume must be available.")
    id_, key, salt = new_id(), secrets.token_hex(8), secrets.token_hex(8)
    ctx.db.execute(
        insert(transfer).values(
            id=id_, volume_id=row["id"], project_id=row["project_id"], name=clean(wanted.name or None, "name"), salt=salt,
            digest=_digest(salt, key), snapshots=not no_snapshots, created=now(),
        )
    )  # fmt: skip
    waiting.write(ctx.db, row["id"], status="awaiting-transfer")
    return {"transfer": _full(ctx, _find(ctx, id_)) | {"auth_key": key}}


def _accept(ctx: Context, transfer_id: str, body: Accept) -> dict[str, Any]:
    row = ctx.db.execute(select(transfer).where(transfer.c.id == transfer_id, ~transfer.c.accepted)).mappings().first()
    if row is None:
        raise NotFound(f"Transfer {transfer_id} could not be found.")
    if not hmac.compare_digest(_digest(row["salt"], body.accept.auth_key), row["digest"]):
        raise BadRequest("Invalid auth key: Attempt to transfer with invalid auth key.")
    one = ctx.db.execute(select(volume).where(volume.c.id == row["volume_id"])).mappings().one()
    volumes.require(one, "be accepted", "awaiting-transfer")
    kept = list(ctx.db.execute(select(snapshot).where(snapshot.c.volume_id == one["id"], snapshot.c.purpose.is_(None))))
    given = kept if row["snapshots"] else []
    project, user = ctx.project_id, ctx.caller.user_id
    quotas.take(ctx, project, one["type_id"], volumes=1, gigabytes=one["size"] + sum(item.size for item in given), snapshots=len(given))
    waiting.write(ctx.db, one["id"], project_id=project, user_id=user, status="available")
    if given:
        ctx.db.execute(update(snapshot).where(snapshot.c.volume_id == one["id"]).values(project_id=project, user_id=user))
    if one["key_id"] is not None:
        keys.give(ctx.db, one["key_id"], project, user)
    ctx.db.execute(update(transfer).where(transfer.c.id == row["id"]).values(accepted=True, destination=project))
    shown = _brief(ctx, row)
    ctx.db.execute(delete(transfer).where(transfer.c.id == row["id"]))
    return {"transfer": shown}


def _delete(ctx: Context, transfer_id: str) -> None:
    row = _find(ctx, transfer_id)
    one = ctx.db.execute(select(volume).where(volume.c.id == row["volume_id"])).first()
    if one is not None and one.status == "awaiting-transfer":
        waiting.write(ctx.db, one.id, status="available")
    ctx.db.execute(delete(transfer).where(transfer.c.id == row["id"]))


def _page(ctx: Context, path: str) -> listing.Listed:
    columns = {"name": transfer.c.name, "volume_id": transfer.c.volume_id, "id": transfer.c.id}
    query = select(transfer)
    if not everyone(ctx):
        query = query.where(transfer.c.project_id == ctx.project_id)
    return listing.page(ctx, query, transfer, "transfers", path=path, columns=columns, sortable=columns, project=False)


def _declare(path: str, name: str, versions: dict[str, Any]) -> None:
    """The same routes under either name."""

    @api.post(path, status=202, policy=member(f"{name}:create"), **versions)
    def create_transfer(ctx: Context, body: Create) -> dict[str, Any]:
        """Offer a volume to whoever shows the key, which is told only now."""
        return _create(ctx, body)

    @api.get(path, policy=reader(f"{name}:list"), **versions)
    def list_transfers(ctx: Context) -> dict[str, Any]:
        """Offers in short."""
        found = _page(ctx, path.strip("/"))
        return {"transfers": [_brief(ctx, row) for row in found.rows], **found.more}

    @api.get(path + "/detail", policy=reader(f"{name}:detail"), **versions)
    def list_transfers_in_full(ctx: Context) -> dict[str, Any]:
        """Offers in full."""
        found = _page(ctx, path.strip("/") + "/detail")
        return {"transfers": [_full(ctx, row) for row in found.rows], **found.more}

    @api.get(path + "/{transfer_id}", policy=reader(f"{name}:show"), **versions)
    def show_transfer(ctx: Context, transfer_id: str) -> dict[str, Any]:
        """One offer."""
        return {"transfer": _full(ctx, _find(ctx, transfer_id))}

    @api.post(path + "/{transfer_id}/accept", status=202, policy=member(f"{name}:accept"), quota=("volumes", "gigabytes", "snapshots"), **versions)
    def accept_transfer(ctx: Context, transfer_id: str, body: Accept) -> dict[str, Any]:
        """Take a volume that is offered, with its key. Errors: 400 another key; 413 over a quota."""
        return _accept(ctx, transfer_id, body)

    @api.delete(path + "/{transfer_id}", policy=member(f"{name}:delete"), status=202, **versions)
    def delete_transfer(ctx: Context, transfer_id: str) -> None:
        """Take an offer back."""
        _delete(ctx, transfer_id)


_declare(_OLD, "transfers", {})
_declare(_NEW, "volume-transfers", {"versions": _VERSIONS})
