"""Routes of what a token can be scoped to, of revocations, and of the rules about passwords."""

from typing import Any

from sqlalchemy import select

from andromede.core.clock import iso_micro_z
from andromede.core.context import Context
from andromede.core.errors import NotFound
from andromede.http.policy import Level, Policy
from andromede.services.identity import domains, grants, projects
from andromede.services.identity.listing import collection, link
from andromede.services.identity.lockout import Rules
from andromede.services.identity.rights import Target, everyone, policy, require
from andromede.services.identity.routes_auth import api
from andromede.services.identity.tables import domain, project, revocation


@api.get("/auth/projects", policy=everyone("get_auth_projects"))
def list_auth_projects(ctx: Context) -> dict[str, Any]:
    """The enabled projects that the caller can get a token for."""
    ids = grants.places(ctx.db, ctx.caller.user_id).projects
    rows = ctx.db.execute(
        select(project).join(domain, domain.c.id == project.c.domain_id)
        .where(project.c.id.in_(ids), project.c.enabled, domain.c.enabled).order_by(project.c.name)
    )  # fmt: skip
    return collection(ctx, "projects", [projects.view(ctx, row) for row in rows], path="auth/projects")


@api.get("/auth/domains", policy=everyone("get_auth_domains"))
def list_auth_domains(ctx: Context) -> dict[str, Any]:
    """The enabled domains that the caller can get a token for."""
    ids = grants.places(ctx.db, ctx.caller.user_id).domains
    rows = ctx.db.execute(select(domain).where(domain.c.id.in_(ids), domain.c.enabled).order_by(domain.c.name))
    return collection(ctx, "domains", [domains.view(ctx, row) for row in rows], path="auth/domains")


@api.get("/auth/system", policy=everyone("get_auth_system"))
def list_auth_system(ctx: Context) -> dict[str, Any]:
    """Whether the caller can get a token for the system."""
    found = grants.places(ctx.db, ctx.caller.user_id).system
    return {"system": [{"all": True}] if found else [], "links": {"self": link(ctx, "auth", "system")}}


@api.get("/OS-REVOKE/events", policy=policy("list_revocations"))
def list_revocations(ctx: Context) -> dict[str, Any]:
    """What was revoked: single tokens, and all of a user's from before a time."""
    require(ctx, "list_revocations", Target())
    events = []
    for row in ctx.db.execute(select(revocation).order_by(revocation.c.expires)):
        event = {"issued_before": iso_micro_z(row.before or row.expires)}
        if row.audit_id is not None:
            event["audit_id"] = row.audit_id
        if row.user_id is not None:
            event["user_id"] = row.user_id
        events.append(event)
    return {"events": events, "links": {"self": link(ctx, "OS-REVOKE", "events"), "next": None, "previous": None}}


def _compliance(rules: Rules) -> dict[str, str | None]:
    return {
        "password_regex": rules.password_regex or None,
        "password_regex_description": rules.password_regex_description or None,
    }


_CONFIG = "/domains/{domain_id}/config/security_compliance"
_ANYONE = Policy("identity:get_security_compliance_domain_config", Level.USER)


@api.get(_CONFIG, policy=_ANYONE)
def show_compliance(ctx: Context, domain_id: str) -> dict[str, Any]:
    """What a new password must look like."""
    domains.find(ctx, domain_id)
    return {"config": {"security_compliance": _compliance(ctx.parts.signing.rules)}}


@api.get(_CONFIG + "/{option}", policy=_ANYONE)
def show_compliance_option(ctx: Context, domain_id: str, option: str) -> dict[str, Any]:
    """One of the rules about passwords."""
    domains.find(ctx, domain_id)
    known = _compliance(ctx.parts.signing.rules)
    if option not in known:
        raise NotFound(f"Could not find option {option} in group security_compliance.")
    return {"config": {option: known[option]}}
