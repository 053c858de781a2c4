"""Routes of remote consoles, and the page that shows one. Source: Compute API v2.1, "Server consoles"; noVNC is served as it is published."""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Literal

import msgspec

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound, Unauthorized
from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.http.wire import Body
from andromede.services.compute import consoles, servers
from andromede.services.compute.api import admin, api, member

_ACTION = "/servers/{server_id}/action"
_ANYONE = Policy("console:page", Level.PUBLIC)
_KINDS = {("vnc", "novnc"): "vnc", ("serial", "serial"): "serial"}
_MEDIA = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
_SAFE = [
    ("content-security-policy", "default-src 'self'; img-src 'self' data:; connect-src 'self' ws: wss:; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"), ("cache-control", "no-cache"),
]  # fmt: skip
page = Api("console", type="console", prefix="/console", fault=faults.generic)


class Console(msgspec.Struct, forbid_unknown_fields=True):
    """A console asked for."""

    protocol: Literal["vnc", "spice", "rdp", "serial", "mks"]
    type: Literal["novnc", "xvpvnc", "spice-html5", "spice-direct", "rdp-html5", "serial", "webmks"]


class RemoteConsole(Body):
    """`POST …/remote-consoles`."""

    remote_console: Console


class OldVnc(Body):
    """`os-getVNCConsole`."""

    type: Literal["novnc", "xvpvnc"]


class OldSerial(Body):
    """`os-getSerialConsole`."""

    type: Literal["serial"]


def _issue(ctx: Context, server_id: str, protocol: str, type_: str) -> str:
    row = servers.find(ctx, server_id)
    kind = _KINDS.get((protocol, type_))
    if kind is None:
        raise BadRequest(f"Unavailable console type {type_}.")
    if row["host"] is None or row["vm_state"] not in ("active", "paused", "rescued", "resized"):
        raise Conflict(f"Instance {server_id} is not ready")
    if kind == "vnc" and row["image"].get("properties", {}).get("hw_video_model") == "none":
        raise BadRequest(f"Unavailable console type {type_}: the server has no display.")
    return consoles.issue(ctx, server_id, kind)


@api.post("/servers/{server_id}/remote-consoles", policy=member("os-remote-consoles"), versions=("2.6", None))
def create_console(ctx: Context, server_id: str, body: RemoteConsole) -> dict[str, Any]:
    """An address at which a console can be opened for some minutes.

    Errors: 400 a kind of console that servers here do not have; 409 a server that does not run.
    """
    wanted = body.remote_console
    if wanted.type == "spice-direct" and not ctx.at_least("2.99"):
        raise BadRequest("Invalid input for field/attribute type. Value: spice-direct. It is of microversion 2.99.")
    url = _issue(ctx, server_id, wanted.protocol, wanted.type)
    return {"remote_console": {"protocol": wanted.protocol, "type": wanted.type, "url": url}}


@api.action(_ACTION, "os-getVNCConsole", status=200, policy=member("os-remote-consoles"), versions=("2.1", "2.5"))
def get_vnc_console(ctx: Context, server_id: str, body: OldVnc) -> dict[str, Any]:
    """The same for a display, up to 2.5."""
    return {"console": {"type": body.type, "url": _issue(ctx, server_id, "vnc", body.type)}}


@api.action(_ACTION, "os-getSerialConsole", status=200, policy=member("os-remote-consoles"), versions=("2.1", "2.5"))
def get_serial_console(ctx: Context, server_id: str, body: OldSerial) -> dict[str, Any]:
    """The same for the serial line, up to 2.5."""
    return {"console": {"type": body.type, "url": _issue(ctx, server_id, "serial", body.type)}}


@api.get("/os-console-auth-tokens/{console_token}", policy=admin("os-console-auth-tokens"), versions=("2.31", None))
def show_token(ctx: Context, console_token: str) -> dict[str, Any]:
    """What a console's token leads to. There is no port: consoles are reached through the agent."""
    try:
        row = consoles.find(ctx.db, console_token)
    except Unauthorized as error:
        raise NotFound("Token not found") from error
    shown = {"instance_uuid": row.server_id, "host": row.host, "port": None, "internal_access_path": None}
    return {"console": shown | ({"tls_port": None} if ctx.at_least("2.99") else {})}


@cache
def _known() -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def walk(folder: Traversable, name: str) -> None:
        for one in folder.iterdir():
            if one.is_dir():
                walk(one, f"{name}{one.name}/")
            elif one.name.endswith(tuple(_MEDIA)):
                found[f"{name}{one.name}"] = one.read_bytes()

    walk(files("andromede.services.compute") / "novnc", "")
    return found


def _file(name: str) -> Response:
    data = _known().get(name)
    if data is None:
        raise NotFound("There is no such file.")
    return Response(data, content_type=_MEDIA[name[name.rindex(".") :]], headers=_SAFE)


@page.get("/vnc.html", policy=_ANYONE, tx="none")
def show_page(_ctx: Context) -> Response:
    """The page with the console; what it connects to is in its query."""
    return _file("viewer.html")


@page.get("/viewer.js", policy=_ANYONE, tx="none")
def show_script(_ctx: Context) -> Response:
    """Its script."""
    return _file("viewer.js")


@page.get("/viewer.css", policy=_ANYONE, tx="none")
def show_style(_ctx: Context) -> Response:
    """Its style."""
    return _file("viewer.css")


@page.get("/novnc/core/{part}", policy=_ANYONE, tx="none")
def show_core(_ctx: Context, part: str) -> Response:
    """noVNC."""
    return _file(f"core/{part}")


@page.get("/novnc/core/{part}/{file_name}", policy=_ANYONE, tx="none")
def show_core_part(_ctx: Context, part: str, file_name: str) -> Response:
    """More of noVNC."""
    return _file(f"core/{part}/{file_name}")


@page.get("/novnc/vendor/pako/lib/{folder}/{file_name}", policy=_ANYONE, tx="none")
def show_vendored(_ctx: Context, folder: str, file_name: str) -> Response:
    """What noVNC stands on."""
    return _file(f"vendor/pako/lib/{folder}/{file_name}")
