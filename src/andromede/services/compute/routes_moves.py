"""Routes that move servers between hosts, for operators. Source: Compute API v2.1, "Servers - run an administrative action"."""

import secrets
from typing import Any

from msgspec import UNSET
from sqlalchemy import select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.http.response import Response
from andromede.services.compute import devices, hosts, life, machine, operations
from andromede.services.compute.api import admin, api, manager
from andromede.services.compute.operations import moves
from andromede.services.compute.tables import host
from andromede.services.compute.wire import Evacuate, Migrate, MigrateLive
from andromede.services.volume import service as volume

_TRUTHS = ("true", "false", "1", "0", "on", "off", "yes", "no", "t", "f", "y", "n")
_ACTION = "/servers/{server_id}/action"


def _target(ctx: Context, row: Any, name: str | None) -> str | None:
    """The host asked for; any other where none is. Raises BadRequest."""
    if name is None:
        return None
    if ctx.db.execute(select(host.c.id).where(host.c.name == name)).first() is None:
        raise BadRequest(f"Compute host {name} could not be found.")
    if name == row["host"]:
        raise BadRequest(f"Instance {row['id']} is on host {name} already.")
    return name


def _volumes(ctx: Context, server_id: str) -> list[str]:
    return [one.volume_id for one in devices.of_servers(ctx.db, [server_id]).get(server_id, [])]


def _named(ctx: Context, what: str, name: str | None) -> str | None:
    """The host asked for. Raises Forbidden where somebody names one who does not know the hosts. Source: microversion 2.56, Nova's policies."""
    if name is not None and not ctx.caller.admin:
        ctx.refuse(f"compute:os-migrate-server:{what}:host")
    return name


@api.action(_ACTION, "migrate", policy=manager("os-migrate-server:migrate"))
def migrate_server(ctx: Context, server_id: str, body: Migrate | None = None) -> None:
    """Move a server with its volumes to another host while it is off; it is VERIFY_RESIZE until that is confirmed or reverted.

    Errors: 400 a host that is not there, or no other than its own, or a volume that has snapshots or other servers; 409 a state that does not
    allow it.
    """
    row = life.mine(ctx, server_id, "migrate", "active", "stopped")
    machine.stays(row, "migrate")
    volume.movable(ctx, _volumes(ctx, server_id))
    target = _target(ctx, row, _named(ctx, "migrate", (body.host or None) if body is not None else None))
    try:
        found = hosts.choose(ctx.db, life.plain(row), avoid=row["host"], target=target, with_volumes=True)
    except Conflict as error:
        raise BadRequest("No valid host was found. There is no other host with room for the server.") from error
    migration = moves.begin(ctx.db, row, "migration", user_id=ctx.caller.user_id)
    memo = {"flavor": row["flavor"], "migration": migration, "avoid": True, "wanted": target and found, "volumes": True, "disk": row["disk"]}
    life.submit(ctx, row, operations.RESIZE, "migrate", "resize_prep", memo)


@api.action(_ACTION, "os-migrateLive", policy=manager("os-migrate-server:migrate_live"))
def migrate_server_live(ctx: Context, server_id: str, body: MigrateLive) -> None:
    """Move a running server to another host, with its memory, its disk and its volumes; it runs all the while.

    Errors: 400 a host that is not there, or no other than its own, or a volume that has snapshots or other servers; 409 a state that does not
    allow it.
    """
    row = life.mine(ctx, server_id, "os-migrateLive", "active", "paused")
    _said(ctx, body)
    volume.movable(ctx, _volumes(ctx, server_id))
    target = _target(ctx, row, _named(ctx, "migrate_live", body.host))
    try:
        hosts.choose(ctx.db, life.plain(row), avoid=row["host"], target=target, with_volumes=True)
    except Conflict as error:
        raise BadRequest("No valid host was found. There is no other host with room for the server.") from error
    migration = moves.begin(ctx.db, row, "live-migration", user_id=ctx.caller.user_id, status="queued")
    life.submit(ctx, row, operations.LIVE, "live-migration", "migrating", {"migration": migration, "wanted": target})


def _said(ctx: Context, body: MigrateLive) -> None:
    """Raise BadRequest for values that the version of the request does not have."""
    texts = ("auto",) if ctx.at_least("2.25") else ()
    if not ctx.at_least("2.25") and body.disk_over_commit is UNSET:
        raise BadRequest("Invalid input for field/attribute os-migrateLive. 'disk_over_commit' is a required property")
    for name in ("block_migration", "disk_over_commit", "force"):
        value = getattr(body, name)
        if isinstance(value, str) and value.lower() not in (*texts, *_TRUTHS):
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. '{value}' is not valid here.")


@api.action(_ACTION, "evacuate", status=200, policy=admin("os-evacuate"))
def evacuate_server(ctx: Context, server_id: str, body: Evacuate) -> Response:
    """Build a server anew on another host when its own is down; what its disk held is lost with that host.

    Errors: 400 a host that is up, or a target that is not there; 409 a state that does not allow it, or volumes, which are on that host.
    """
    row = life.mine(ctx, server_id, "evacuate", "active", "stopped", "error")
    machine.stays(row, "evacuate")
    if _volumes(ctx, server_id):
        raise Conflict(f"Instance {server_id} has volumes, which are on its host: it can be had again when that is back.")
    where = ctx.db.execute(select(host).where(host.c.name == row["host"])).first()
    if where is None:
        raise Conflict(f"Instance {server_id} has no host: it was never built.")
    if hosts.alive(where):
        raise BadRequest(f"Compute service of {row['host']} is still in use.")
    if body.shared is not None and body.shared is True:
        raise BadRequest("Invalid input for field/attribute onSharedStorage. Hosts here share no disks of servers.")
    target = _target(ctx, row, body.host or None)
    migration = moves.begin(ctx.db, row, "evacuation", user_id=ctx.caller.user_id)
    power = "stopped" if row["vm_state"] == "stopped" or ctx.at_least("2.95") else "running"
    memo = {"migration": migration, "wanted": target, "source": row["host"], "power": power, "boots": row["boots"] + 1}
    life.submit(ctx, row, operations.EVACUATE, "evacuate", "rebuilding", memo)
    if ctx.at_least("2.14"):
        return Response(status=200)
    return Response({"adminPass": body.admin_pass or secrets.token_urlsafe(9)}, status=200)
