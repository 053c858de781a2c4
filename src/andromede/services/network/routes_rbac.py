"""Routes of RBAC policies: who but its owner may use something. Source: Networking API v2.0, RBAC policies."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.core.ids import new_id
from andromede.services.network import sharing
from andromede.services.network.api import api, member, reader
from andromede.services.network.errors import missing
from andromede.services.network.resource import Resource, View, find, for_admins, listing, owned, owner_of, same, show, shown
from andromede.services.network.routes_addresses import ADDRESSES
from andromede.services.network.routes_groups import GROUP
from andromede.services.network.routes_networks import NETWORK
from andromede.services.network.routes_qos import POLICY
from andromede.services.network.routes_subnets import POOL, SCOPE
from andromede.services.network.rows import one, touch
from andromede.services.network.sharing import EVERYONE, EXTERNAL
from andromede.services.network.tables import network, rbac, scope
from andromede.services.network.wire_l3 import CreateRbac, UpdateRbac

_PATH = "/rbac-policies"
_RESOURCES = {
    "network": NETWORK, "qos_policy": POLICY, "security_group": GROUP, "address_group": ADDRESSES, "address_scope": SCOPE, "subnetpool": POOL,
}  # fmt: skip


def _view(_ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    return [
        {
            "id": row["id"], "project_id": row["project_id"], "tenant_id": row["project_id"], "object_type": row["object_type"],
            "object_id": row["object_id"], "action": row["action"], "target_tenant": row["target"],
        }
        for row in rows
    ]  # fmt: skip


RBAC = Resource(
    name="rbac_policy", plural="rbac_policies", table=rbac, visible=owned(rbac), view=_view, standard=False,
    filters={
        "id": same(rbac.c.id), "project_id": same(rbac.c.project_id), "tenant_id": same(rbac.c.project_id), "object_id": same(rbac.c.object_id),
        "action": same(rbac.c.action), "target_tenant": same(rbac.c.target), "target_project": same(rbac.c.target),
        "object_type": same(rbac.c.object_type),
    },
    sort={"id": rbac.c.id, "object_id": rbac.c.object_id, "action": rbac.c.action, "target_tenant": rbac.c.target},
)  # fmt: skip


@api.get(_PATH, policy=reader("get_rbac_policy"))
def list_rbac_policies(ctx: Context) -> dict[str, Any]:
    """The rules that the project has made."""
    return listing(ctx, RBAC)


@api.get(_PATH + "/{policy_id}", policy=reader("get_rbac_policy"))
def show_rbac_policy(ctx: Context, policy_id: str) -> dict[str, Any]:
    """One rule."""
    return show(ctx, RBAC, policy_id)


def _target(ctx: Context, wanted: str | None) -> str:
    if not wanted:
        raise BadRequest("Failed to parse request. Required attribute 'target_tenant' not specified", kind="HTTPBadRequest")
    for_admins(ctx, "a rule for every project", *([True] if wanted == EVERYONE and not ctx.caller.admin else []))
    return wanted


def _owned(ctx: Context, object_type: str, id_: str) -> RowMapping:
    row = find(ctx, _RESOURCES[object_type], id_)
    if not ctx.caller.admin and row["project_id"] != ctx.caller.project_id:
        text = f"Failed to initialize policy for {object_type} {id_}: only its owner shares it."
        raise BadRequest(text, kind="RbacPolicyInitError")
    return row


def _reachable(ctx: Context, object_type: str, row: RowMapping, target: str) -> None:
    """Raise BadRequest for a subnet pool in an address scope that the target may not use."""
    if object_type != "subnetpool" or row["scope_id"] is None or one(ctx.db, scope, row["scope_id"])["project_id"] == target:
        return
    rules = select(rbac.c.id).where(rbac.c.object_id == row["scope_id"], rbac.c.target.in_([EVERYONE, target]))
    if ctx.db.scalar(rules.limit(1)) is None:
        raise BadRequest(
            f"Failed to initialize policy for subnetpool {row['id']}: its address scope {row['scope_id']} is not shared with {target}.",
            kind="RbacPolicyInitError",
        )


@api.post(_PATH, policy=member("create_rbac_policy"), status=201, quota=("rbac_policy",))
def create_rbac_policy(ctx: Context, body: CreateRbac) -> dict[str, Any]:
    """Let a project use something. Errors: 400 another kind of object or action; 403 what only admins may; 409 a rule like it."""
    wanted = body.rbac_policy
    kind = sharing.KINDS.get(wanted.object_type)
    if kind is None:
        raise BadRequest(f"'{wanted.object_type}' is not a valid object_type: {', '.join(sharing.KINDS)}.", kind="HTTPBadRequest")
    if wanted.action not in kind.actions:
        raise BadRequest(
            f"Invalid action '{wanted.action}' for object type '{wanted.object_type}'. Valid actions: {', '.join(kind.actions)}",
            kind="InvalidInput",
        )
    if wanted.action == EXTERNAL:
        for_admins(ctx, EXTERNAL, True)
    target = _target(ctx, wanted.target_tenant or wanted.target_project or None)
    row = _owned(ctx, wanted.object_type, wanted.object_id)
    _reachable(ctx, wanted.object_type, row, target)
    owner = owner_of(ctx, wanted.project_id, wanted.tenant_id)
    ctx.take(owner, rbac_policy=1)
    same_one = select(rbac.c.id).where(rbac.c.object_id == row["id"], rbac.c.action == wanted.action, rbac.c.target == target)
    if ctx.db.scalar(same_one):
        raise Conflict("An RBAC policy already exists with those values.", kind="DuplicateRbacPolicy")
    id_ = new_id()
    ctx.db.execute(
        insert(rbac).values(
            id=id_, project_id=owner, object_type=wanted.object_type, object_id=row["id"], action=wanted.action, target=target
        )
    )
    touch(ctx.db, kind.table, row["id"], spec=False, **({"external": True} if wanted.action == EXTERNAL else {}))
    return shown(ctx, RBAC, [id_])


def _own(ctx: Context, policy_id: str) -> RowMapping:
    row = ctx.db.execute(select(rbac).where(rbac.c.id == policy_id, RBAC.visible(ctx))).mappings().first()
    if row is None:
        raise missing("rbac_policy", policy_id)
    return row


def _unused(ctx: Context, row: RowMapping, instead: str = "") -> None:
    """Raise Conflict where the rule is what lets a project use what it uses."""
    held = one(ctx.db, sharing.KINDS[row["object_type"]].table, row["object_id"])
    default = row["action"] == EXTERNAL and row["target"] == EVERYONE and held["is_default"]
    if default or sharing.dependents(ctx.db, row["object_type"], held, row["target"], row["action"], instead):
        raise Conflict(
            f"RBAC policy on object {row['object_id']} cannot be removed because other objects depend on it.", kind="RbacPolicyInUse"
        )


@api.put(_PATH + "/{policy_id}", policy=member("update_rbac_policy"))
def update_rbac_policy(ctx: Context, policy_id: str, body: UpdateRbac) -> dict[str, Any]:
    """Give a rule another target. Errors: 409 while the old one uses the object."""
    row = _own(ctx, policy_id)
    target = _target(ctx, body.rbac_policy.target_tenant or body.rbac_policy.target_project or None)
    if target != row["target"]:
        _unused(ctx, row, target)
    ctx.db.execute(update(rbac).where(rbac.c.id == policy_id).values(target=target))
    return shown(ctx, RBAC, [policy_id])


@api.delete(_PATH + "/{policy_id}", policy=member("delete_rbac_policy"))
def delete_rbac_policy(ctx: Context, policy_id: str) -> None:
    """Take a rule away. Errors: 409 while its target uses the object."""
    row = _own(ctx, policy_id)
    _unused(ctx, row)
    ctx.db.execute(delete(rbac).where(rbac.c.id == policy_id))
    if row["action"] == EXTERNAL and ctx.db.scalar(select(rbac.c.id).where(rbac.c.object_id == row["object_id"], rbac.c.action == EXTERNAL)) is None:
        touch(ctx.db, network, row["object_id"], spec=False, external=False)
