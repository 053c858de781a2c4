"""The declaration that Key Manager's routes hang on, and the words that every one of them uses. Source: Key Manager API v1."""

from typing import Any

from andromede.core.clock import iso_z
from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import is_id
from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy

root = Api("keys", type="key-manager", prefix="/key-manager", fault=faults.key_manager)
api = Api("keys", type="key-manager", prefix="/key-manager/v1", fault=faults.key_manager)
MOST = 100


def reader(name: str) -> Policy:
    """May be read by a reader of the project."""
    return Policy(f"keys:{name}", Level.READER)


def member(name: str) -> Policy:
    """May be done by a member of the project."""
    return Policy(f"keys:{name}", Level.MEMBER)


def admin(name: str) -> Policy:
    """For the operators of the cloud."""
    return Policy(f"keys:{name}", Level.ADMIN)


def ref(ctx: Context, kind: str, id_: str) -> str:
    """The URL that names a thing."""
    return f"{ctx.root}/key-manager/v1/{kind}/{id_}"


def id_of(text: Any, kind: str) -> str:
    """The id in a reference. Raises BadRequest."""
    parts = str(text).rstrip("/").split("/")
    if len(parts) < 2 or parts[-2] != kind or not is_id(parts[-1]):
        raise BadRequest(f"Provided value {text!r} is not a reference to one of {kind}.")
    return parts[-1]


def when(moment: Any) -> str | None:
    """A moment as Key Manager writes it."""
    return None if moment is None else iso_z(moment).removesuffix("Z")


def missing(what: str) -> NotFound:
    """What is answered for a thing that is not there, or that the caller may not know of."""
    return NotFound(f"Not Found. Sorry but your {what} is in another castle.")


def window(ctx: Context) -> tuple[int, int]:
    """offset and limit. What is no number counts as not given, as in Barbican."""

    def number(name: str, default: int) -> int:
        text = ctx.query.get(name) or ""
        return int(text) if text.isdecimal() and len(text) < 10 else default

    return number("offset", 0), max(1, min(number("limit", 10), MOST))


def listed(ctx: Context, kind: str, rows: list[dict[str, Any]], total: int) -> dict[str, Any]:
    """A page, with links to those around it."""
    offset, limit = window(ctx)
    out: dict[str, Any] = {kind: rows, "total": total}
    base = f"{ctx.root}/key-manager/v1/{kind}"
    if offset > 0:
        out["previous"] = f"{base}?limit={limit}&offset={max(0, offset - limit)}"
    if offset + limit < total:
        out["next"] = f"{base}?limit={limit}&offset={offset + limit}"
    return out
