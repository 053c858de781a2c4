"""What an event says. Source: CADF 1.0.0 (DSP0262), as OpenStack's pyCADF writes it.

Bodies of requests are never in it: they hold passwords and keys.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from andromede.core.clock import iso_micro, now
from andromede.core.context import Context
from andromede.core.ids import new_id
from andromede.http.api import Route

_TYPE = "http://schemas.dmtf.org/cloud/audit/1.0/event"
_ACTIONS = {"GET": "read", "HEAD": "read", "POST": "create", "PUT": "update", "PATCH": "update", "DELETE": "delete"}
_encoder = msgspec.json.Encoder(order="sorted")


def event(
    ctx: Context, route: Route | None, params: Mapping[str, str], *, code: int, outcome: str, body: Any = None, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The row of an event. code: of the answer; outcome: `success`, `failure`, or `pending` where it is told before it is known;
    body: the answer's, for the id of what was made; more: attachments."""
    caller, moment, id_ = ctx.caller, now(), new_id()
    kind, action = _kind(ctx, route)
    target = list(params.values())[-1] if params else None
    if route is not None and route.method == "POST" and route.action is None and outcome == "success":
        target = _made(body) or target
    initiator: dict[str, Any] = {
        "typeURI": "service/security/account/user", "id": caller.user_id or None, "name": caller.user_name or ctx.claimed or None,
        "domain_id": caller.user_domain_id or None, "project_id": caller.project_id, "system": caller.system or None,
        "host": {"address": ctx.remote, "agent": ctx.headers.get("user-agent", "")[:256]},
        "credential": _some({"token": next(iter(caller.audit_ids), None), "application_credential": caller.application_credential_id}),
    }  # fmt: skip
    document: dict[str, Any] = {
        "typeURI": _TYPE, "eventType": "activity", "id": id_, "eventTime": iso_micro(moment) + "+00:00", "action": action, "outcome": outcome,
        "reason": {"reasonType": "HTTP", "reasonCode": str(code)}, "requestPath": ctx.path, "method": ctx.method, "request_id": ctx.request_id,
        "initiator": _some(initiator), "target": _some({"typeURI": kind, "id": target}),
        "observer": {"typeURI": f"service/{kind.partition('/')[0]}", "id": "target"},
    }  # fmt: skip
    document |= more or {}
    return {
        "id": id_, "at": moment, "project_id": caller.project_id, "user_id": caller.user_id or None, "target_id": (target or "")[:64] or None,
        "request_id": ctx.request_id, "action": action[:64], "outcome": outcome, "document": _encoder.encode(document).decode(),
    }  # fmt: skip


def _kind(ctx: Context, route: Route | None) -> tuple[str, str]:
    """What kind of thing is acted on, and how: `compute/servers`, `create`; an action of a thing is `update/NAME`."""
    if route is None:
        return (ctx.path.strip("/").split("/", 1)[0] or "unknown"), _ACTIONS.get(ctx.method, "unknown")
    words = [word for word in route.path.removeprefix(route.api.prefix).split("/") if word and not word.startswith("{")]
    if route.action is not None:
        return "/".join([route.api.type, *words[:-1]]), f"update/{route.action}"
    if words[-2:] == ["auth", "tokens"] and route.method == "POST":
        return "identity/auth/tokens", "authenticate"
    return "/".join([route.api.type, *words]), _ACTIONS.get(ctx.method, "unknown")


def _made(body: Any, depth: int = 2) -> str | None:
    """The id of what an answer shows: of itself, or of the one thing in it."""
    names = body.__struct_fields__ if isinstance(body, msgspec.Struct) else body if isinstance(body, dict) else ()
    fields = {name: body[name] if isinstance(body, dict) else getattr(body, name) for name in names}
    if isinstance(fields.get("id"), str):
        return str(fields["id"])
    return _made(next(iter(fields.values())), depth - 1) if len(fields) == 1 and depth else None


def _some(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in (None, {}, "")}
