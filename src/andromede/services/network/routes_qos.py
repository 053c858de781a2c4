"""Routes of QoS policies, their rules, and what rules there may be."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, select

from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.services.network import qos, sharing
from andromede.services.network.api import admin, api, reader
from andromede.services.network.resource import (
    Resource,
    View,
    chosen_fields,
    find,
    find_own,
    flag,
    listing,
    many,
    owner_of,
    same,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
    truth,
    whole,
)  # fmt: skip
from andromede.services.network.tables import qos_policy, qos_rule
from andromede.services.network.wire_qos import (
    BandwidthRule,
    BandwidthRuleAlias,
    CreatePolicy,
    DscpRule,
    DscpRuleAlias,
    RuleFacts,
    UpdatePolicy,
)  # fmt: skip

_POLICY = "/qos/policies/{policy_id}"
_RULE_NAMES = {qos.BANDWIDTH: "bandwidth_limit_rule", qos.DSCP: "dscp_marking_rule"}


def _rule_view(row: RowMapping) -> View:
    if row["type"] == qos.DSCP:
        return {"id": row["id"], "qos_policy_id": row["policy_id"], "dscp_mark": row["dscp"]}
    return {
        "id": row["id"], "qos_policy_id": row["policy_id"], "max_kbps": row["max_kbps"], "max_burst_kbps": row["max_burst"],
        "direction": row["direction"],
    }  # fmt: skip


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    ids = [row["id"] for row in rows]
    tags, shared, rules = tags_of(ctx, rows), sharing.shared_ids(ctx, ids), qos.rules_of(ctx.db, ids)
    return [
        standard_view(row, tags) | {
            "shared": row["id"] in shared, "is_default": row["is_default"],
            "rules": [_rule_view(rule) | {"type": rule["type"]} for rule in rules.get(row["id"], [])],
        }
        for row in rows
    ]  # fmt: skip


POLICY = Resource(
    name="policy", plural="policies", table=qos_policy, visible=sharing.visible(qos_policy), view=_view,
    filters=standard_filters(qos_policy) | {
        "shared": sharing.filter_shared(qos_policy, truth), "is_default": flag(qos_policy.c.is_default),
    },
    sort=standard_sort(qos_policy),
)  # fmt: skip


@api.get("/qos/policies", policy=reader("get_policy"))
def list_qos_policies(ctx: Context) -> dict[str, Any]:
    """The project's QoS policies and those shared with it."""
    return listing(ctx, POLICY)


@api.get(_POLICY, policy=reader("get_policy"))
def show_qos_policy(ctx: Context, policy_id: str) -> dict[str, Any]:
    """One QoS policy with its rules."""
    return show(ctx, POLICY, policy_id)


@api.post("/qos/policies", policy=admin("create_policy"), status=201)
def create_qos_policy(ctx: Context, body: CreatePolicy) -> dict[str, Any]:
    """Make a QoS policy. Errors: 409 a second default one of a project."""
    wanted, bulk = many(body.policy, body.policies, "policy")
    return shown(ctx, POLICY, [qos.create(ctx, owner_of(ctx, one.project_id, one.tenant_id), one) for one in wanted], bulk=bulk)


@api.put(_POLICY, policy=admin("update_policy"))
def update_qos_policy(ctx: Context, policy_id: str, body: UpdatePolicy) -> dict[str, Any]:
    """Change a QoS policy. Errors: 409 where others use one that is no longer shared."""
    qos.update(ctx, find_own(ctx, POLICY, policy_id), body.policy)
    return shown(ctx, POLICY, [policy_id])


@api.delete(_POLICY, policy=admin("delete_policy"))
def delete_qos_policy(ctx: Context, policy_id: str) -> None:
    """Delete a QoS policy with its rules. Errors: 409 while it is in use."""
    qos.remove(ctx, find_own(ctx, POLICY, policy_id))


@api.get("/qos/rule-types", policy=reader("get_rule_type"))
def list_qos_rule_types(_ctx: Context) -> dict[str, Any]:
    """The types of rules that this cloud enforces."""
    return {"rule_types": [{"type": kind} for kind in _RULE_NAMES]}


_PARAMETERS: dict[str, list[View]] = {
    qos.BANDWIDTH: [
        {"parameter_name": "max_kbps", "parameter_type": "range", "parameter_values": {"start": 0, "end": 2147483647}},
        {"parameter_name": "max_burst_kbps", "parameter_type": "range", "parameter_values": {"start": 0, "end": 2147483647}},
        {"parameter_name": "direction", "parameter_type": "choices", "parameter_values": ["egress", "ingress"]},
    ],
    qos.DSCP: [{"parameter_name": "dscp_mark", "parameter_type": "choices", "parameter_values": list(qos.MARKS)}],
}


