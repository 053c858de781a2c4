"""Routes of a server's later life: its actions beyond power. Source: Compute API v2.1, "Servers - run an action"."""

from typing import Any

from msgspec import UNSET

from andromede.core.context import Context
from andromede.core.errors import Conflict
from andromede.http.response import Response
from andromede.services.compute import hosts, life, operations, servers, state, view
from andromede.services.compute.api import api, member
from andromede.services.compute.operations import moves
from andromede.services.compute.wire import CreateBackup, CreateImage, Rebuild, Rescue, Resize, Unshelve

_ACTION = "/servers/{server_id}/action"


@api.action(_ACTION, "suspend", policy=member("os-suspend-server:suspend"))
def suspend_server(ctx: Context, server_id: str) -> None:
    """Put what the guest holds in memory on disk."""
    life.power(ctx, life.mine(ctx, server_id, "suspend", "active"), "suspend", "suspending", power="suspended")


@api.action(_ACTION, "resume", policy=member("os-suspend-server:resume"))
def resume_server(ctx: Context, server_id: str) -> None:
    """Let a suspended guest go on."""
    life.power(ctx, life.mine(ctx, server_id, "resume", "suspended"), "resume", "resuming", power="running")


@api.action(_ACTION, "resize", policy=member("servers:resize"), quota=("cores", "ram"))
def resize_server(ctx: Context, server_id: str, body: Resize) -> None:
    """Give a server another flavor; it is VERIFY_RESIZE until that is confirmed or reverted.

    Errors: 400 the same flavor, or one with a smaller disk; 403 over a quota; 409 a state that does not allow it.
    """
    life.resize(ctx, server_id, body)


@api.action(_ACTION, "confirmResize", status=204, policy=member("servers:confirm_resize"))
def confirm_resize(ctx: Context, server_id: str) -> None:
    """Keep the new flavor; there is no way back any more."""
    row = life.mine(ctx, server_id, "confirmResize", "resized")
    life.submit(ctx, row, operations.CONFIRM, "confirmResize", "resize_confirming")
    if row["before"]:
        moves.note(ctx.db, row["before"]["migration"], "confirming")


@api.action(_ACTION, "revertResize", policy=member("servers:revert_resize"))
def revert_resize(ctx: Context, server_id: str) -> None:
    """Go back to the old flavor, and to the disk as it was."""
    row = life.mine(ctx, server_id, "revertResize", "resized")
    if not row["before"]:
        raise Conflict(f"Instance {server_id} has not been resized.")
    life.submit(ctx, row, operations.REVERT, "revertResize", "resize_reverting")


@api.action(_ACTION, "rebuild", policy=member("servers:rebuild"))
def rebuild_server(ctx: Context, server_id: str, body: Rebuild) -> Response:
    """Make a server's disk anew from an image; it keeps its id, its host and its ports.

    Errors: 400 an image that cannot be used, or a field that is wrong; 409 a state that does not allow it.
    """
    row, password = life.rebuild(ctx, server_id, body)
    shown = view.changed(ctx, row, rebuilt=True)
    shown.admin_pass = password
    return Response({"server": shown}, status=202, headers=[("location", f"{ctx.base}/servers/{server_id}")])


@api.action(_ACTION, "rescue", status=200, policy=member("os-rescue"))
def rescue_server(ctx: Context, server_id: str, body: Rescue | None = None) -> dict[str, Any]:
    """Boot from another image, with the server's own disk beside it."""
    return {"adminPass": life.rescue(ctx, server_id, body)}


@api.action(_ACTION, "unrescue", policy=member("os-unrescue"))
def unrescue_server(ctx: Context, server_id: str) -> None:
    """Boot from the server's own disk again."""
    life.unrescue(ctx, server_id)


@api.action(_ACTION, "createImage", policy=member("servers:create_image"), quota=("image_count_total",))
def create_image(ctx: Context, server_id: str, body: CreateImage) -> Response:
    """Make an image of a server; a running guest goes on meanwhile."""
    return _imaged(ctx, life.create_image(ctx, server_id, body))


@api.action(_ACTION, "createBackup", policy=member("os-create-backup"), quota=("image_count_total",))
def create_backup(ctx: Context, server_id: str, body: CreateBackup) -> Response:
    """Make an image of a server, and keep the last `rotation` of its backup_type."""
    return _imaged(ctx, life.create_backup(ctx, server_id, body))


def _imaged(ctx: Context, image_id: str) -> Response:
    """From 2.45 on the body names the image, before that a header."""
    if ctx.at_least("2.45"):
        return Response({"image_id": image_id}, status=202)
    return Response(status=202, headers=[("location", f"{ctx.root}/image/v2/images/{image_id}")])


@api.action(_ACTION, "shelve", policy=member("os-shelve:shelve"), quota=("image_count_total",))
def shelve_server(ctx: Context, server_id: str) -> None:
    """Stop a server and keep it as an image."""
    life.shelve(ctx, server_id)


@api.action(_ACTION, "shelveOffload", policy=member("os-shelve:shelve_offload"))
def offload_server(ctx: Context, server_id: str) -> None:
    """Have a shelved server leave its host."""
    row = life.mine(ctx, server_id, "shelveOffload", "shelved")
    life.submit(ctx, row, operations.OFFLOAD, "shelveOffload", "shelving_offloading")


@api.action(_ACTION, "unshelve", policy=member("os-shelve:unshelve"))
def unshelve_server(ctx: Context, server_id: str, body: Unshelve | None = None) -> None:
    """Let a shelved server run again."""
    zone = body.availability_zone if body is not None and body.availability_zone is not UNSET else None
    host = body.host if body is not None and body.host is not UNSET else None
    if host and not ctx.caller.admin:
        ctx.refuse("compute:os-shelve:unshelve_to_host")
    life.unshelve(ctx, server_id, zone, host)


@api.action(_ACTION, "restore", policy=member("os-deferred-delete:restore"))
def restore_server(ctx: Context, server_id: str) -> None:
    """Take back a delete that has not become final."""
    row = servers.find(ctx, server_id)
    state.require(row, "restore", "soft-delete")
    life.power(ctx, row, "restore", "restoring", power="running", boots=row["boots"] + 1, reclaim=None)


@api.action(_ACTION, "forceDelete", policy=member("os-deferred-delete:force"))
def force_delete(ctx: Context, server_id: str) -> None:
    """Delete now, with no way back."""
    servers.remove(ctx, server_id, now_=True)


def reset(ctx: Context, row: Any, vm_state: str) -> None:
    """Whatever is under way ends, and the server counts as being in this state."""
    ctx.parts.operations.cancel(ctx.db, row["id"])
    operations.abandon(ctx.db, ctx.parts, row)
    operations.write(ctx.db, row["id"], vm_state=vm_state, task_state=None)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])
