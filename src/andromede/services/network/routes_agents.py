"""Routes of agents. Source: Networking API v2.0, "Networking agents"; the kinds are those of Neutron's ML2/OVN."""

from typing import Any

from msgspec import UNSET, UnsetType

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.http.wire import Body, Text255
from andromede.services.network import agents
from andromede.services.network.api import admin, api, reader

_FILTERS = ("id", "agent_type", "binary", "host", "topic", "availability_zone", "description")
_FLAGS = ("alive", "admin_state_up")


class AgentFacts(Body):
    """What may be said of an agent."""

    description: Text255 | None | UnsetType = UNSET
    admin_state_up: bool | UnsetType = UNSET


class UpdateAgent(Body):
    """`PUT /agents/{agent_id}`."""

    agent: AgentFacts


@api.get("/agents", policy=reader("get_agents"))
def list_agents(ctx: Context) -> dict[str, Any]:
    """The agents of all hosts; none for those who do not run the cloud."""
    found = agents.views(ctx.db, ctx.parts.chassis(ctx.db)) if ctx.caller.admin else []
    for name in _FILTERS:
        if name in ctx.query:
            found = [each for each in found if each[name] in ctx.query.all(name)]
    for name in _FLAGS:
        if name in ctx.query:
            found = [each for each in found if each[name] is (ctx.query.all(name)[0].lower() in ("true", "1"))]
    fields = {name for name in ctx.query.all("fields") if name}
    return {"agents": [{name: value for name, value in each.items() if not fields or name in fields} for each in found]}


@api.get("/agents/{agent_id}", policy=admin("get_agent"))
def show_agent(ctx: Context, agent_id: str) -> dict[str, Any]:
    """One agent."""
    return {"agent": agents.find(ctx.db, ctx.parts.chassis(ctx.db), agent_id)}


@api.put("/agents/{agent_id}", policy=admin("update_agent"))
def update_agent(ctx: Context, agent_id: str, body: UpdateAgent) -> dict[str, Any]:
    """Describe an agent. Errors: 400 switching it off, which OVN's cannot be."""
    known = ctx.parts.chassis(ctx.db)
    agents.find(ctx.db, known, agent_id)
    if body.agent.admin_state_up is False:
        raise BadRequest("An agent of OVN cannot be switched off.", kind="BadRequest")
    if body.agent.description is not UNSET:
        agents.describe(ctx.db, agent_id, body.agent.description or "")
    return {"agent": agents.find(ctx.db, known, agent_id)}


@api.delete("/agents/{agent_id}", policy=admin("delete_agent"))
def delete_agent(ctx: Context, agent_id: str) -> None:
    """Refused: an agent is there as long as its host is. Errors: 404, 409."""
    agents.find(ctx.db, ctx.parts.chassis(ctx.db), agent_id)
    raise Conflict(f"Agent {agent_id} belongs to a host of this cloud and goes with it.", kind="AgentInUse")
