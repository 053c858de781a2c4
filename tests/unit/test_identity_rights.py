"""Who may do what to whom in Identity: every rule of the table, by role and scope."""

import pytest

from andromede.core.context import Caller, Context
from andromede.core.errors import Forbidden, NotFound
from andromede.services.identity import rights
from andromede.services.identity.rights import RULES, Target

IMPLIED = {"admin": ["admin", "manager", "member", "reader"], "manager": ["manager", "member", "reader"],
           "member": ["member", "reader"], "reader": ["reader"]}  # fmt: skip
SCOPES = {
    "system": {"system": True}, "domain": {"domain_id": "mine"}, "project": {"project_id": "p", "project_domain_id": "mine"}, "none": {},
}  # fmt: skip
INSIDE = Target(domain_id="mine", user_id="somebody", project_id="other")
OUTSIDE = Target(domain_id="theirs", user_id="somebody", project_id="other")


def caller(role: str, scope: str) -> Caller:
    roles = frozenset(IMPLIED[role]) if scope != "none" else frozenset()
    return Caller(user_id="me", user_name="me", user_domain_id="mine", roles=roles, **SCOPES[scope])


READS = {
    "get_domain", "list_domains", "get_project", "list_projects", "list_project_tags", "get_user", "list_users", "list_user_projects",
    "list_groups_for_user", "get_group", "list_groups", "list_users_in_group", "check_user_in_group", "read_grants",
    "list_role_assignments", "get_limit", "list_limits",
}  # fmt: skip
MANAGES = {rule for rule in RULES if rule.startswith(("create_", "update_", "delete_", "add_", "remove_", "change_grants"))} - {
    "create_application_credential", "delete_application_credential", "delete_access_rule", "create_trust", "delete_trust", "delete_access_token",
}  # fmt: skip
SYSTEM_READS = READS | {
    "get_role", "list_roles", "read_implied_roles", "read_system_grants", "read_services", "read_endpoints", "read_policies",
    "read_credentials", "read_application_credentials", "read_access_rules", "get_trust", "list_trusts", "list_own_trusts",
    "list_revocations", "read_access_tokens",
}  # fmt: skip
OWN = {
    "get_user", "list_user_projects", "list_groups_for_user", "list_role_assignments", "read_credentials", "change_credentials",
    "read_application_credentials", "create_application_credential", "delete_application_credential", "read_access_rules",
    "delete_access_rule", "get_trust", "list_own_trusts", "create_trust", "delete_trust",
    "read_access_tokens", "delete_access_token",
}  # fmt: skip
PERSONAL = {"create_application_credential", "create_trust"}


def allowed(who: Caller, target: Target) -> set[str]:
    return {rule for rule in RULES if rights.allows(who, rule, target)}


@pytest.mark.parametrize("scope", ["system", "domain", "project"])
def test_an_admin_may_do_all_but_act_for_others(scope):
    for target in (INSIDE, OUTSIDE):
        assert set(RULES) - PERSONAL <= allowed(caller("admin", scope), target)
        assert allowed(caller("admin", scope), target).isdisjoint(PERSONAL)


def test_a_domain_manager_runs_its_domain_and_nothing_else():
    manager = caller("manager", "domain")
    assert allowed(manager, INSIDE) == READS | MANAGES | {"get_role", "list_roles"}
    assert allowed(manager, OUTSIDE) == {"get_role", "list_roles"}


@pytest.mark.parametrize("role", ["member", "reader"])
def test_a_domain_reader_reads_its_domain(role):
    assert allowed(caller(role, "domain"), INSIDE) == READS
    assert allowed(caller(role, "domain"), OUTSIDE) == set()


@pytest.mark.parametrize("role", ["manager", "member", "reader"])
def test_a_system_reader_reads_everything_and_changes_nothing(role):
    for target in (INSIDE, OUTSIDE):
        assert allowed(caller(role, "system"), target) == SYSTEM_READS


@pytest.mark.parametrize("role", ["manager", "member", "reader"])
@pytest.mark.parametrize("scope", ["project", "none"])
def test_others_see_their_domain_alone(role, scope):
    assert allowed(caller(role, scope), INSIDE) == {"get_domain"}
    assert allowed(caller(role, scope), OUTSIDE) == set()


def test_what_is_ones_own():
    assert allowed(caller("reader", "none"), Target(user_id="me")) == OWN
    assert allowed(caller("reader", "project"), Target(project_id="p")) == {"get_project", "list_project_tags", "get_limit"}


def test_out_of_reach_is_not_found_and_never_allowed_is_refused():
    def ctx(role: str, scope: str) -> Context:
        return Context(request_id="r", caller=caller(role, scope))

    with pytest.raises(NotFound):
        rights.require(ctx("manager", "domain"), "update_user", OUTSIDE, "gone")
    with pytest.raises(NotFound):
        rights.require(ctx("manager", "domain"), "update_user", None, "gone")
    for target in (None, INSIDE, OUTSIDE):
        with pytest.raises(Forbidden):
            rights.require(ctx("member", "project"), "update_user", target, "gone")
    assert rights.within(ctx("admin", "project"), "list_users") is None
    assert rights.within(ctx("reader", "domain"), "list_users") == "mine"
    with pytest.raises(Forbidden):
        rights.within(ctx("member", "project"), "list_users")
