"""Routes of availability zones, and of the hosts that operators see three times: as hypervisors, as services and as hosts.

Source: Compute API v2.1, "Availability zones", "Hypervisors", "Compute services", "Hosts".
"""

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType
from sqlalchemy import delete, select, update

from andromede.core.clock import iso_micro, now
from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.core.ids import is_id
from andromede.core.units import GIB, MIB
from andromede.http import paging
from andromede.http.wire import Body, since
from andromede.services.compute import hosts
from andromede.services.compute.api import admin, api, reader
from andromede.services.compute.tables import host, server

_BINARY = "nova-compute"
_MOST = 1000
_ADDRESS = "127.0.0.1"  # the schema wants one; agents are spoken to over a socket or by name, and tell none
_HYPERVISOR, _SERVICE, _HOST = "/os-hypervisors/{hypervisor_id}", "/os-services/{service_id}", "/os-hosts/{host_name}"
_OLD, _NEW = ("2.1", "2.52"), ("2.53", None)


def _rows(ctx: Context) -> list[Any]:
    return list(ctx.db.execute(select(host).order_by(host.c.name)))


# availability zones


@api.get("/os-availability-zone", policy=reader("os-availability-zone:list"))
def list_zones(ctx: Context) -> dict[str, Any]:
    """The zones, and whether any host of theirs takes servers."""
    return {"availabilityZoneInfo": [_zone(name, rows, detail=False) for name, rows in _zones(ctx).items()]}


@api.get("/os-availability-zone/detail", policy=admin("os-availability-zone:detail"))
def list_zones_in_full(ctx: Context) -> dict[str, Any]:
    """The zones with their hosts."""
    return {"availabilityZoneInfo": [_zone(name, rows, detail=True) for name, rows in _zones(ctx).items()]}


def _zones(ctx: Context) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    for row in _rows(ctx):
        out.setdefault(row.zone, []).append(row)
    return out


def _zone(name: str, rows: list[Any], *, detail: bool) -> dict[str, Any]:
    services = {
        row.name: {_BINARY: {"available": hosts.alive(row), "active": row.enabled, "updated_at": iso_micro(row.seen) if row.seen else None}}
        for row in rows
    }
    return {"zoneName": name, "zoneState": {"available": any(row.enabled for row in rows)}, "hosts": services if detail else None}


# hypervisors


def _service_id(ctx: Context, row: Any) -> str | int:
    return str(row.id) if ctx.at_least("2.53") else int(row.number)


def _hypervisor(ctx: Context, row: Any) -> dict[str, Any]:
    return {
        "id": _service_id(ctx, row), "hypervisor_hostname": row.name, "state": "up" if hosts.alive(row) else "down",
        "status": "enabled" if row.enabled else "disabled",
    }  # fmt: skip


def _full(ctx: Context, row: Any, taken: dict[str, hosts.Room], running: dict[str, list[Any]]) -> dict[str, Any]:
    facts = row.facts or {}
    out = _hypervisor(ctx, row) | {
        "host_ip": _ADDRESS, "hypervisor_type": facts.get("hypervisor", ""), "hypervisor_version": facts.get("version", 0),
        "service": {"host": row.name, "id": _service_id(ctx, row), "disabled_reason": row.disabled_reason},
    }  # fmt: skip
    if ctx.at_least("2.88"):
        return out | {"uptime": _uptime(row)}
    model: Any = {"model": facts.get("cpu_model", "")}
    out |= _room(row, taken.get(row.name)) | {"current_workload": 0, "running_vms": len(running.get(row.name, ()))}
    out["cpu_info"] = model if ctx.at_least("2.28") else msgspec.json.encode(model).decode()
    return out


def _uptime(row: Any) -> str | None:
    """In the words of `uptime`, as far as the host's report knows; none while it is away."""
    booted = (row.facts or {}).get("booted", 0)
    if not booted or not hosts.alive(row):
        return None
    moment = now()
    seconds = max(0, int(moment.timestamp()) - booted)
    return f" {moment:%H:%M:%S} up {seconds // 86400} days, {seconds // 3600 % 24:2}:{seconds // 60 % 60:02}"


