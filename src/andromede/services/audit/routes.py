"""Routes of the audit log. Who holds `auditor` or `admin` reads everything; who reads a project, what was done in it. Nobody writes.

Proofs are those of RFC 9162: an event's is checked against a checkpoint that somebody else has kept.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http import faults
from andromede.http.api import Api
from andromede.http.paging import limit_of, page
from andromede.http.policy import Level, Policy
from andromede.services.audit import sealing, service
from andromede.services.audit.tables import event
from andromede.services.audit.verifier import leaf_hash, opened

api = Api("audit", type="audit", prefix="/audit/v1", fault=faults.generic)
APIS = (api,)
_FILTERS = ("project_id", "user_id", "target_id", "request_id", "action", "outcome")
_MOST = 1000


def _policy(name: str) -> Policy:
    return Policy(f"audit:{name}", Level.USER, wide=True)


def _visible(ctx: Context) -> ColumnElement[bool] | None:
    """Which events somebody may see; None for all of them. Raises Forbidden."""
    if ctx.caller.admin or ctx.caller.has("auditor"):
        return None
    if not ctx.caller.has("reader"):
        ctx.refuse("audit:events")
    return event.c.project_id == ctx.project_id


def _auditor(ctx: Context) -> None:
    if _visible(ctx) is not None:
        ctx.refuse("audit:log")


@api.get("/events", policy=_policy("events:list"))
def list_events(ctx: Context) -> dict[str, Any]:
    """Events, the newest first: `project_id`, `user_id`, `target_id`, `request_id`, `action`, `outcome`, `since`, `until` choose among
    them; `limit` and `marker` page."""
    terms = [event.c[name] == value for name in _FILTERS if (value := ctx.query.get(name))]
    if (own := _visible(ctx)) is not None:
        terms.append(own)
    if since := ctx.query.get("since"):
        terms.append(event.c.at >= _moment("since", since))
    if until := ctx.query.get("until"):
        terms.append(event.c.at < _moment("until", until))
    query = select(event).where(and_(True, *terms))
    found = page(ctx.db, query, event, keys=[(event.c.at, True)], limit=limit_of(ctx, most=_MOST, default=100), marker=ctx.query.get("marker"))
    out: dict[str, Any] = {"events": [_shown(row) for row in found.rows]}
    link = found.next_link(ctx, f"{ctx.base}/events")
    return out | ({"events_links": [{"rel": "next", "href": link}]} if link else {})


@api.get("/events/{event_id}", policy=_policy("events:show"))
def show_event(ctx: Context, event_id: str) -> dict[str, Any]:
    """An event and, once it is sealed, the proof that the log of the newest checkpoint holds it. `document` is byte by byte what the
    leaf's hash is of."""
    own = _visible(ctx)
    row = ctx.db.execute(select(event).where(event.c.id == event_id, *([] if own is None else [own]))).mappings().first()
    if row is None:
        raise NotFound("There is no such event.")
    out = _shown(row) | {"document": row["document"]}
    if row["position"] is not None:
        size = sealing.size_of(ctx.db)
        proof = sealing.tree(ctx.db, size).inclusion(row["position"])
        out["proof"] = {
            "leaf": leaf_hash(row["document"].encode()).hex(), "index": row["position"], "size": size, "hashes": [one.hex() for one in proof],
            "checkpoint": service.newest(ctx.db),
        }  # fmt: skip
    return {"event": out}


@api.get("/checkpoint", policy=_policy("checkpoint:show"))
def show_checkpoint(ctx: Context) -> dict[str, Any]:
    """The newest signed checkpoint, and the key that it is signed with. Anyone with a token may keep one: it says nothing of anybody."""
    return {"checkpoint": service.newest(ctx.db), "key": service.key(ctx.parts.witness)}


@api.get("/proof", policy=_policy("proof:show"))
def show_proof(ctx: Context) -> dict[str, Any]:
    """The proof that the log of the newest checkpoint begins with that of the first `from` events."""
    _auditor(ctx)
    note = service.newest(ctx.db)
    size = opened(note, ctx.parts.witness.public).size if note else 0
    text = ctx.query.get("from") or ""
    if not text.isdecimal() or len(text) > 15 or not 0 < int(text) <= size:
        raise BadRequest(f"from must be a number of events from 1 to {size}.")
    proof = sealing.tree(ctx.db, size).consistency(int(text))
    return {"from": int(text), "size": size, "hashes": [one.hex() for one in proof], "checkpoint": note}


def _shown(row: Any) -> dict[str, Any]:
    told = msgspec.json.decode(row["document"])
    return {"id": row["id"], "position": row["position"], "event": told}


def _moment(name: str, text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadRequest(f"{name} must be a time such as 2026-01-31T12:00:00Z.") from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
