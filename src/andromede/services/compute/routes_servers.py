"""Routes of servers: create, list, show, change, delete, metadata, tags, addresses, and their actions."""

from typing import Any

import msgspec
from msgspec import UNSET

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.http.versions import show
from andromede.services.compute import hosts, life, listing, operations, servers, state, view
from andromede.services.compute.api import VERSIONS, admin, api, member, reader, root
from andromede.services.compute.routes_life import reset
from andromede.services.compute.wire import (
    BriefAnswer,
    ConsoleOutput,
    CreatedAnswer,
    CreateServer,
    Link,
    Lock,
    Metadata,
    Reboot,
    Reservation,
    ResetState,
    ServerAnswer,
    ServerCreated,
    ServersAnswer,
    UpdateServer,
)  # fmt: skip
from andromede.services.network import service as network

_SERVERS, _SERVER, _ACTION = "/servers", "/servers/{server_id}", "/servers/{server_id}/action"


def _version(ctx: Context) -> dict[str, Any]:
    return {
        "id": "v2.1",
        "status": "CURRENT",
        "version": show(VERSIONS.highest),
        "min_version": show(VERSIONS.lowest),
        "updated": "2013-07-23T11:33:21Z",
        "links": [{"rel": "self", "href": f"{ctx.root}/compute/v2.1/"}],
    }


def _plain_version(ctx: Context) -> dict[str, Any]:
    """What 2.1 is without microversions, under the name that clients of Compute v2 know it by."""
    return {
        "id": "v2.0", "status": "SUPPORTED", "version": "", "min_version": "", "updated": "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{ctx.root}/compute/v2/"}],
    }  # fmt: skip


@root.get("", policy=Policy("compute:versions", Level.PUBLIC), tx="none")
def list_versions(ctx: Context) -> dict[str, Any]:
    """The versions of Compute."""
    return {"versions": [_plain_version(ctx), _version(ctx)]}


@api.get("", policy=Policy("compute:version", Level.PUBLIC), tx="none")
def show_version(ctx: Context) -> dict[str, Any]:
    """Version 2.1 and its microversions."""
    known = _plain_version(ctx) if ctx.path == api.plain else _version(ctx)
    media = [{"base": "application/json", "type": "application/vnd.openstack.compute+json;version=2.1"}]
    return {"version": known | {"media-types": media}}


@api.post(_SERVERS, status=202, policy=member("servers:create"), quota=("instances", "cores", "ram"))
def create_server(ctx: Context, body: CreateServer) -> Response:
    """Build one server or several; answers at once, a server is ACTIVE when it runs.

    Errors: 400 for an image, flavor, key or network that cannot be used; 403 over a quota.
    """
    ids, reservation, password = servers.create(ctx, body)
    if body.server.return_reservation_id:
        return Response(Reservation(reservation_id=reservation), status=202)
    groups = [{"name": group.name} for group in body.server.security_groups or []] or [{"name": "default"}]
    created = ServerCreated(
        id=ids[0], links=view.links(ctx, "servers", ids[0]), disk_config=body.server.disk_config or "MANUAL",
        security_groups=groups, admin_pass=password,
    )  # fmt: skip
    return Response(CreatedAnswer(server=created), status=202, headers=[("location", f"{ctx.base}/servers/{ids[0]}")])


@api.get(_SERVERS, policy=reader("servers:index"))
def list_servers(ctx: Context) -> BriefAnswer:
    """Ids and names, a page at a time."""
    page = listing.listing(ctx)
    return BriefAnswer(servers=[view.brief(ctx, row) for row in page.rows], servers_links=_next(ctx, page, "servers"))


@api.get(_SERVERS + "/detail", policy=reader("servers:detail"))
def list_servers_in_full(ctx: Context) -> ServersAnswer:
    """Servers in full, a page at a time."""
    page = listing.listing(ctx)
    shown = view.full(ctx, page.rows)
    for one in shown:
        one.server_groups = UNSET
    return ServersAnswer(servers=shown, servers_links=_next(ctx, page, "servers/detail"))


def _next(ctx: Context, page: Any, path: str) -> list[Link]:
    link = page.next_link(ctx, f"{ctx.base}/{path}")
    return UNSET if link is None else [Link(rel="next", href=link)]  # type: ignore[return-value]


@api.get(_SERVER, policy=reader("servers:show"))
def show_server(ctx: Context, server_id: str) -> ServerAnswer:
    """One server. 404 where the caller's project has none of that id."""
    return ServerAnswer(server=view.full(ctx, [servers.find(ctx, server_id)])[0])


@api.put(_SERVER, policy=member("servers:update"))
def update_server(ctx: Context, server_id: str, body: UpdateServer) -> ServerAnswer:
    """Rename a server, or change its description and access addresses."""
    return ServerAnswer(server=view.changed(ctx, servers.change(ctx, server_id, body.server)))


@api.delete(_SERVER, policy=member("servers:delete"))
def delete_server(ctx: Context, server_id: str) -> None:
    """Delete a server in whatever state it is; what it had is given back."""
    servers.remove(ctx, server_id)