@api.get("/qos/rule-types/{kind}", policy=admin("get_rule_type_details"))
def show_qos_rule_type(_ctx: Context, kind: str) -> dict[str, Any]:
    """What the rules of a type may say. Errors: 404 a type that is not enforced."""
    if kind not in _PARAMETERS:
        raise NotFound(f"QoS rule type {kind} could not be found.", kind="QosRuleTypeNotFound")
    return {"rule_type": {"type": kind, "drivers": [{"name": "ovn", "supported_parameters": _PARAMETERS[kind]}]}}


_FILTERS = {
    "id": same(qos_rule.c.id), "max_kbps": whole(qos_rule.c.max_kbps), "max_burst_kbps": whole(qos_rule.c.max_burst),
    "direction": same(qos_rule.c.direction), "dscp_mark": whole(qos_rule.c.dscp),
}  # fmt: skip


def _list(ctx: Context, kind: str, policy_id: str) -> dict[str, Any]:
    find(ctx, POLICY, policy_id)
    query = select(qos_rule).where(qos_rule.c.policy_id == policy_id, qos_rule.c.type == kind).order_by(qos_rule.c.direction)
    for name, build in _FILTERS.items():
        if name in ctx.query:
            query = query.where(build(ctx, ctx.query.all(name)))
    return {_RULE_NAMES[kind] + "s": chosen_fields(ctx, [_rule_view(row) for row in ctx.db.execute(query).mappings()])}


def _show(ctx: Context, kind: str, policy_id: str, rule_id: str) -> dict[str, Any]:
    find(ctx, POLICY, policy_id)
    return {_RULE_NAMES[kind]: chosen_fields(ctx, [_rule_view(qos.find_rule(ctx.db, kind, rule_id, policy_id))])[0]}


def _create(ctx: Context, kind: str, policy_id: str, body: RuleFacts) -> dict[str, Any]:
    rule_id = qos.create_rule(ctx, find_own(ctx, POLICY, policy_id), kind, body)
    return _show(ctx, kind, policy_id, rule_id)


def _update(ctx: Context, kind: str, policy_id: str, rule_id: str, body: RuleFacts) -> dict[str, Any]:
    find_own(ctx, POLICY, policy_id)
    qos.update_rule(ctx, qos.find_rule(ctx.db, kind, rule_id, policy_id), body)
    return _show(ctx, kind, policy_id, rule_id)


def _delete(ctx: Context, kind: str, policy_id: str, rule_id: str) -> None:
    find_own(ctx, POLICY, policy_id)
    qos.remove_rule(ctx, qos.find_rule(ctx.db, kind, rule_id, policy_id))


def _policy_of(ctx: Context, kind: str, rule_id: str) -> str:
    policy_id: str = qos.find_rule(ctx.db, kind, rule_id)["policy_id"]
    return policy_id


_LIMITS, _MARKS = _POLICY + "/bandwidth_limit_rules", _POLICY + "/dscp_marking_rules"


@api.get(_LIMITS, policy=reader("get_policy_bandwidth_limit_rule"))
def list_bandwidth_limit_rules(ctx: Context, policy_id: str) -> dict[str, Any]:
    """The limits of bandwidth of a policy."""
    return _list(ctx, qos.BANDWIDTH, policy_id)


@api.get(_LIMITS + "/{rule_id}", policy=reader("get_policy_bandwidth_limit_rule"))
def show_bandwidth_limit_rule(ctx: Context, policy_id: str, rule_id: str) -> dict[str, Any]:
    """One of them."""
    return _show(ctx, qos.BANDWIDTH, policy_id, rule_id)


@api.post(_LIMITS, policy=admin("create_policy_bandwidth_limit_rule"), status=201)
def create_bandwidth_limit_rule(ctx: Context, policy_id: str, body: BandwidthRule) -> dict[str, Any]:
    """Limit what is sent (egress) or got (ingress), in kilobits per second. Errors: 409 there is one for the direction."""
    return _create(ctx, qos.BANDWIDTH, policy_id, body.bandwidth_limit_rule)


@api.put(_LIMITS + "/{rule_id}", policy=admin("update_policy_bandwidth_limit_rule"))
def update_bandwidth_limit_rule(ctx: Context, policy_id: str, rule_id: str, body: BandwidthRule) -> dict[str, Any]:
    """Change a limit."""
    return _update(ctx, qos.BANDWIDTH, policy_id, rule_id, body.bandwidth_limit_rule)


@api.delete(_LIMITS + "/{rule_id}", policy=admin("delete_policy_bandwidth_limit_rule"))
def delete_bandwidth_limit_rule(ctx: Context, policy_id: str, rule_id: str) -> None:
    """Take a limit away."""
    _delete(ctx, qos.BANDWIDTH, policy_id, rule_id)


