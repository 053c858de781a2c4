"""The declaration that Block Storage's routes hang on, and the words that every one of them uses."""

from typing import Annotated, Any

import msgspec

from andromede.core.clock import iso_micro
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy
from andromede.http.versions import Microversions

VERSIONS = Microversions("volume", (3, 0), (3, 70))
root = Api("volume", type="block-storage", prefix="/volume", fault=faults.compute)
api = Api("volume", type="block-storage", prefix="/volume/v3", fault=faults.compute, versions=VERSIONS, slash=False)

Name = Annotated[str, msgspec.Meta(max_length=255)]
Metadata = dict[Annotated[str, msgspec.Meta(min_length=1, max_length=255)], Annotated[str, msgspec.Meta(max_length=255)]]
MOST = 1000


def reader(name: str) -> Policy:
    """May be read by a reader of the project."""
    return Policy(f"volume:{name}", Level.READER)


def member(name: str) -> Policy:
    """May be done by a member of the project."""
    return Policy(f"volume:{name}", Level.MEMBER)


def admin(name: str) -> Policy:
    """For the operators of the cloud."""
    return Policy(f"volume:{name}", Level.ADMIN)


def links(ctx: Context, kind: str, id_: str) -> list[dict[str, str]]:
    """The links of one thing."""
    return [
        {"rel": "self", "href": f"{ctx.base}/{kind}/{id_}"},
        {"rel": "bookmark", "href": f"{ctx.base.removesuffix('/v3')}/{kind}/{id_}"},
    ]


def when(moment: Any) -> str | None:
    """A moment as Block Storage writes it."""
    return None if moment is None else iso_micro(moment)


def truth(value: Any, name: str) -> bool:
    """What stands for true or false. Raises BadRequest."""
    text = str(value).strip().lower()
    if text in ("true", "1", "yes", "on", "t", "y"):
        return True
    if text in ("false", "0", "no", "off", "f", "n"):
        return False
    raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It must be true or false.")


def everyone(ctx: Context) -> bool:
    """Whether an admin asks for the things of all projects."""
    asked = ctx.query.get("all_tenants") or ctx.query.get("all_projects")
    return ctx.caller.admin and bool(asked) and truth(asked, "all_tenants")


def clean(text: str | None, field: str) -> str | None:
    """A name or a description without the blanks around it. Raises BadRequest where it is too long."""
    if text is None:
        return None
    if len(text.strip()) > 255:
        raise BadRequest(f"Invalid input for field/attribute {field}. Value: {text[:40]}…. '{field}' is too long: it has at most 255 characters.")
    return text.strip()
