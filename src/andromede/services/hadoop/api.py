"""The declarations that Data Processing's routes hang on: v1.1 and v2 have the same resources, a few of them under other names.

Source: Data Processing API v1.1 and v2 (Sahara's). Both are served with and without the project in the path, as clients of either ask.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from andromede.core.clock import iso_z
from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.http import faults
from andromede.http.api import Api
from andromede.http.policy import Level, Policy

F = TypeVar("F", bound=Callable[..., Any])
TYPE, PREFIX = "data-processing", "/data-processing"
root = Api("hadoop", type=TYPE, prefix=PREFIX, fault=faults.data_processing)
V1 = Api("hadoop", type=TYPE, prefix=f"{PREFIX}/v1.1", fault=faults.data_processing, scoped=True)
V2 = Api("hadoop", type=TYPE, prefix=f"{PREFIX}/v2", fault=faults.data_processing, scoped=True)


def both(method: str, path: str, **options: Any) -> Callable[[F], F]:
    """Declare a route in v1.1 and in v2, where a change (`change`) is a PUT in the one and a PATCH in the other."""

    def register(handler: F) -> F:
        for api, changing in ((V1, "put"), (V2, "patch")):
            getattr(api, changing if method == "change" else method)(path, **options)(handler)
        return handler

    return register


def reader(name: str) -> Policy:
    """May be read by a reader of the project."""
    return Policy(f"hadoop:{name}", Level.READER)


def member(name: str) -> Policy:
    """May be done by a member of the project."""
    return Policy(f"hadoop:{name}", Level.MEMBER)


def newer(ctx: Context) -> bool:
    """Whether v2 was asked."""
    return ctx.base.endswith("/v2")


def moment(value: Any) -> str | None:
    """A time as Sahara writes it: `2026-01-31T12:00:00`, in UTC."""
    return None if value is None else iso_z(value).removesuffix("Z")


def project(ctx: Context, id_: str) -> dict[str, str]:
    """Whose something is, by the name that this version has for it."""
    return {"project_id" if newer(ctx) else "tenant_id": id_}


def version(ctx: Context, value: str) -> dict[str, str]:
    """The plugin's version, by the name that this version of the API has for it."""
    return {"plugin_version" if newer(ctx) else "hadoop_version": value}


def asked_version(ctx: Context, body: Any) -> Any:
    """The plugin's version in a body, UNSET where there is none. Raises BadRequest for the other API's field."""
    mine, other = ("plugin_version", "hadoop_version") if newer(ctx) else ("hadoop_version", "plugin_version")
    if getattr(body, other) is not msgspec.UNSET:
        raise BadRequest(f"Additional properties are not allowed ('{other}' was unexpected)")
    return getattr(body, mine)


def wrong(text: str, kind: str = "INVALID_DATA") -> BadRequest:
    """A refusal by one of Sahara's names."""
    return BadRequest(text, kind=kind)
