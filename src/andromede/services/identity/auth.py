"""Signing in: from proofs (password, token, application credential, one-time password, trust) and a scope to claims, and from claims to a caller."""

from typing import Any

import msgspec
from sqlalchemy import Connection, and_, func, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Caller
from andromede.core.errors import BadRequest, Forbidden, NotFound, Unauthorized
from andromede.db.engine import Database
from andromede.services.identity import grants
from andromede.services.identity.lockout import WRONG, Rules
from andromede.services.identity.oauth_signatures import Signed as Signature
from andromede.services.identity.oauth_signatures import prove
from andromede.services.identity.passwords import Hasher
from andromede.services.identity.tables import (
    access_rule,
    application_credential,
    domain,
    password,
    project,
    revocation,
    trust,
    user,
)  # fmt: skip
from andromede.services.identity.tokens import Claims, Known, Place, Receipt, new_audit_id
from andromede.services.identity.totp import check_totp
from andromede.services.identity.wire import Auth, DomainRef, Scope, UserRef

RECEIPT_LIFETIME = 300.0
_LONGEST_CHAIN = 10


class Signing(msgspec.Struct, frozen=True):
    """What signing in needs."""

    database: Database
    hasher: Hasher
    rules: Rules
    known: Known
    secrets: Any
    lifetime: float = 3600.0


class _Proven(msgspec.Struct, kw_only=True):
    """What the methods of one request have proven so far."""

    user_id: str = ""
    methods: tuple[str, ...] = ()
    expires: float = 0.0
    parent: tuple[str, ...] = ()
    application_credential: str | None = None
    trust: str | None = None
    signed: Signature | None = None
    scoped: Claims | None = None
    row: Any = None
    epoch: int = -1


class MissingFactors(Unauthorized):
    """What was proven is right but not enough: a receipt for it, and the sets of methods of which one would do."""

    def __init__(self, receipt: str, said: Receipt, row: Any, required: list[list[str]]) -> None:
        super().__init__("Additional authentications steps required.")
        self.receipt, self.said, self.row, self.required = receipt, said, row, required


class Signed(msgspec.Struct, frozen=True):
    """A new token, what it says and proves, and under which value of the epoch that was read; `place` where it can serve others."""

    token: str
    claims: Claims
    caller: Caller
    epoch: int
    place: Place | None = None


def sign_in(how: Signing, request: Auth, receipt: str | None = None, signed: Signature | None = None) -> Signed:
    """A new token and what it says. receipt: of what was proven earlier. signed: the request's OAuth signature.

    Raises Unauthorized, with the same words whatever was wrong; MissingFactors where more must be proven.
    """
    proven = _prove(how, request, receipt, signed)
    known = how.known
    key = _place_key(proven, request.scope)
    place = known.place(key, proven.epoch) if key is not None else None
    if place is not None:
        _check_user(how, proven.row, proven)
        claims = _base_claims(proven.row, proven)
        at = place.caller
        claims = msgspec.structs.replace(claims, project=at.project_id, domain=at.domain_id, system=at.system)
        return Signed(known.signer.sign(claims), claims, with_claims(at, claims), place.epoch, place)
    with how.database.read() as db:
        row = db.execute(select(user).where(user.c.id == proven.user_id)).first()
        _check_user(how, row, proven)
        claims = _claims(db, row, proven, request.scope)
        if claims.trust is not None and claims.trust != proven.trust:
            _use_trust(how.database, claims.trust)
        epoch, caller = known.epoch(db), load(db, claims)
    if key is not None:
        place = Place(epoch, caller, {})
        known.keep(key, place)
    return Signed(known.signer.sign(claims), claims, caller, epoch, place)


def _check_user(how: Signing, row: Any, proven: _Proven) -> None:
    if row is None or not row.enabled:
        raise Unauthorized(WRONG)
    _check_factors(how, row, proven)


def _place_key(proven: _Proven, scope: Any) -> bytes | None:
    """What a place is remembered by: who by a password alone, and the scope they asked for; None for whatever is less plain."""
    if proven.row is None or proven.methods != ("password",) or proven.parent or not isinstance(scope, Scope) or scope.trust is not None:
        return None
    return msgspec.msgpack.encode((proven.user_id, scope))


def with_claims(caller: Caller, claims: Claims) -> Caller:
    """The same rights, proven by another token."""
    return msgspec.structs.replace(caller, methods=claims.methods, audit_ids=claims.audit, issued=claims.issued, expires=claims.expires)


