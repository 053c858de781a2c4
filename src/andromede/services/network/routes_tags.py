"""Routes of tags, the same for every resource that has them. Source: Networking API v2.0, standard attributes tag extension."""

from typing import Any

from sqlalchemy import RowMapping, delete, insert, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.services.network.api import api, member, reader
from andromede.services.network.resource import Resource, find, find_own
from andromede.services.network.routes_addresses import ADDRESSES
from andromede.services.network.routes_groups import GROUP, RULE
from andromede.services.network.routes_networks import NETWORK
from andromede.services.network.routes_ports import PORT
from andromede.services.network.routes_qos import POLICY
from andromede.services.network.routes_routers import FLOATING, ROUTER
from andromede.services.network.routes_subnets import POOL, SUBNET
from andromede.services.network.routes_trunks import TRUNK
from andromede.services.network.rows import touch
from andromede.services.network.tables import tag
from andromede.services.network.wire_l3 import Tags

TAGGED = (
    (NETWORK, "network_id"), (SUBNET, "subnet_id"), (POOL, "pool_id"), (PORT, "port_id"), (ROUTER, "router_id"),
    (FLOATING, "floatingip_id"), (GROUP, "group_id"), (RULE, "rule_id"), (ADDRESSES, "group_id"), (POLICY, "policy_id"), (TRUNK, "trunk_id"),
)  # fmt: skip
"""What has tags, and what its id is called in paths."""
_MOST = 50


def _tags(ctx: Context, row: RowMapping) -> list[str]:
    return list(ctx.db.scalars(select(tag.c.tag).where(tag.c.resource_id == row["id"]).order_by(tag.c.tag)))


def _put(ctx: Context, kind: Resource, row: RowMapping, names: list[str]) -> None:
    if any(not name or len(name) > 255 or "," in name for name in names):
        raise BadRequest("A tag has 1 to 255 characters and no comma.", kind="InvalidInput")
    if len(names) > _MOST:
        raise BadRequest(f"A resource has at most {_MOST} tags.", kind="InvalidInput")
    ctx.db.execute(delete(tag).where(tag.c.resource_id == row["id"]))
    if names:
        ctx.db.execute(insert(tag), [{"kind": kind.plural, "resource_id": row["id"], "tag": name} for name in names])
    touch(ctx.db, kind.table, row["id"], spec=False)


def _declare(kind: Resource, key: str, within: str = "") -> None:
    path = f"{within}/{kind.plural.replace('_', '-')}/{{{key}}}/tags"

    @api.get(path, policy=reader("get_tags"))
    def list_tags(ctx: Context, **ids: str) -> dict[str, Any]:
        """All tags of a resource."""
        return {"tags": _tags(ctx, find(ctx, kind, ids[key]))}

    @api.put(path, policy=member("update_tags"))
    def replace_tags(ctx: Context, body: Tags, **ids: str) -> dict[str, Any]:
        """Give a resource these tags and no others."""
        row = find_own(ctx, kind, ids[key])
        _put(ctx, kind, row, sorted(set(body.tags)))
        return {"tags": _tags(ctx, row)}

    @api.delete(path, policy=member("delete_tags"))
    def remove_tags(ctx: Context, **ids: str) -> None:
        """Take all tags away."""
        _put(ctx, kind, find_own(ctx, kind, ids[key]), [])

    @api.get(path + "/{name}", policy=reader("get_tags"), status=204)
    def check_tag(ctx: Context, name: str, **ids: str) -> None:
        """Whether a resource has a tag. Errors: 404 where it has not."""
        if name not in _tags(ctx, find(ctx, kind, ids[key])):
            raise NotFound(f"Tag {name} could not be found.", kind="TagNotFound")

    @api.put(path + "/{name}", policy=member("create_tags"), status=201)
    def add_tag(ctx: Context, name: str, **ids: str) -> None:
        """Add one tag."""
        row = find_own(ctx, kind, ids[key])
        _put(ctx, kind, row, sorted({*_tags(ctx, row), name}))

    @api.delete(path + "/{name}", policy=member("delete_tags"))
    def remove_tag(ctx: Context, name: str, **ids: str) -> None:
        """Take one tag away. Errors: 404 where it is not there."""
        row = find_own(ctx, kind, ids[key])
        held = _tags(ctx, row)
        if name not in held:
            raise NotFound(f"Tag {name} could not be found.", kind="TagNotFound")
        _put(ctx, kind, row, [each for each in held if each != name])


for _kind, _key in TAGGED:
    _declare(_kind, _key)
_declare(POLICY, "policy_id", "/qos")