# addresses


@api.get(_SERVER + "/ips", policy=reader("ips:index"))
def list_addresses(ctx: Context, server_id: str) -> dict[str, Any]:
    """A server's addresses by network."""
    row = servers.find(ctx, server_id)
    return {"addresses": _plain(network.ports_of(ctx.db, [row["id"]]).get(row["id"], []))}


@api.get(_SERVER + "/ips/{label}", policy=reader("ips:show"))
def show_addresses(ctx: Context, server_id: str, label: str) -> dict[str, Any]:
    """A server's addresses on one network."""
    row = servers.find(ctx, server_id)
    found = _plain(network.ports_of(ctx.db, [row["id"]]).get(row["id"], []))
    if label not in found:
        raise NotFound(f"Instance is not a member of network {label}")
    return {label: found[label]}


def _plain(ports: list[network.Attached]) -> dict[str, list[dict[str, Any]]]:
    return {
        name: [{"version": one.version, "addr": one.addr} for one in entries] for name, entries in view.addresses(ports).items()
    }


# metadata


class MetadataBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"metadata": …}`."""

    metadata: Metadata


class MetaBody(msgspec.Struct, forbid_unknown_fields=True):
    """`{"meta": {key: value}}`."""

    meta: Metadata


@api.get(_SERVER + "/metadata", policy=reader("server-metadata:index"))
def list_metadata(ctx: Context, server_id: str) -> dict[str, Any]:
    """A server's metadata."""
    return {"metadata": servers.find(ctx, server_id)["metadata"]}


@api.put(_SERVER + "/metadata", policy=member("server-metadata:update_all"))
def replace_metadata(ctx: Context, server_id: str, body: MetadataBody) -> dict[str, Any]:
    """Replace all of it."""
    return {"metadata": servers.set_metadata(ctx, _mine(ctx, server_id), body.metadata)}


@api.post(_SERVER + "/metadata", policy=member("server-metadata:create"))
def add_metadata(ctx: Context, server_id: str, body: MetadataBody) -> dict[str, Any]:
    """Add to it, or change what is there."""
    row = _mine(ctx, server_id)
    return {"metadata": servers.set_metadata(ctx, row, row["metadata"] | body.metadata)}


@api.get(_SERVER + "/metadata/{key}", policy=reader("server-metadata:show"))
def show_metadata(ctx: Context, server_id: str, key: str) -> dict[str, Any]:
    """One item."""
    values = servers.find(ctx, server_id)["metadata"]
    if key not in values:
        raise NotFound("Metadata item was not found")
    return {"meta": {key: values[key]}}


@api.put(_SERVER + "/metadata/{key}", policy=member("server-metadata:update"))
def set_metadata_item(ctx: Context, server_id: str, key: str, body: MetaBody) -> dict[str, Any]:
    """Set one item."""
    row = _mine(ctx, server_id)
    if list(body.meta) != [key]:
        raise BadRequest("Request body and URI mismatch" if len(body.meta) == 1 else "Request body contains too many items")
    servers.set_metadata(ctx, row, row["metadata"] | body.meta)
    return {"meta": body.meta}


@api.delete(_SERVER + "/metadata/{key}", policy=member("server-metadata:delete"))
def delete_metadata(ctx: Context, server_id: str, key: str) -> None:
    """Remove one item."""
    row = _mine(ctx, server_id)
    if key not in row["metadata"]:
        raise NotFound("Metadata item was not found")
    servers.set_metadata(ctx, row, {name: value for name, value in row["metadata"].items() if name != key})


# actions


def _mine(ctx: Context, server_id: str) -> Any:
    """A server that the caller may change: known, not locked."""
    row = servers.find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    return row


@api.action(_ACTION, "os-start", policy=member("servers:start"))
def start_server(ctx: Context, server_id: str) -> None:
    """Start a stopped server."""
    row = _mine(ctx, server_id)
    state.require(row, "start", "stopped")
    life.power(ctx, row, "start", "powering-on", power="running", boots=row["boots"] + 1, soft=False)


@api.action(_ACTION, "os-stop", policy=member("servers:stop"))
def stop_server(ctx: Context, server_id: str) -> None:
    """Ask the guest to shut down, and end it if it does not."""
    row = _mine(ctx, server_id)
    state.require(row, "stop", "active", "error")
    life.power(ctx, row, "stop", "powering-off", power="stopped", soft=True)


@api.action(_ACTION, "reboot", policy=member("servers:reboot"))
def reboot_server(ctx: Context, server_id: str, body: Reboot) -> None:
    """Restart the guest: SOFT asks it first, HARD does not."""
    row = _mine(ctx, server_id)
    kind = body.type.upper()
    if kind not in ("SOFT", "HARD"):
        raise BadRequest(f"Invalid input for field/attribute type. Value: {body.type}. It must be SOFT or HARD.")
    if kind == "SOFT":
        state.require(row, "reboot", "active")
    else:
        state.require(row, "reboot", "active", "stopped", "paused", "suspended", "error", idle=row["task_state"] != "rebooting")
        ctx.parts.operations.cancel(ctx.db, row["id"])
    task = "rebooting" if kind == "SOFT" else "rebooting_hard"
    life.power(ctx, row, "reboot", task, power="running", boots=row["boots"] + 1, soft=kind == "SOFT")


@api.action(_ACTION, "pause", policy=member("os-pause-server:pause"))
def pause_server(ctx: Context, server_id: str) -> None:
    """Freeze the guest."""
    row = _mine(ctx, server_id)
    state.require(row, "pause", "active")
    life.power(ctx, row, "pause", "pausing", power="paused")


@api.action(_ACTION, "unpause", policy=member("os-pause-server:unpause"))
def unpause_server(ctx: Context, server_id: str) -> None:
    """Let the guest go on."""
    row = _mine(ctx, server_id)
    state.require(row, "unpause", "paused")
    life.power(ctx, row, "unpause", "unpausing", power="running")


@api.action(_ACTION, "lock", policy=member("os-lock-server:lock"))
def lock_server(ctx: Context, server_id: str, body: Lock | None = None) -> None:
    """Refuse changes by anyone but admins until it is unlocked."""
    row = servers.find(ctx, server_id)
    reason = body.locked_reason if body is not None and body.locked_reason is not UNSET else None
    operations.write(ctx.db, row["id"], locked_by="admin" if ctx.caller.admin else "owner", locked_reason=reason)


@api.action(_ACTION, "unlock", policy=member("os-lock-server:unlock"))
def unlock_server(ctx: Context, server_id: str) -> None:
    """Allow changes again; what an admin locked, an admin unlocks."""
    row = servers.find(ctx, server_id)
    if row["locked_by"] == "admin" and not ctx.caller.admin:
        ctx.refuse("compute:os-lock-server:unlock:unlock_override")
    operations.write(ctx.db, row["id"], locked_by=None, locked_reason=None)


@api.action(_ACTION, "os-getConsoleOutput", status=200, policy=member("os-console-output"), tx="none")
def console_output(ctx: Context, server_id: str, body: ConsoleOutput | None = None) -> dict[str, Any]:
    """The last lines of the serial console; all that is kept (100 KiB) where no length is given."""
    with ctx.parts.database.read() as db:
        row = servers.find(ctx.bind(db), server_id)
    ctx.bind(None)
    if row["host"] is None:
        raise Conflict(f"Instance {server_id} is not ready")
    text = ctx.parts.hosts.console(row["host"], row["id"]).decode("utf-8", "replace")
    length = body.length if body is not None else None
    if length is not None and length is not UNSET:
        if length < -1:
            raise BadRequest("Invalid input for field/attribute length. It must be -1 or more.")
        if length >= 0:
            text = "\n".join(text.split("\n")[-length:]) if length else ""
    return {"output": text}


@api.action(_ACTION, "os-resetState", policy=admin("os-admin-actions:reset_state"))
def reset_state(ctx: Context, server_id: str, body: ResetState) -> None:
    """Set the state by hand: `active` or `error`."""
    row = servers.find(ctx, server_id)
    if body.state not in ("active", "error"):
        raise BadRequest(f"Invalid input for field/attribute state. Value: {body.state}. It must be active or error.")
    reset(ctx, row, body.state)


@api.action(_ACTION, "injectNetworkInfo", policy=admin("os-admin-actions:inject_network_info"))
def inject_network_info(ctx: Context, server_id: str) -> None:
    """Tell the server's host anew what its network is; its metadata says so at once."""
    row = servers.find(ctx, server_id)
    hosts.changed(ctx.db, ctx.parts.operations, row["host"])


@api.get(_SERVER + "/diagnostics", policy=admin("os-server-diagnostics"), tx="none")
def diagnostics(ctx: Context, server_id: str) -> dict[str, Any]:
    """Counters of a running guest, as its host sees them."""
    with ctx.parts.database.read() as db:
        row = servers.find(ctx.bind(db), server_id)
    ctx.bind(None)
    if row["vm_state"] != "active" or row["host"] is None:
        raise Conflict(f"Instance {server_id} is in power state {row['seen_state']}; diagnostics need a running guest.")
    # the API has names for drivers; what drives QEMU is libvirt there
    return dict(ctx.parts.hosts.diagnostics(row["host"], row["id"])) | {"driver": "libvirt"}


@api.get(_SERVER + "/os-server-password", policy=reader("os-server-password:show"))
def show_password(ctx: Context, server_id: str) -> dict[str, Any]:
    """The password that the guest made and posted to its metadata service, encrypted with its user's key; empty where it did not."""
    return {"password": servers.find(ctx, server_id)["password"] or ""}


@api.delete(_SERVER + "/os-server-password", policy=member("os-server-password:clear"))
def clear_password(ctx: Context, server_id: str) -> None:
    """Forget it here; the guest's own is not changed."""
    operations.write(ctx.db, servers.find(ctx, server_id)["id"], password=None)