def _room(row: Any, used: hosts.Room | None) -> dict[str, Any]:
    facts = row.facts or {}
    memory, disk = facts.get("memory", 0) // MIB, facts.get("disk", 0) // GIB
    have = used or hosts.Room(0, 0, 0)
    return {
        "vcpus": facts.get("vcpus", 0), "vcpus_used": int(have.vcpus), "memory_mb": memory, "memory_mb_used": int(have.ram),
        "free_ram_mb": memory - int(have.ram), "local_gb": disk, "local_gb_used": int(have.disk), "free_disk_gb": disk - int(have.disk),
        "disk_available_least": facts.get("disk_free", 0) // GIB,
    }  # fmt: skip


def _servers(ctx: Context) -> dict[str, list[Any]]:
    out: dict[str, list[Any]] = {}
    query = select(server.c.id, server.c.name, server.c.host).where(server.c.host.is_not(None), server.c.deleted.is_(None))
    for row in ctx.db.execute(query.order_by(server.c.id)):
        out.setdefault(row.host, []).append(row)
    return out


def _guests(rows: list[Any]) -> list[dict[str, str]]:
    return [{"uuid": row.id, "name": f"guest-{row.id}"} for row in rows]


def _page(ctx: Context, path: str, *, detail: bool) -> dict[str, Any]:
    query = select(host)
    pattern = ctx.query.get("hypervisor_hostname_pattern") if ctx.at_least("2.53") else None
    if pattern is not None:
        if "limit" in ctx.query or "marker" in ctx.query:
            raise BadRequest("Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.")
        query = query.where(host.c.name.contains(pattern, autoescape=True))
    paged = ctx.at_least("2.33")
    marker = ctx.query.get("marker") if paged else None
    if marker is not None and not ctx.at_least("2.53"):
        marker = ctx.db.scalar(select(host.c.id).where(host.c.number == (int(marker) if marker.isdecimal() else -1))) or marker
    limit = paging.limit_of(ctx, most=_MOST) if paged else _MOST
    found = paging.page(ctx.db, query, host, keys=[(host.c.number, False)], limit=limit, marker=marker)
    if pattern is not None and not found.rows:
        raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
    rows = list(ctx.db.execute(select(host).where(host.c.id.in_([row["id"] for row in found.rows])).order_by(host.c.number)))
    running = _servers(ctx)
    taken = hosts.used(ctx.db) if detail else {}
    items = [_full(ctx, row, taken, running) if detail else _hypervisor(ctx, row) for row in rows]
    if ctx.at_least("2.53") and (ctx.query.get("with_servers") or "").lower() in ("true", "1"):
        for row, item in zip(rows, items, strict=True):
            if row.name in running or ctx.at_least("2.75"):
                item["servers"] = _guests(running.get(row.name, []))
    out: dict[str, Any] = {"hypervisors": items}
    key = "id" if ctx.at_least("2.53") else "number"
    if paged and (link := found.next_link(ctx, f"{ctx.base}/{path}", marker=key)) is not None:
        out["hypervisors_links"] = [{"rel": "next", "href": link}]
    return out


def _find(ctx: Context, hypervisor_id: str) -> Any:
    if ctx.at_least("2.53"):
        if not is_id(hypervisor_id):
            raise BadRequest(f"Invalid uuid {hypervisor_id}")
        query = select(host).where(host.c.id == hypervisor_id)
    else:
        query = select(host).where(host.c.number == (int(hypervisor_id) if re.fullmatch(r"\d{1,9}", hypervisor_id) else -1))
    row = ctx.db.execute(query).first()
    if row is None:
        raise NotFound(f"Hypervisor with ID '{hypervisor_id}' could not be found.")
    return row