def _prove(how: Signing, request: Auth, receipt: str | None, signed: Signature | None) -> _Proven:
    proofs = request.identity
    if not proofs.methods:
        raise BadRequest("Expecting to find at least one method in identity.methods.")
    proven = _Proven(expires=now().timestamp() + how.lifetime, signed=signed)
    if receipt:
        _take_receipt(how, receipt, proven)
    for method in dict.fromkeys(proofs.methods):
        given = getattr(proofs, method, None) if method in _METHODS else None
        if given is None or given is msgspec.UNSET:
            raise Unauthorized(WRONG)
        user_id = _METHODS[method](how, given, proven)
        if proven.user_id and proven.user_id != user_id:
            raise Unauthorized(WRONG)
        proven.user_id = user_id
        if method != "token":
            proven.methods = tuple(dict.fromkeys((*proven.methods, method)))
    return proven


def _take_receipt(how: Signing, receipt: str, proven: _Proven) -> None:
    said = how.known.signer.verify_receipt(receipt)
    claims = Claims(user=said.user, methods=said.methods, audit=(), issued=said.issued, expires=said.expires)
    with how.database.read() as db:
        if _revoked(db, claims):
            raise Unauthorized(WRONG)
    proven.user_id, proven.methods = said.user, said.methods


def _find_user(db: Connection, ref: UserRef) -> Any:
    if ref.id is not None:
        return db.execute(select(user).where(user.c.id == ref.id)).first()
    if ref.name is None or ref.domain is None:
        raise BadRequest("Expecting to find domain in user.")
    domain_id = _find_domain(db, ref.domain)
    return db.execute(select(user).where(user.c.name == ref.name, user.c.domain_id == domain_id)).first()


def _find_domain(db: Connection, ref: DomainRef) -> str | None:
    if ref.id is not None:
        return ref.id
    return db.scalar(select(domain.c.id).where(domain.c.name == ref.name))


def current_password(db: Connection, user_id: str) -> Any:
    """The row of a user's password, or None."""
    return db.execute(
        select(password).where(password.c.user_id == user_id).order_by(password.c.created.desc(), password.c.id).limit(1)
    ).first()


def _by_password(how: Signing, given: Any, proven: _Proven) -> str:
    with how.database.read() as db:
        row = _find_user(db, given.user)
        kept = current_password(db, row.id) if row is not None else None
        proven.row, proven.epoch = row, how.known.epoch(db)
    if row is not None:
        how.rules.refuse_locked(row)
    if not how.hasher.verify(kept.hash if kept is not None else None, given.user.password):
        if row is not None:
            how.rules.note_failure(how.database, row)
        raise Unauthorized(WRONG)
    assert row is not None
    how.rules.note_success(how.database, row)
    how.rules.refuse_expired(row, kept)
    return str(row.id)


def _by_token(how: Signing, given: Any, proven: _Proven) -> str:
    try:
        proof = how.known.prove(given.id)
    except Unauthorized as error:
        raise NotFound("Failed to validate token") from error
    claims = proof.claims
    if claims.application_credential is not None:
        raise Unauthorized(WRONG)
    if claims.trust is not None:
        raise Forbidden("A token of a trust cannot be exchanged for another.")
    proven.expires = min(proven.expires, claims.expires)
    proven.parent = claims.audit[-1:]
    proven.methods = tuple(dict.fromkeys((*claims.methods, "token")))
    proven.scoped = claims
    return claims.user


def _by_application_credential(how: Signing, given: Any, proven: _Proven) -> str:
    with how.database.read() as db:
        query = select(application_credential)
        if given.id is not None:
            row = db.execute(query.where(application_credential.c.id == given.id)).first()
        else:
            owner = _find_user(db, given.user) if given.user is not None else None
            owner_id = owner.id if owner is not None else ""
            row = db.execute(
                query.where(application_credential.c.user_id == owner_id, application_credential.c.name == given.name)
            ).first()
    if not how.hasher.verify(row.hash if row is not None else None, given.secret) or row is None:
        raise Unauthorized(WRONG)
    if row.expires is not None:
        if row.expires <= now():
            raise Unauthorized(WRONG)
        proven.expires = min(proven.expires, row.expires.timestamp())
    proven.application_credential = row.id
    return str(row.user_id)


def _by_totp(how: Signing, given: Any, _proven: _Proven) -> str:
    with how.database.read() as db:
        row = _find_user(db, given.user)
    if row is None:
        raise Unauthorized(WRONG)
    how.rules.refuse_locked(row)
    if not check_totp(how.database, how.secrets, row.id, given.user.passcode):
        how.rules.note_failure(how.database, row)
        raise Unauthorized(WRONG)
    return str(row.id)


