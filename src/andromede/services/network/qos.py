"""Quality of service: policies, their rules, and who is held to them. Source: Networking API v2.0, QoS policies.

A port is held to its own policy, else to its network's (which leaves out ports of the network itself); a floating IP to its own.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import Connection, RowMapping, Select, or_, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, Forbidden, NotFound
from andromede.core.ids import new_id
from andromede.drivers.network import Limit, Qos
from andromede.services.network import sharing
from andromede.services.network.errors import missing, wrong
from andromede.services.network.rows import add, bump, bury, changed, gather, grouped, touch
from andromede.services.network.tables import floating, network, port, qos_policy, qos_rule, router
from andromede.services.network.wire_qos import NewPolicy, PolicyChange, RuleFacts

BANDWIDTH, DSCP = "bandwidth_limit", "dscp_marking"
MARKS = (0, *range(8, 41, 2), 46, 48, 56)
_MOST = (1 << 31) - 1
_USERS = (("network", network), ("port", port), ("floatingip", floating))


def chosen(ctx: Context, wanted: str | UnsetType | None, held: str | None) -> str | None:
    """The policy that a request names, None for none. Raises NotFound for one that the caller may not use.

    held: the one before; only those who may use it may take it away.
    """
    if held is not None and wanted != held and sharing.usable(ctx, qos_policy, held) is None:
        raise Forbidden(f"Failed to remove provided policy {held} because you are not authorized.", kind="PolicyRemoveAuthorizationError")
    if wanted is UNSET or not wanted:
        return None
    if sharing.usable(ctx, qos_policy, wanted) is None:
        raise missing("policy", wanted)
    return wanted


def default_of(db: Connection, project_id: str) -> str | None:
    """The policy that a project's new networks are under."""
    return db.scalar(select(qos_policy.c.id).where(qos_policy.c.project_id == project_id, qos_policy.c.is_default))


def create(ctx: Context, project_id: str, body: NewPolicy) -> str:
    """A new policy. Raises Conflict for a second default one of a project."""
    if body.is_default is True:
        _only_default(ctx.db, project_id)
    id_ = add(
        ctx.db, qos_policy, project_id=project_id, name=body.name or "", description=body.description or "", is_default=body.is_default is True
    )
    if body.shared is True:
        sharing.grant(ctx.db, qos_policy, id_, project_id)
    return id_


def _only_default(db: Connection, project_id: str, id_: str = "") -> None:
    if default_of(db, project_id) not in (None, id_):
        raise Conflict(f"A default QoS policy exists for project {project_id}.", kind="QoSPolicyDefaultAlreadyExists")


def update(ctx: Context, row: Mapping[Any, Any], body: PolicyChange) -> None:
    """Change a policy. Raises Conflict where others use one that is no longer shared."""
    values = {name: value for name in ("name", "description", "is_default") if (value := getattr(body, name)) is not UNSET}
    if body.is_default is True:
        _only_default(ctx.db, row["project_id"], row["id"])
    if body.shared is True:
        sharing.grant(ctx.db, qos_policy, row["id"], row["project_id"])
    elif body.shared is False:
        sharing.revoke(ctx.db, qos_policy, row)
    touch(ctx.db, qos_policy, row["id"], **values)


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Delete a policy with its rules. Raises Conflict while it is in use."""
    for name, table in _USERS:
        user = ctx.db.scalar(select(table.c.id).where(table.c.qos_id == row["id"]).limit(1))
        if user is not None:
            raise Conflict(f"QoS Policy {row['id']} is used by {name} {user}.", kind="QosPolicyInUse")
    bury(ctx.db, qos_policy, [row["id"]])


def find_rule(db: Connection, kind: str, rule_id: str, policy_id: str | None = None) -> RowMapping:
    """A rule of a kind, of a policy where one is named. Raises NotFound."""
    query = select(qos_rule).where(qos_rule.c.id == rule_id, qos_rule.c.type == kind)
    row = db.execute(query if policy_id is None else query.where(qos_rule.c.policy_id == policy_id)).mappings().first()
    if row is None:
        raise NotFound(f"QoS rule {rule_id} for policy {policy_id} could not be found.", kind="QosRuleNotFound")
    return row


def _columns(kind: str, body: RuleFacts, *, new: bool) -> dict[str, Any]:
    """A rule's columns. Raises BadRequest for what the kind has not, or for values out of range."""
    strange = (body.dscp_mark,) if kind == BANDWIDTH else (body.max_kbps, body.max_burst_kbps, body.direction)
    if any(value is not UNSET for value in strange):
        raise BadRequest(f"Unrecognized attribute(s) for a rule of type {kind}", kind="HTTPBadRequest")
    out: dict[str, Any] = {}
    if kind == DSCP:
        if body.dscp_mark is not UNSET:
            if body.dscp_mark not in MARKS:
                raise wrong("dscp_mark", f"'{body.dscp_mark}' is not in {list(MARKS)}")
            out["dscp"] = body.dscp_mark
        missed = new and "dscp" not in out and "dscp_mark"
    else:
        for column, field in (("max_kbps", body.max_kbps), ("max_burst", body.max_burst_kbps)):
            if field is not UNSET:
                if not 0 <= field <= _MOST:
                    raise wrong(column, f"'{field}' is not in range 0 to {_MOST}")
                out[column] = field
        if body.direction is not UNSET:
            if body.direction not in ("ingress", "egress"):
                raise wrong("direction", f"'{body.direction}' is not in ['egress', 'ingress']")
            out["direction"] = body.direction
        missed = new and "max_kbps" not in out and "max_kbps"
    if missed:
        raise BadRequest(f"Failed to parse request. Required attribute '{missed}' not specified", kind="HTTPBadRequest")
    return out