@api.get("/os-hypervisors", policy=admin("os-hypervisors:list"))
def list_hypervisors(ctx: Context) -> dict[str, Any]:
    """The hosts' hypervisors."""
    return _page(ctx, "os-hypervisors", detail=False)


@api.get("/os-hypervisors/detail", policy=admin("os-hypervisors:list-detail"))
def list_hypervisors_in_full(ctx: Context) -> dict[str, Any]:
    """The hosts' hypervisors, with what they have and what is taken."""
    return _page(ctx, "os-hypervisors/detail", detail=True)


@api.get("/os-hypervisors/statistics", policy=admin("os-hypervisors:statistics"), versions=("2.1", "2.87"))
def show_statistics(ctx: Context) -> dict[str, Any]:
    """The sums over all enabled hosts."""
    taken, running, rows = hosts.used(ctx.db), _servers(ctx), [row for row in _rows(ctx) if row.enabled]
    totals = {"count": len(rows), "current_workload": 0, "running_vms": sum(len(running.get(row.name, ())) for row in rows)}
    rooms = [_room(row, taken.get(row.name)) for row in rows]
    names = _room_names()
    return {"hypervisor_statistics": totals | {name: sum(room[name] for room in rooms) for name in names}}


def _room_names() -> tuple[str, ...]:
    return (
        "vcpus", "vcpus_used", "memory_mb", "memory_mb_used", "free_ram_mb", "local_gb", "local_gb_used", "free_disk_gb",
        "disk_available_least",
    )  # fmt: skip


@api.get(_HYPERVISOR, policy=admin("os-hypervisors:show"))
def show_hypervisor(ctx: Context, hypervisor_id: str) -> dict[str, Any]:
    """One hypervisor."""
    row, running = _find(ctx, hypervisor_id), _servers(ctx)
    shown = _full(ctx, row, hosts.used(ctx.db), running)
    if ctx.at_least("2.53") and (ctx.query.get("with_servers") or "").lower() in ("true", "1"):
        shown["servers"] = _guests(running.get(row.name, []))
    return {"hypervisor": shown}


@api.get(_HYPERVISOR + "/uptime", policy=admin("os-hypervisors:uptime"), versions=("2.1", "2.87"))
def show_uptime(ctx: Context, hypervisor_id: str) -> dict[str, Any]:
    """For how long a host has been up. 400 while it is away."""
    row = _find(ctx, hypervisor_id)
    text = _uptime(row)
    if text is None:
        raise BadRequest(f"Host {row.name} does not tell its uptime now.")
    return {"hypervisor": _hypervisor(ctx, row) | {"uptime": text}}


@api.get(_HYPERVISOR + "/search", policy=admin("os-hypervisors:search"), versions=_OLD)
def search_hypervisors(ctx: Context, hypervisor_id: str) -> dict[str, Any]:
    """The hypervisors whose names contain a text. 404 where none does."""
    return {"hypervisors": [_hypervisor(ctx, row) for row in _named(ctx, hypervisor_id)]}


@api.get(_HYPERVISOR + "/servers", policy=admin("os-hypervisors:servers"), versions=_OLD)
def list_servers(ctx: Context, hypervisor_id: str) -> dict[str, Any]:
    """The servers on the hypervisors whose names contain a text."""
    running = _servers(ctx)
    found = [
        _hypervisor(ctx, row) | ({"servers": _guests(running[row.name])} if row.name in running else {}) for row in _named(ctx, hypervisor_id)
    ]
    return {"hypervisors": found}


def _named(ctx: Context, text: str) -> list[Any]:
    rows = [row for row in _rows(ctx) if text in row.name]
    if not rows:
        raise NotFound(f"No hypervisor matching '{text}' could be found.")
    return rows


# services: each host's agent, by the name that clients know


class ServiceChange(Body):
    """`PUT /os-services/{id}` from 2.53 on."""

    status: Literal["enabled", "disabled"] | UnsetType = UNSET
    disabled_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    forced_down: bool | UnsetType = UNSET