def _by_oauth(how: Signing, _given: Any, proven: _Proven) -> str:
    if proven.signed is None:
        raise Unauthorized(WRONG)
    with how.database.read() as db:
        row = prove(db, how.secrets, proven.signed)
    proven.trust = row.trust_id
    return str(row.user_id)


_METHODS = {
    "password": _by_password,
    "token": _by_token,
    "application_credential": _by_application_credential,
    "totp": _by_totp,
    "oauth1": _by_oauth,
}


def _check_factors(how: Signing, row: Any, proven: _Proven) -> None:
    """Hold a user to `multi_factor_auth_rules`, where it has them. Raises MissingFactors."""
    methods = set(proven.methods)
    if not row.options.get("multi_factor_auth_enabled") or proven.application_credential is not None or proven.trust is not None:
        return
    rules = [rule for rule in row.options.get("multi_factor_auth_rules") or [] if rule]
    if not rules or any(set(rule) <= methods for rule in rules):
        return
    issued = now().timestamp()
    said = Receipt(user=row.id, methods=proven.methods, issued=issued, expires=issued + RECEIPT_LIFETIME)
    raise MissingFactors(how.known.signer.sign_receipt(said), said, row, rules)


def _base_claims(row: Any, proven: _Proven) -> Claims:
    """Those of a token without a scope."""
    audit = (new_audit_id(), *proven.parent)
    return Claims(user=row.id, methods=proven.methods, audit=audit, issued=now().timestamp(), expires=proven.expires)


def _claims(db: Connection, row: Any, proven: _Proven, scope: Any) -> Claims:
    base = _base_claims(row, proven)
    replace = msgspec.structs.replace
    if proven.application_credential is not None:
        if scope is not msgspec.UNSET and scope is not None:
            raise Unauthorized("Application credentials cannot request a scope.")
        owned = db.execute(
            select(application_credential.c.project_id).where(application_credential.c.id == proven.application_credential)
        ).scalar_one()
        return replace(base, project=owned, application_credential=proven.application_credential)
    if proven.trust is not None:
        if scope is not msgspec.UNSET and scope is not None:
            raise Unauthorized("OAuth access tokens cannot request a scope.")
        return _trusted(db, row, base, proven.trust)
    if scope == "unscoped":
        return base
    if scope is msgspec.UNSET or scope is None:
        return _default_scope(db, row, base)
    assert isinstance(scope, Scope)
    if scope.trust is not None:
        return _trusted(db, row, base, scope.trust.id)
    if scope.system is not None:
        return replace(base, system=True)
    if scope.domain is not None:
        found = _find_domain(db, scope.domain)
        if found is None:
            raise Unauthorized(WRONG)
        return replace(base, domain=found)
    if scope.project is not None:
        query = select(project.c.id)
        if scope.project.id is not None:
            query = query.where(project.c.id == scope.project.id)
        else:
            if scope.project.domain is None:
                raise BadRequest("Expecting to find domain in project.")
            query = query.where(project.c.name == scope.project.name, project.c.domain_id == _find_domain(db, scope.project.domain))
        project_id = db.scalar(query)
        if project_id is None:
            raise Unauthorized(WRONG)
        return replace(base, project=project_id)
    raise BadRequest("The scope must name a project, a domain, the system or a trust.")


def _default_scope(db: Connection, row: Any, base: Claims) -> Claims:
    """The user's default project where it may go there; no scope otherwise."""
    home = db.execute(select(project).where(project.c.id == row.default_project_id, project.c.enabled)).first()
    if home is None or not grants.roles_of(db, row.id, grants.on_project(db, home)):
        return base
    return msgspec.structs.replace(base, project=home.id)


def _trusted(db: Connection, row: Any, base: Claims, trust_id: str) -> Claims:
    found = db.execute(select(trust).where(trust.c.id == trust_id, trust.c.deleted.is_(None))).first()
    if found is None or found.trustee_id != row.id:
        raise Forbidden("The trust cannot be used by this user.")
    actor = found.trustor_id if found.impersonation else row.id
    expires = base.expires if found.expires is None else min(base.expires, found.expires.timestamp())
    return msgspec.structs.replace(base, user=actor, project=found.project_id, trust=trust_id, expires=expires)


def _use_trust(database: Database, trust_id: str) -> None:
    """Count one use. Raises Forbidden when none is left."""

    def use(db: Connection) -> None:
        row = db.execute(select(trust).where(trust.c.id == trust_id)).one()
        if row.remaining_uses is None:
            return
        if row.remaining_uses < 1:
            raise Forbidden("The trust has no uses left.")
        db.execute(update(trust).where(trust.c.id == trust_id).values(remaining_uses=row.remaining_uses - 1))

    database.run(use)


