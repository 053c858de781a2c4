"""Who may do what to whom: the finer rules behind Identity's routes, in one table.

A rule is a tuple of grounds; any of them suffices. An admin may do everything. A domain's manager (a domain-scoped token
with the role `manager`) runs the users, groups, projects and assignments of its domain, and gives away no role that it
does not hold itself. A reader of the system reads everything. Everybody reads and keeps what is their own.

What somebody may only do within a domain does not exist for them outside of it (404); what they may not do at all is
refused (403), before it is looked for.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from andromede.core.context import Caller, Context
from andromede.core.errors import Forbidden, NotFound
from andromede.http.policy import Level, Policy


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule is about: the domain it is in, the user it belongs to, the project it is (of)."""

    domain_id: str | None = None
    user_id: str | None = None
    project_id: str | None = None


Ground = Callable[[Caller, Target], bool]


def _admin(caller: Caller, _target: Target) -> bool:
    return caller.admin


def _system_reader(caller: Caller, _target: Target) -> bool:
    return caller.system and caller.has("reader")


def _domain_manager(caller: Caller, target: Target) -> bool:
    return caller.domain_id is not None and caller.domain_id == target.domain_id and caller.has("manager")


def _domain_reader(caller: Caller, target: Target) -> bool:
    return caller.domain_id is not None and caller.domain_id == target.domain_id and caller.has("reader")


def _any_manager(caller: Caller, _target: Target) -> bool:
    return caller.domain_id is not None and caller.has("manager")


def _own(caller: Caller, target: Target) -> bool:
    return caller.user_id == target.user_id


def _project_reader(caller: Caller, target: Target) -> bool:
    return caller.project_id is not None and caller.project_id == target.project_id and caller.has("reader")


def _project_itself(caller: Caller, target: Target) -> bool:
    return caller.project_id is not None and caller.project_id == target.project_id


def _home_domain(caller: Caller, target: Target) -> bool:
    return target.domain_id is not None and target.domain_id in (caller.domain_id, caller.project_domain_id, caller.user_domain_id)


def _service(caller: Caller, _target: Target) -> bool:
    return caller.has("service")


ADMIN: tuple[Ground, ...] = (_admin,)
READ: tuple[Ground, ...] = (_admin, _system_reader)
MANAGE: tuple[Ground, ...] = (_admin, _domain_manager)
LOOK: tuple[Ground, ...] = (_admin, _system_reader, _domain_reader)
OWN: tuple[Ground, ...] = (_admin, _own)
LOOK_OWN: tuple[Ground, ...] = (_admin, _system_reader, _own)

RULES: Mapping[str, tuple[Ground, ...]] = {
    "get_domain": (*LOOK, _home_domain), "list_domains": LOOK,
    "get_project": (*LOOK, _project_itself), "list_projects": LOOK, "create_project": MANAGE, "update_project": MANAGE,
    "delete_project": MANAGE, "list_project_tags": (*LOOK, _project_reader), "update_project_tags": MANAGE,
    "get_user": (*LOOK, _own), "list_users": LOOK, "create_user": MANAGE, "update_user": MANAGE, "delete_user": MANAGE,
    "list_user_projects": (*LOOK, _own), "list_groups_for_user": (*LOOK, _own),
    "get_group": LOOK, "list_groups": LOOK, "create_group": MANAGE, "update_group": MANAGE, "delete_group": MANAGE,
    "list_users_in_group": LOOK, "check_user_in_group": LOOK, "add_user_to_group": MANAGE, "remove_user_from_group": MANAGE,
    "get_role": (*READ, _any_manager), "list_roles": (*READ, _any_manager), "read_implied_roles": READ,
    "read_grants": LOOK, "change_grants": MANAGE, "read_system_grants": READ, "list_role_assignments": (*LOOK, _own),
    "read_services": READ, "read_endpoints": READ, "read_policies": READ,
    "read_credentials": LOOK_OWN, "change_credentials": OWN,
    "read_application_credentials": LOOK_OWN, "create_application_credential": (_own,), "delete_application_credential": OWN,
    "read_access_rules": LOOK_OWN, "delete_access_rule": OWN,
    "get_trust": LOOK_OWN, "list_trusts": READ, "list_own_trusts": LOOK_OWN, "create_trust": (_own,), "delete_trust": OWN,
    "read_access_tokens": LOOK_OWN, "delete_access_token": OWN,
    "get_limit": (*LOOK, _project_reader), "list_limits": LOOK, "list_revocations": (*READ, _service),
}  # fmt: skip


def policy(rule: str) -> Policy:
    """The route's policy of a rule of the table: any valid token may ask, `require` decides."""
    if rule not in RULES:
        raise KeyError(rule)
    return Policy(f"identity:{rule}", Level.USER)


def admins(name: str) -> Policy:
    """A route for the operators of the cloud alone."""
    return Policy(f"identity:{name}", Level.ADMIN)


def everyone(name: str) -> Policy:
    """A route for whoever has a valid token."""
    return Policy(f"identity:{name}", Level.USER)


def allows(caller: Caller, rule: str, target: Target) -> bool:
    """Whether the rule holds."""
    return any(ground(caller, target) for ground in RULES[rule])


def require(ctx: Context, rule: str, target: Target | None, missing: str = "") -> None:
    """Raise unless the caller may. `target` is None for what is not there; `missing` is the text of the NotFound."""
    caller = ctx.caller
    if target is not None and allows(caller, rule, target):
        return
    if missing and allows(caller, rule, Target(domain_id=caller.domain_id)):
        raise NotFound(missing)
    ctx.refuse(f"identity:{rule}")


def within(ctx: Context, rule: str) -> str | None:
    """The domain that a list is limited to; None where the caller may see all of it. Raises Forbidden."""
    caller = ctx.caller
    if allows(caller, rule, Target()):
        return None
    if caller.domain_id is not None and allows(caller, rule, Target(domain_id=caller.domain_id)):
        return caller.domain_id
    return ctx.refuse(f"identity:{rule}")


def refuse_giving(ctx: Context, roles: Mapping[str, str]) -> None:
    """Raise Forbidden where a caller who is no admin would give or take a role (with what it implies) that it does not hold."""
    if not ctx.caller.admin and not set(roles.values()) <= ctx.caller.roles:
        raise Forbidden("Only roles that you hold yourself can be given or taken.")


def refuse_delegated(ctx: Context, what: str) -> None:
    """Raise Forbidden for a token that was itself delegated: a restricted application credential's, or a trust's."""
    caller = ctx.caller
    if caller.application_credential_id is not None and not caller.unrestricted:
        raise Forbidden(f"Using method 'application_credential' is not allowed for managing {what}.")
    if caller.trust_id is not None:
        raise Forbidden(f"A token of a trust cannot be used for managing {what}.")


def find(ctx: Context, rule: str, row: Any, kind: str, id_: str, *, target: Target | None = None) -> Any:
    """`row`, where the caller may do `rule` to it (by default it counts as in its `domain_id`). Raises NotFound, Forbidden."""
    if row is not None and target is None:
        target = Target(domain_id=row.domain_id)
    require(ctx, rule, target if row is not None else None, f"Could not find {kind}: {id_}.")
    return row