class NamedService(Body, kw_only=True):
    """`PUT /os-services/enable` and its kin, up to 2.52."""

    host: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    binary: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    disabled_reason: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | UnsetType = UNSET
    forced_down: Annotated[bool, since("2.11")] | UnsetType = UNSET


def _service(ctx: Context, row: Any) -> dict[str, Any]:
    out = {
        "id": _service_id(ctx, row), "binary": _BINARY, "host": row.name, "zone": row.zone, "status": "enabled" if row.enabled else "disabled",
        "state": "up" if hosts.alive(row) else "down", "updated_at": iso_micro(row.seen or row.created), "disabled_reason": row.disabled_reason,
    }  # fmt: skip
    return out | {"forced_down": row.forced_down} if ctx.at_least("2.11") else out


@api.get("/os-services", policy=admin("os-services:list"))
def list_services(ctx: Context) -> dict[str, Any]:
    """The hosts' agents; `host` and `binary` narrow the list."""
    name, binary = ctx.query.get("host"), ctx.query.get("binary")
    rows = [row for row in _rows(ctx) if name in (None, "", row.name) and binary in (None, "", _BINARY)]
    return {"services": [_service(ctx, row) for row in rows]}


def _update(ctx: Context, row: Any, **values: Any) -> Any:
    if values:
        ctx.db.execute(update(host).where(host.c.id == row.id).values(values))
    return ctx.db.execute(select(host).where(host.c.id == row.id)).one()


def _service_row(ctx: Context, service_id: str) -> Any:
    if not is_id(service_id):
        raise BadRequest(f"Invalid uuid {service_id}")
    row = ctx.db.execute(select(host).where(host.c.id == service_id)).first()
    if row is None:
        raise NotFound(f"Service {service_id} not found.")
    return row


@api.put(_SERVICE, policy=admin("os-services:update"), versions=_NEW)
def update_service(ctx: Context, service_id: str, body: ServiceChange) -> dict[str, Any]:
    """Let a host take new servers or not, or have it count as down."""
    row = _service_row(ctx, service_id)
    values: dict[str, Any] = {}
    if body.status is UNSET and body.forced_down is UNSET:
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if body.disabled_reason is not UNSET and body.status != "disabled":
        raise BadRequest("Specifying disabled_reason requires that status is 'disabled'.")
    if body.status is not UNSET:
        values |= {"enabled": body.status == "enabled", "disabled_reason": None if body.disabled_reason is UNSET else body.disabled_reason}
    if body.forced_down is not UNSET:
        values["forced_down"] = body.forced_down
    return {"service": _service(ctx, _update(ctx, row, **values))}


@api.put(_SERVICE, policy=admin("os-services:update"), versions=_OLD)
def act_on_service(ctx: Context, service_id: str, body: NamedService) -> dict[str, Any]:
    """`enable`, `disable`, `disable-log-reason` or (2.11) `force-down` a host's agent."""
    row = ctx.db.execute(select(host).where(host.c.name == body.host)).first()
    if service_id not in ("enable", "disable", "disable-log-reason", "force-down") or (service_id == "force-down" and not ctx.at_least("2.11")):
        raise NotFound("Unknown action")
    if row is None or body.binary != _BINARY:
        raise NotFound(f"Could not find binary {body.binary} on host {body.host}.")
    out: dict[str, Any] = {"host": row.name, "binary": _BINARY}
    if service_id == "force-down":
        if body.forced_down is UNSET:
            raise BadRequest("Missing forced_down field")
        _update(ctx, row, forced_down=body.forced_down)
        return {"service": out | {"forced_down": body.forced_down}}
    if service_id == "disable-log-reason":
        if body.disabled_reason is UNSET:
            raise BadRequest("Missing disabled reason field")
        _update(ctx, row, enabled=False, disabled_reason=body.disabled_reason)
        return {"service": out | {"status": "disabled", "disabled_reason": body.disabled_reason}}
    _update(ctx, row, enabled=service_id == "enable", disabled_reason=None)
    return {"service": out | {"status": "enabled" if service_id == "enable" else "disabled"}}


