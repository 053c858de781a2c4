"""Routes of auto allocated topologies."""

from typing import Any

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.services.network import topologies
from andromede.services.network.api import api, member
from andromede.services.network.resource import chosen_fields

_ONE = "/auto-allocated-topology/{project_id}"
_TRIAL = "dry-run"


def _owner(ctx: Context, project_id: str) -> str:
    """Whose topology is meant; clients that know no project say so in several ways."""
    named = ctx.project_id if project_id in ("None", "null") else project_id
    if named != ctx.caller.project_id and not ctx.caller.admin:
        ctx.refuse("get_auto_allocated_topology")
    return named


@api.get(_ONE, policy=member("get_auto_allocated_topology"), tx="none")
def get_auto_allocated_topology(ctx: Context, project_id: str) -> dict[str, Any]:
    """The network of a project that reaches out by the default external network; made here where there is none.

    With `fields=dry-run` only whether it could be made. Errors: 409 where there is no default external network or subnet pool, or
    over quota.
    """
    owner, database = _owner(ctx, project_id), ctx.parts.database
    trial = _TRIAL in ctx.query.all("fields")
    if trial:
        database.look(lambda db: topologies.needed(db, owner))
        id_ = "dry-run=pass"
    else:
        id_ = database.look(lambda db: topologies.find(db, owner)) or database.run(lambda db: topologies.make(ctx.bind(db), owner))
    view = {"id": id_, "project_id": owner, "tenant_id": owner}
    return {"auto_allocated_topology": view if trial else chosen_fields(ctx, [view])[0]}


@api.delete(_ONE, policy=member("delete_auto_allocated_topology"))
def delete_auto_allocated_topology(ctx: Context, project_id: str) -> None:
    """Take it away, with its network, subnets and router. Errors: 404 there is none; 409 while servers are on it."""
    owner = _owner(ctx, project_id)
    if not topologies.remove(ctx, owner):
        raise NotFound(f"No auto allocated topology of project {owner} could be found.", kind="AutoAllocatedTopologyNotFound")