def load(db: Connection, claims: Claims) -> Caller:
    """What claims prove today. Raises Unauthorized when the user, the scope or the right to it is gone, or it was revoked."""
    row = db.execute(
        select(user, domain.c.name.label("domain_name"), domain.c.enabled.label("domain_enabled"))
        .join(domain, domain.c.id == user.c.domain_id)
        .where(user.c.id == claims.user)
    ).first()
    if row is None or not row.enabled or not row.domain_enabled or _revoked(db, claims):
        raise Unauthorized(WRONG)
    facts: dict[str, Any] = {
        "user_id": row.id, "user_name": row.name, "user_domain_id": row.domain_id, "user_domain_name": row.domain_name,
        "methods": claims.methods, "audit_ids": claims.audit, "issued": claims.issued, "expires": claims.expires,
    }  # fmt: skip
    roles: dict[str, str] | None = None
    if claims.project is not None:
        place = db.execute(
            select(project, domain.c.name.label("domain_name"), domain.c.enabled.label("domain_enabled"))
            .join(domain, domain.c.id == project.c.domain_id)
            .where(project.c.id == claims.project)
        ).first()
        if place is None or not place.enabled or not place.domain_enabled:
            raise Unauthorized(WRONG)
        holder = claims.user
        if claims.trust is not None:
            holder = _trustor(db, claims.trust)
        roles = grants.roles_of(db, holder, grants.on_project(db, place))
        facts |= {
            "project_id": place.id, "project_name": place.name,
            "project_domain_id": place.domain_id, "project_domain_name": place.domain_name,
        }  # fmt: skip
    elif claims.domain is not None:
        name = db.scalar(select(domain.c.name).where(domain.c.id == claims.domain, domain.c.enabled))
        if name is None:
            raise Unauthorized(WRONG)
        roles = grants.roles_of(db, claims.user, grants.on_domain(claims.domain))
        facts |= {"domain_id": claims.domain, "domain_name": name}
    elif claims.system:
        roles = grants.roles_of(db, claims.user, grants.on_system())
        facts["system"] = True
    if claims.application_credential is not None:
        roles, more = _application_credential(db, claims, roles or {})
        facts |= more
    if claims.trust is not None:
        for one in _chain(db, claims.trust):
            allowed = grants.expand(db, set(one.roles))
            roles = {id_: name for id_, name in (roles or {}).items() if id_ in allowed}
        facts["trust_id"] = claims.trust
    if roles is not None:
        if not roles:
            raise Unauthorized(WRONG)
        facts |= {"roles": frozenset(roles.values()), "role_ids": tuple(sorted(roles.items(), key=lambda pair: pair[1]))}
    return Caller(**facts)


def _chain(db: Connection, trust_id: str) -> list[Any]:
    """A trust and those that it was lent on from; the last one's trustor holds the roles. Raises Unauthorized where one has ended."""
    out: list[Any] = []
    next_id: str | None = trust_id
    while next_id is not None and len(out) < _LONGEST_CHAIN:
        row = db.execute(select(trust).where(trust.c.id == next_id, trust.c.deleted.is_(None))).first()
        if row is None or (row.expires is not None and row.expires <= now()):
            raise Unauthorized(WRONG)
        if db.scalar(select(func.count()).where(user.c.id.in_([row.trustor_id, row.trustee_id]), user.c.enabled)) != len(
            {row.trustor_id, row.trustee_id}
        ):
            raise Unauthorized(WRONG)
        out.append(row)
        next_id = row.redelegated_trust_id
    return out


def _trustor(db: Connection, trust_id: str) -> str:
    return str(_chain(db, trust_id)[-1].trustor_id)


def _application_credential(db: Connection, claims: Claims, held: dict[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
    row = db.execute(select(application_credential).where(application_credential.c.id == claims.application_credential)).first()
    if row is None or (row.expires is not None and row.expires <= now()):
        raise Unauthorized(WRONG)
    given = grants.expand(db, set(row.roles))
    rules = None
    if row.rules is not None:
        found = db.execute(select(access_rule).where(access_rule.c.id.in_(row.rules)))
        rules = tuple((rule.service, rule.method, rule.path) for rule in found)
    facts = {"application_credential_id": row.id, "unrestricted": row.unrestricted, "rules": rules}
    return {id_: name for id_, name in held.items() if id_ in given}, facts


def _revoked(db: Connection, claims: Claims) -> bool:
    issued = now().fromtimestamp(claims.issued, tz=now().tzinfo)
    met = or_(
        revocation.c.audit_id.in_(claims.audit),
        and_(revocation.c.user_id == claims.user, revocation.c.before > issued),
    )
    return db.execute(select(revocation.c.id).where(met).limit(1)).first() is not None
