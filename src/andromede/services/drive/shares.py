"""Shares: with a user, with a group, by a link. The rules of who may share what with whom, and what a share allows now."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, delete, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.errors import BadRequest, Forbidden, NotFound
from andromede.services.drive import notices
from andromede.services.drive.people import Person, account_of, person_of
from andromede.services.drive.tables_people import mount, share
from andromede.services.drive.tree import nodes, spaces
from andromede.services.drive.tree.nodes import Node
from andromede.services.drive.tree.spaces import Space
from andromede.services.identity import service as identity

USER, GROUP, LINK = 0, 1, 3
KINDS = (USER, GROUP, LINK)
READ, UPDATE, CREATE, DELETE, SHARE = 1, 2, 4, 8, 16
ALL = READ | UPDATE | CREATE | DELETE | SHARE
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
MOST = 1000
"""Shares that one person may have given."""


class Grant(msgspec.Struct, frozen=True):
    """What a share allows now: the space and the names of its node there, and the row."""

    space: Space
    path: tuple[str, ...]
    node_id: int
    permissions: int
    row: Any = None


def _valid() -> Any:
    return or_(share.c.expires.is_(None), share.c.expires > now())


def grant(db: Connection, row: Any) -> Grant | None:
    """What a share's row allows; None where its node is in the trash or gone, or its owner may not sign in."""
    one = nodes.by_id(db, row.node_id)
    if one is None or identity.member(db, row.owner_id, by_name=False) is None:
        return None
    chain, space = nodes.chain_of(db, one), spaces.by_id(db, row.space_id)
    if chain[0].id != space.root_id:
        return None
    return Grant(space, tuple(each.name for each in chain[1:]), one.id, row.permissions, row)


def by_token(db: Connection, token: str) -> Any:
    """The row of a link, None where there is none that counts."""
    return db.execute(select(share).where(share.c.kind == LINK, share.c.token == token, _valid())).first()


def find(db: Connection, person: Person, id_: int) -> Any:
    """The row of a share that one has made, or that is of something of one's own. Raises NotFound."""
    row = db.execute(select(share).where(share.c.id == id_, or_(share.c.by_id == person.id, share.c.owner_id == person.id))).first()
    if row is None:
        raise NotFound("Wrong share ID, share does not exist")
    return row


def given(db: Connection, person: Person, node_ids: list[int] | None = None) -> list[Any]:
    """The shares of what is one's own, of these nodes where any are named."""
    query = select(share).where(share.c.owner_id == person.id, _valid()).order_by(share.c.id)
    if node_ids is not None:
        query = query.where(share.c.node_id.in_(node_ids))
    return list(db.execute(query))


def taken(db: Connection, person: Person) -> list[Any]:
    """The shares that one was given: rows of the share, with the `mount` of one's own (NULL where it was not seen yet)."""
    mine = or_(
        and_(share.c.kind == USER, share.c.with_id == person.id), and_(share.c.kind == GROUP, share.c.with_id.in_(person.groups or {""}))
    )
    seen = and_(mount.c.share_id == share.c.id, mount.c.user_id == person.id)
    query = select(share, mount.c.name.label("mount"), mount.c.hidden).outerjoin(mount, seen).where(mine, share.c.owner_id != person.id, _valid())
    return list(db.execute(query.order_by(share.c.id)))


def new_token() -> str:
    """The token of a link: 15 letters, some 87 bits."""
    return "".join(secrets.choice(_LETTERS) for _ in range(15))


def bits(asked: int, one: Node, *, link: bool) -> int:
    """The permissions that a share of a node can have. Raises BadRequest where nothing is left."""
    found = asked & (ALL & ~SHARE if link else ALL)
    if not one.folder:
        found &= READ | UPDATE | SHARE
        if link:
            found &= READ
    if not found & (READ | CREATE):
        raise BadRequest("A share must allow at least to read, or to put files into a folder.")
    return found


