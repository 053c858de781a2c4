"""The body that describes a token: who, roles, scope, and the catalog of the cloud."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from andromede.core.clock import iso_micro_z
from andromede.core.context import Caller
from andromede.services.identity.auth import MissingFactors, current_password
from andromede.services.identity.endpoint_filters import limited_to
from andromede.services.identity.tables import access_token, domain, endpoint, service, trust
from andromede.services.identity.tokens import Claims


def _moment(seconds: float) -> str:
    return iso_micro_z(datetime.fromtimestamp(seconds, UTC))


def token_body(db: Connection, caller: Caller, claims: Claims, *, catalog: bool) -> dict[str, Any]:
    """`{"token": …}` as `GET /v3/auth/tokens` answers it."""
    kept = current_password(db, caller.user_id)
    token: dict[str, Any] = {
        "methods": list(caller.methods),
        "user": {
            "domain": {"id": caller.user_domain_id, "name": caller.user_domain_name},
            "id": caller.user_id,
            "name": caller.user_name,
            "password_expires_at": iso_micro_z(kept.expires) if kept is not None and kept.expires else None,
        },
        "audit_ids": list(caller.audit_ids),
        "expires_at": _moment(caller.expires),
        "issued_at": _moment(caller.issued),
    }
    if caller.role_ids:
        token["roles"] = [{"id": id_, "name": name} for id_, name in caller.role_ids]
    if caller.project_id is not None:
        home = {"id": caller.project_domain_id, "name": caller.project_domain_name}
        token["project"] = {"domain": home, "id": caller.project_id, "name": caller.project_name}
        token["is_domain"] = False
    elif caller.domain_id is not None:
        token["domain"] = {"id": caller.domain_id, "name": caller.domain_name}
    elif caller.system:
        token["system"] = {"all": True}
    if caller.application_credential_id is not None:
        token["application_credential"] = {"id": caller.application_credential_id, "restricted": not caller.unrestricted}
        if caller.rules is not None:
            token["application_credential"]["access_rules"] = [
                {"service": kind, "method": method, "path": path} for kind, method, path in caller.rules
            ]
    if claims.trust is not None:
        token |= _lent(db, claims.trust)
    if catalog and caller.role_ids:
        token["catalog"] = catalog_of(db, caller.project_id)
    return {"token": token}


def _lent(db: Connection, trust_id: str) -> dict[str, Any]:
    """By whom the token's rights are lent, or to which program."""
    row = db.execute(select(trust).where(trust.c.id == trust_id)).one()
    access = db.execute(select(access_token).where(access_token.c.trust_id == trust_id)).first()
    if access is not None:
        return {"OS-OAUTH1": {"access_token_id": access.id, "consumer_id": access.consumer_id}}
    people = {"trustor_user": {"id": row.trustor_id}, "trustee_user": {"id": row.trustee_id}}
    return {"OS-TRUST:trust": {"id": row.id, "impersonation": row.impersonation, **people}}


def with_claims(body: dict[str, Any], claims: Claims) -> dict[str, Any]:
    """The body that `token_body` made of the same place, for another token."""
    own = {
        "methods": list(claims.methods), "audit_ids": list(claims.audit), "expires_at": _moment(claims.expires),
        "issued_at": _moment(claims.issued),
    }  # fmt: skip
    return {"token": body["token"] | own}


def receipt_body(db: Connection, missing: MissingFactors) -> dict[str, Any]:
    """`{"receipt": …, "required_auth_methods": …}` for who has proven something, but not enough."""
    row, said = missing.row, missing.said
    name = db.scalar(select(domain.c.name).where(domain.c.id == row.domain_id))
    receipt = {
        "methods": list(said.methods), "expires_at": _moment(said.expires), "issued_at": _moment(said.issued),
        "user": {"id": row.id, "name": row.name, "domain": {"id": row.domain_id, "name": name}},
    }  # fmt: skip
    return {"receipt": receipt, "required_auth_methods": missing.required}


def catalog_of(db: Connection, project_id: str | None) -> list[dict[str, Any]]:
    """The enabled services with their enabled endpoints, those that the project is limited to; `$(project_id)s` is filled in."""
    limit = limited_to(db, project_id) if project_id is not None else None
    rows = db.execute(
        select(service.c.id, service.c.type, service.c.name, endpoint)
        .join(endpoint, endpoint.c.service_id == service.c.id)
        .where(service.c.enabled, endpoint.c.enabled, *(() if limit is None else (limit,)))
        .order_by(service.c.type, endpoint.c.interface)
    ).mappings()
    out: dict[str, dict[str, Any]] = {}
    for row in rows:
        url = row[endpoint.c.url]
        for name in ("$(project_id)s", "%(project_id)s", "$(tenant_id)s", "%(tenant_id)s"):
            url = url.replace(name, project_id or "")
        entry = out.setdefault(
            row[service.c.id], {"type": row[service.c.type], "id": row[service.c.id], "name": row[service.c.name], "endpoints": []}
        )
        entry["endpoints"].append(
            {
                "id": row[endpoint.c.id],
                "interface": row[endpoint.c.interface],
                "region_id": row[endpoint.c.region_id],
                "region": row[endpoint.c.region_id],
                "url": url,
            }
        )
    return list(out.values())