@api.get(_MARKS, policy=reader("get_policy_dscp_marking_rule"))
def list_dscp_marking_rules(ctx: Context, policy_id: str) -> dict[str, Any]:
    """The mark of a policy."""
    return _list(ctx, qos.DSCP, policy_id)


@api.get(_MARKS + "/{rule_id}", policy=reader("get_policy_dscp_marking_rule"))
def show_dscp_marking_rule(ctx: Context, policy_id: str, rule_id: str) -> dict[str, Any]:
    """One of them."""
    return _show(ctx, qos.DSCP, policy_id, rule_id)


@api.post(_MARKS, policy=admin("create_policy_dscp_marking_rule"), status=201)
def create_dscp_marking_rule(ctx: Context, policy_id: str, body: DscpRule) -> dict[str, Any]:
    """Mark what is sent. Errors: 400 a mark that is none; 409 there is one."""
    return _create(ctx, qos.DSCP, policy_id, body.dscp_marking_rule)


@api.put(_MARKS + "/{rule_id}", policy=admin("update_policy_dscp_marking_rule"))
def update_dscp_marking_rule(ctx: Context, policy_id: str, rule_id: str, body: DscpRule) -> dict[str, Any]:
    """Change a mark."""
    return _update(ctx, qos.DSCP, policy_id, rule_id, body.dscp_marking_rule)


@api.delete(_MARKS + "/{rule_id}", policy=admin("delete_policy_dscp_marking_rule"))
def delete_dscp_marking_rule(ctx: Context, policy_id: str, rule_id: str) -> None:
    """Take a mark away."""
    _delete(ctx, qos.DSCP, policy_id, rule_id)


# the same rules where no policy is in the path

_LIMIT_ALIAS, _MARK_ALIAS = "/qos/alias-bandwidth-limit-rules/{rule_id}", "/qos/alias-dscp-marking-rules/{rule_id}"


def _aliased(kind: str, answer: dict[str, Any]) -> dict[str, Any]:
    return {"alias_" + _RULE_NAMES[kind]: answer[_RULE_NAMES[kind]]}


@api.get(_LIMIT_ALIAS, policy=reader("get_alias_bandwidth_limit_rule"))
def show_alias_bandwidth_limit_rule(ctx: Context, rule_id: str) -> dict[str, Any]:
    """A limit of bandwidth."""
    return _aliased(qos.BANDWIDTH, _show(ctx, qos.BANDWIDTH, _policy_of(ctx, qos.BANDWIDTH, rule_id), rule_id))


@api.put(_LIMIT_ALIAS, policy=admin("update_alias_bandwidth_limit_rule"))
def update_alias_bandwidth_limit_rule(ctx: Context, rule_id: str, body: BandwidthRuleAlias) -> dict[str, Any]:
    """Change a limit."""
    policy_id = _policy_of(ctx, qos.BANDWIDTH, rule_id)
    return _aliased(qos.BANDWIDTH, _update(ctx, qos.BANDWIDTH, policy_id, rule_id, body.alias_bandwidth_limit_rule))


@api.delete(_LIMIT_ALIAS, policy=admin("delete_alias_bandwidth_limit_rule"))
def delete_alias_bandwidth_limit_rule(ctx: Context, rule_id: str) -> None:
    """Take a limit away."""
    _delete(ctx, qos.BANDWIDTH, _policy_of(ctx, qos.BANDWIDTH, rule_id), rule_id)


@api.get(_MARK_ALIAS, policy=reader("get_alias_dscp_marking_rule"))
def show_alias_dscp_marking_rule(ctx: Context, rule_id: str) -> dict[str, Any]:
    """A mark."""
    return _aliased(qos.DSCP, _show(ctx, qos.DSCP, _policy_of(ctx, qos.DSCP, rule_id), rule_id))


@api.put(_MARK_ALIAS, policy=admin("update_alias_dscp_marking_rule"))
def update_alias_dscp_marking_rule(ctx: Context, rule_id: str, body: DscpRuleAlias) -> dict[str, Any]:
    """Change a mark."""
    return _aliased(qos.DSCP, _update(ctx, qos.DSCP, _policy_of(ctx, qos.DSCP, rule_id), rule_id, body.alias_dscp_marking_rule))


@api.delete(_MARK_ALIAS, policy=admin("delete_alias_dscp_marking_rule"))
def delete_alias_dscp_marking_rule(ctx: Context, rule_id: str) -> None:
    """Take a mark away."""
    _delete(ctx, qos.DSCP, _policy_of(ctx, qos.DSCP, rule_id), rule_id)