@api.delete(_SERVICE, policy=admin("os-services:delete"), versions=_NEW)
def delete_service(ctx: Context, service_id: str) -> None:
    """Forget a host. 409 while servers are on it."""
    row = _service_row(ctx, service_id)
    if row.name in _servers(ctx):
        raise Conflict("Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")
    ctx.db.execute(delete(host).where(host.c.id == row.id))


# hosts, up to 2.42


class HostChange(Body):
    """`PUT /os-hosts/{name}`."""

    status: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    maintenance_mode: Literal["enable", "disable"] | None = None


def _host(ctx: Context, name: str) -> Any:
    row = ctx.db.execute(select(host).where(host.c.name == name)).first()
    if row is None:
        raise NotFound(f"Compute host {name} could not be found.")
    return row


@api.get("/os-hosts", policy=admin("os-hosts:list"), versions=("2.1", "2.42"))
def list_hosts(ctx: Context) -> dict[str, Any]:
    """The hosts, perhaps of one `zone`."""
    zone = ctx.query.get("zone")
    return {"hosts": [{"host_name": row.name, "service": "compute", "zone": row.zone} for row in _rows(ctx) if zone in (None, "", row.zone)]}


@api.get(_HOST, policy=admin("os-hosts:show"), versions=("2.1", "2.42"))
def show_host(ctx: Context, host_name: str) -> dict[str, Any]:
    """What a host has, what is taken, and by which projects."""
    row = _host(ctx, host_name)
    room = _room(row, hosts.used(ctx.db).get(row.name))

    def line(project: str, cpu: int, ram: int, disk: int) -> dict[str, Any]:
        return {"resource": {"host": row.name, "project": project, "cpu": cpu, "memory_mb": ram, "disk_gb": disk}}

    used = (room["vcpus_used"], room["memory_mb_used"], room["local_gb_used"])
    lines = [line("(total)", room["vcpus"], room["memory_mb"], room["local_gb"]), line("(used_now)", *used), line("(used_max)", *used)]
    projects: dict[str, list[int]] = {}
    for one in ctx.db.execute(select(server).where(server.c.host == row.name, server.c.deleted.is_(None))):
        sums = projects.setdefault(one.project_id, [0, 0, 0])
        projects[one.project_id] = [sums[0] + one.vcpus, sums[1] + one.ram, sums[2] + one.disk]
    return {"host": [*lines, *(line(project, *sums) for project, sums in projects.items())]}


@api.put(_HOST, policy=admin("os-hosts:update"), versions=("2.1", "2.42"))
def update_host(ctx: Context, host_name: str, body: HostChange) -> dict[str, Any]:
    """Let a host take new servers or not."""
    status = (body.status or "").strip().lower()
    if status not in ("enable", "disable"):
        raise BadRequest(f"Invalid input for field/attribute status. Value: {body.status}. It must be enable or disable.")
    row = _host(ctx, host_name)
    if body.maintenance_mode is not None:
        raise BadRequest("Hosts have no maintenance mode here; disable the host, and move its servers.")
    _update(ctx, row, enabled=status == "enable", disabled_reason=None)
    return {"host": row.name, "status": f"{status}d"}


@api.get(_HOST + "/{power_action}", policy=admin("os-hosts:power"), versions=("2.1", "2.42"))
def change_host_power(ctx: Context, host_name: str, power_action: str) -> None:
    """`startup`, `shutdown` or `reboot` of a host: 501, for agents do not switch machines."""
    if power_action not in ("startup", "shutdown", "reboot"):
        raise NotFound(f"There is no such power action: {power_action}")
    row = _host(ctx, host_name)
    raise BadRequest(f"Hosts are not switched from here: {row.name} stays as it is.", status=501)
