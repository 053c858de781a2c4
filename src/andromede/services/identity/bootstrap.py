"""What a new cloud begins with: the default domain, OpenStack's roles and their implications, an admin, a first user, the catalog.

Safe to run at every start: it adds what is missing and changes nothing that people have changed, but the catalog's URLs.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from andromede.core.clock import now
from andromede.core.ids import new_hex_id
from andromede.services.identity.passwords import Hasher
from andromede.services.identity.tables import (
    assignment,
    domain,
    endpoint,
    epoch,
    implied,
    password,
    project,
    region,
    role,
    service,
    user,
)  # fmt: skip
from andromede.services.identity.tokens import touch

REGION = "RegionOne"
ROLES = ("admin", "manager", "member", "reader", "service", "auditor")
IMPLIES = (("admin", "manager"), ("manager", "member"), ("member", "reader"))


def ensure(db: Connection, table: Table, match: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The id of the row that matches; made with `values` where there is none."""
    found = db.scalar(select(table.c.id).where(*(table.c[name] == value for name, value in match.items())))
    if found is not None:
        return str(found)
    id_ = str(match.get("id") or values.get("id") or new_hex_id())
    db.execute(insert(table).values({"id": id_, **match, **values}))
    return id_


def foundation(db: Connection, *, catalog: Mapping[str, tuple[str, str]], region_id: str = REGION) -> None:
    """Domain, roles, region and catalog (type to (name, URL))."""
    if db.scalar(select(epoch.c.value)) is None:
        db.execute(insert(epoch).values(id=1, value=0))
    ensure(db, domain, {"id": "default"}, {"name": "Default", "description": "The default domain", "tags": [], "options": {}, "extra": {}})
    ids = {name: ensure(db, role, {"name": name, "domain_id": ""}, {"options": {}, "extra": {}}) for name in ROLES}
    for prior, follows in IMPLIES:
        pair = {"prior_id": ids[prior], "implied_id": ids[follows]}
        if not db.execute(select(implied).where(*(implied.c[name] == value for name, value in pair.items()))).first():
            db.execute(insert(implied).values(pair))
    ensure(db, region, {"id": region_id}, {"extra": {}})
    for kind, (name, url) in catalog.items():
        service_id = ensure(db, service, {"type": kind}, {"name": name, "extra": {}})
        for interface in ("public", "internal", "admin"):
            id_ = ensure(db, endpoint, {"service_id": service_id, "interface": interface, "region_id": region_id}, {"url": url, "extra": {}})
            db.execute(update(endpoint).where(endpoint.c.id == id_).values(url=url))
    touch(db)


def person(db: Connection, hasher: Hasher, *, name: str, secret: str, project_name: str, roles: tuple[str, ...], system: bool = False) -> str:
    """A user of the default domain with roles in a project; answers the project's id. An existing one keeps its password."""
    home = ensure(db, project, {"name": project_name, "domain_id": "default"}, {"tags": [], "options": {}, "extra": {}})
    new = db.scalar(select(user.c.id).where(user.c.name == name, user.c.domain_id == "default")) is None
    id_ = ensure(
        db, user, {"name": name, "domain_id": "default"}, {"default_project_id": home, "options": {}, "extra": {}, "created": now()}
    )
    if new:
        db.execute(insert(password).values(id=new_hex_id(), user_id=id_, hash=hasher.hash(secret), created=now()))
    for role_name in roles:
        role_id = db.execute(select(role.c.id).where(role.c.name == role_name, role.c.domain_id == "")).scalar_one()
        _assign(db, id_, "project", home, role_id)
        if system:
            _assign(db, id_, "system", "all", role_id)
    return home


def _assign(db: Connection, user_id: str, target: str, target_id: str, role_id: str) -> None:
    values = {"actor": "user", "actor_id": user_id, "target": target, "target_id": target_id, "role_id": role_id, "inherited": False}
    if not db.execute(select(assignment).where(*(assignment.c[name] == value for name, value in values.items()))).first():
        db.execute(insert(assignment).values(values))