def create_rule(ctx: Context, policy: Mapping[Any, Any], kind: str, body: RuleFacts) -> str:
    """A rule for a policy. Raises Conflict where it has one of that kind and direction."""
    columns = {"direction": "egress", "max_burst": 0 if kind == BANDWIDTH else None} | _columns(kind, body, new=True)
    _alone(ctx.db, policy["id"], kind, columns["direction"])
    id_ = new_id()
    ctx.db.execute(qos_rule.insert().values(id=id_, policy_id=policy["id"], type=kind, **columns))
    _tell(ctx, policy["id"])
    return id_


def _alone(db: Connection, policy_id: str, kind: str, direction: str, id_: str = "") -> None:
    same = (qos_rule.c.policy_id == policy_id, qos_rule.c.type == kind, qos_rule.c.direction == direction, qos_rule.c.id != id_)
    held = db.scalar(select(qos_rule.c.id).where(*same))
    if held is not None:
        raise Conflict(f"Rule {kind} conflicts with rule {held} which already exists in QoS Policy {policy_id}.", kind="QoSRulesConflict")


def update_rule(ctx: Context, row: Mapping[Any, Any], body: RuleFacts) -> None:
    """Change a rule. Raises as `create_rule`."""
    columns = _columns(row["type"], body, new=False)
    _alone(ctx.db, row["policy_id"], row["type"], columns.get("direction", row["direction"]), row["id"])
    if columns:
        ctx.db.execute(qos_rule.update().where(qos_rule.c.id == row["id"]).values(**columns))
    _tell(ctx, row["policy_id"])


def remove_rule(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Take a rule away."""
    ctx.db.execute(qos_rule.delete().where(qos_rule.c.id == row["id"]))
    _tell(ctx, row["policy_id"])


def _tell(ctx: Context, policy_id: str) -> None:
    """What is held to a policy has to be made anew."""
    under = select(network.c.id).where(network.c.qos_id == policy_id)
    bump(ctx.db, port, or_(port.c.qos_id == policy_id, port.c.network_id.in_(under)))
    bump(ctx.db, router, router.c.id.in_(select(floating.c.router_id).where(floating.c.qos_id == policy_id, floating.c.router_id.is_not(None))))
    touch(ctx.db, qos_policy, policy_id)
    changed(ctx)


def rules_of(db: Connection, policy_ids: Iterable[str]) -> dict[str, list[RowMapping]]:
    """The rules of policies, by policy."""

    def query(some: list[str]) -> Select[Any]:
        return select(qos_rule).where(qos_rule.c.policy_id.in_(some)).order_by(qos_rule.c.type, qos_rule.c.direction)

    return grouped(gather(db, policy_ids, query), "policy_id")


def specs(db: Connection, policy_ids: Iterable[str | None]) -> dict[str | None, Qos]:
    """What the fabric must know of policies; a limit of 0 is none, as in Neutron."""
    held = rules_of(db, [id_ for id_ in policy_ids if id_])
    return {
        id_: Qos(
            limits=tuple(
                Limit(direction=rule["direction"], kbps=rule["max_kbps"], burst=rule["max_burst"])
                for rule in rules if rule["type"] == BANDWIDTH and rule["max_kbps"]
            ),
            dscp=next((rule["dscp"] for rule in rules if rule["type"] == DSCP), None),
        )
        for id_, rules in held.items()
    }  # fmt: skip
