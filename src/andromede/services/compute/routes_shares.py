"""Routes of shared file systems of servers (2.97). This cloud has no service of shared file systems, so no server has any, and none is found.

Source: Compute API v2.1, "Servers with shares attachments".
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.core.ids import is_id
from andromede.http.wire import Body
from andromede.services.compute import servers
from andromede.services.compute.api import api, member, reader

_ALL, _ONE = "/servers/{server_id}/shares", "/servers/{server_id}/shares/{share_id}"
_SINCE = ("2.97", None)


class Share(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A share that a server is to have."""

    share_id: str
    tag: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | UnsetType = UNSET


class AttachShare(Body):
    """`POST …/shares`."""

    share: Share


def _missing(share_id: str) -> NotFound:
    return NotFound(f"Share {share_id} could not be found.")


@api.get(_ALL, policy=reader("os-server-shares:index"), versions=_SINCE)
def list_shares(ctx: Context, server_id: str) -> dict[str, Any]:
    """None."""
    servers.find(ctx, server_id)
    return {"shares": []}


@api.post(_ALL, status=201, policy=member("os-server-shares:create"), versions=_SINCE)
def attach_share(ctx: Context, server_id: str, body: AttachShare) -> None:
    """404: there is no such share."""
    servers.find(ctx, server_id)
    if not is_id(body.share.share_id):
        raise BadRequest(f"Invalid input for field/attribute share_id. Value: {body.share.share_id}. It is not an id.")
    raise _missing(body.share.share_id)


@api.get(_ONE, policy=reader("os-server-shares:show"), versions=_SINCE)
def show_share(ctx: Context, server_id: str, share_id: str) -> None:
    """404: the server has no such share."""
    servers.find(ctx, server_id)
    raise _missing(share_id)


@api.delete(_ONE, status=200, policy=member("os-server-shares:delete"), versions=_SINCE)
def detach_share(ctx: Context, server_id: str, share_id: str) -> None:
    """404: the server has no such share."""
    servers.find(ctx, server_id)
    raise _missing(share_id)