def add(db: Connection, person: Person, space: Space, one: Node, kind: int, to: str, permissions: int, more: dict[str, Any]) -> Any:
    """Share a node of one's own; its row. to: the name of a user or group. Raises NotFound, Forbidden."""
    if len(given(db, person)) >= MOST:
        raise Forbidden(f"There may be {MOST} shares; take one away first.", status=403)
    with_id, told = "", []
    if kind == USER:
        found = identity.member(db, to)
        if found is None or found.domain_id != person.domain_id:
            raise NotFound("Please specify a valid account to share with")
        if found.id == person.id:
            raise Forbidden("You cannot share with yourself.")
        with_id, told = found.id, [found.id]
    elif kind == GROUP:
        group = identity.find_group(db, to)
        if group is None or group.domain_id != person.domain_id:
            raise NotFound("Please specify a valid group")
        with_id, told = group.id, [id_ for id_ in identity.members_of(db, group.id) if id_ != person.id]
    if kind != LINK:
        same = select(share.c.id).where(share.c.kind == kind, share.c.with_id == with_id, share.c.node_id == one.id, _valid())
        if db.execute(same).first():
            raise Forbidden("Path is already shared with this account.")
    row = {
        "kind": kind, "node_id": one.id, "space_id": space.id, "owner_id": space.owner_id, "by_id": person.id, "with_id": with_id,
        "permissions": bits(permissions, one, link=kind == LINK), "token": new_token() if kind == LINK else None, "created": now(), **more,
    }  # fmt: skip
    made = db.execute(insert(share).values(row)).inserted_primary_key
    assert made is not None
    facts = {"by": person.name, "by_account": person.account, "name": one.name}
    for user_id in told[:1000]:
        notices.tell(db, user_id, "shared" if kind == USER else "shared group", made[0], facts | ({"group": to} if kind == GROUP else {}))
    return find(db, person, made[0])


def change(db: Connection, person: Person, id_: int, values: dict[str, Any]) -> Any:
    """Give a share of one's own other values."""
    row = find(db, person, id_)
    if "permissions" in values:
        one = nodes.by_id(db, row.node_id)
        if one is None:
            raise NotFound("Wrong share ID, share does not exist")
        values = values | {"permissions": bits(values["permissions"], one, link=row.kind == LINK)}
    if values:
        db.execute(update(share).where(share.c.id == id_).values(values))
    return find(db, person, id_)


def remove(db: Connection, person: Person, id_: int) -> None:
    """End a share that one has given, or take one that one was given out of one's own tree."""
    for row in taken(db, person):
        if row.id == id_:
            hide(db, person, row)
            return
    find(db, person, id_)
    _forget(db, [id_])


def _forget(db: Connection, ids: list[int]) -> None:
    db.execute(delete(mount).where(mount.c.share_id.in_(ids)))
    db.execute(delete(share).where(share.c.id.in_(ids)))
    for id_ in ids:
        notices.untell(db, id_)


def forget(db: Connection, user_id: str) -> None:
    """End the shares that somebody has given or made, or was given for themselves."""
    mine = or_(share.c.owner_id == user_id, share.c.by_id == user_id, and_(share.c.kind == USER, share.c.with_id == user_id))
    _forget(db, list(db.scalars(select(share.c.id).where(mine))))
    db.execute(delete(mount).where(mount.c.user_id == user_id))


def hide(db: Connection, person: Person, row: Any) -> None:
    """Take a share out of the tree of somebody that it was given to; one that is for them alone ends."""
    if row.kind == USER:
        _forget(db, [row.id])
    else:
        db.execute(update(mount).where(mount.c.share_id == row.id, mount.c.user_id == person.id).values(hidden=True))


def name_mounts(db: Connection, person: Person) -> None:
    """Give the shares that somebody has not seen yet names in their tree, none of which is taken there."""
    waiting = [row for row in taken(db, person) if row.mount is None]
    if not waiting:
        return
    home = spaces.home(db, person)
    root = nodes.by_id(db, home.root_id)
    assert root is not None
    used = set(db.scalars(select(mount.c.name).where(mount.c.user_id == person.id)))
    for row in waiting:
        one = nodes.by_id(db, row.node_id)
        if one is None:
            continue
        base, name, number = one.name, one.name, 1
        while name in used or nodes.child(db, root, name) is not None:
            number += 1
            stem, dot, end = base.rpartition(".") if not one.folder and "." in base[1:] else (base, "", "")
            name = f"{stem} ({number}){dot}{end}"
        used.add(name)
        db.execute(insert(mount).values(share_id=row.id, user_id=person.id, name=name, hidden=False))


def rename_mount(db: Connection, person: Person, share_id: int, name: str) -> None:
    """See a share under another name."""
    db.execute(update(mount).where(mount.c.share_id == share_id, mount.c.user_id == person.id).values(name=name))


def owner_of(db: Connection, row: Any) -> Person:
    """Who a share's node belongs to. Raises NotFound."""
    found = identity.member(db, row.owner_id, by_name=False)
    if found is None:
        raise NotFound("There is no such share.")
    return person_of(found)


def name_of(db: Connection, user_id: str) -> tuple[str, str]:
    """What clients call a user, and its name."""
    found = identity.member(db, user_id, by_name=False)
    return ("", "") if found is None else (account_of(found), found.name)


def end_of_day(text: str) -> datetime | None:
    """When a share ends that is given until a day, which counts. Raises BadRequest."""
    if not text:
        return None
    try:
        day = datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)
    except ValueError as error:
        raise BadRequest("Invalid date, date format must be YYYY-MM-DD") from error
    moment = day + timedelta(days=1)
    if moment <= now():
        raise BadRequest("Expiration date is in the past")
    return moment
