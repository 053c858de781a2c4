"""Address groups: ranges that rules of security groups name together. Source: Networking API v2.0, address groups."""

from collections.abc import Sequence
from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import RowMapping, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict, NotFound
from andromede.http.wire import Body
from andromede.services.network import sharing
from andromede.services.network.api import api, member, reader
from andromede.services.network.errors import wrong
from andromede.services.network.resource import (
    Resource,
    View,
    find_own,
    given,
    listing,
    many,
    owner_of,
    show,
    shown,
    standard_filters,
    standard_sort,
    standard_view,
    tags_of,
    truth,
)  # fmt: skip
from andromede.services.network.rows import add, bury, changed, touch
from andromede.services.network.tables import address_group, rule
from andromede.services.network.values import cidr
from andromede.services.network.wire import Maybe, Named

_ONE = "/address-groups/{group_id}"
_MOST = 1000


class NewAddresses(Named):
    """An address group."""

    addresses: list[str] | UnsetType | None = UNSET
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateAddresses(Body):
    """One address group, or several."""

    address_group: NewAddresses | UnsetType = UNSET
    address_groups: list[NewAddresses] | UnsetType = UNSET


class UpdateAddresses(Body):
    """A change."""

    address_group: Named


class Change(Body):
    """Addresses to be added or removed; Neutron takes them under the group's name too."""

    addresses: list[str] | UnsetType = UNSET
    address_group: "Change | UnsetType" = UNSET


def _view(ctx: Context, rows: Sequence[RowMapping]) -> list[View]:
    tags, shared = tags_of(ctx, rows), sharing.shared_ids(ctx, [row["id"] for row in rows])
    return [standard_view(row, tags) | {"addresses": row["addresses"], "shared": row["id"] in shared} for row in rows]


ADDRESSES = Resource(
    name="address_group", plural="address_groups", table=address_group, visible=sharing.visible(address_group), view=_view,
    filters=standard_filters(address_group) | {"shared": sharing.filter_shared(address_group, truth)}, sort=standard_sort(address_group),
)  # fmt: skip


def _ranges(texts: Sequence[str], *, strict: bool = True) -> list[str]:
    """The same ranges in canonical form, each once; strict: every one with its length. Raises BadRequest."""
    if len(texts) > _MOST:
        raise BadRequest(f"An address group has at most {_MOST} addresses.", kind="InvalidInput")
    for text in texts if strict else ():
        if "/" not in text:
            raise wrong("addresses", f"'{text}' is not a valid IP subnet")
    return list(dict.fromkeys(cidr(text, "addresses", strict=False) for text in texts))


@api.get("/address-groups", policy=reader("get_address_group"))
def list_address_groups(ctx: Context) -> dict[str, Any]:
    """The project's address groups and those shared with it."""
    return listing(ctx, ADDRESSES)


@api.get(_ONE, policy=reader("get_address_group"))
def show_address_group(ctx: Context, group_id: str) -> dict[str, Any]:
    """One address group."""
    return show(ctx, ADDRESSES, group_id)


def _create(ctx: Context, body: NewAddresses) -> str:
    owner = owner_of(ctx, body.project_id, body.tenant_id)
    ctx.take(owner, address_group=1)
    return add(
        ctx.db, address_group, project_id=owner, name=body.name or "", description=body.description or "", addresses=_ranges(body.addresses or [])
    )


@api.post("/address-groups", policy=member("create_address_group"), status=201, quota=("address_group",))
def create_address_group(ctx: Context, body: CreateAddresses) -> dict[str, Any]:
    """Make an address group. Errors: 400 what is no range."""
    wanted, bulk = many(body.address_group, body.address_groups, "address_group")
    ids = [_create(ctx, each) for each in wanted]
    changed(ctx)
    return shown(ctx, ADDRESSES, ids, bulk=bulk)


@api.put(_ONE, policy=member("update_address_group"))
def update_address_group(ctx: Context, group_id: str, body: UpdateAddresses) -> dict[str, Any]:
    """Rename or describe an address group."""
    row = find_own(ctx, ADDRESSES, group_id)
    touch(ctx.db, address_group, row["id"], spec=False, **given(body.address_group, {"name": "name", "description": "description"}))
    return shown(ctx, ADDRESSES, [group_id])


@api.delete(_ONE, policy=member("delete_address_group"))
def delete_address_group(ctx: Context, group_id: str) -> None:
    """Delete an address group. Errors: 409 while rules name it."""
    row = find_own(ctx, ADDRESSES, group_id)
    if ctx.db.scalar(select(rule.c.id).where(rule.c.remote_addresses_id == row["id"]).limit(1)):
        raise Conflict(f"Address group {group_id} is in use on one or more security group rules.", kind="AddressGroupInUse")
    bury(ctx.db, address_group, [row["id"]])
    changed(ctx)


def _asked(body: Change, *, strict: bool = True) -> list[str]:
    texts = body.address_group.addresses if isinstance(body.address_group, Change) else body.addresses
    if not isinstance(texts, list):
        raise BadRequest("Unable to find 'addresses' in request body", kind="HTTPBadRequest")
    return _ranges(texts, strict=strict)


def _changed(ctx: Context, group_id: str, addresses: list[str]) -> dict[str, Any]:
    touch(ctx.db, address_group, group_id, addresses=_ranges(addresses))
    changed(ctx)
    return shown(ctx, ADDRESSES, [group_id])


@api.put(_ONE + "/add_addresses", policy=member("add_addresses"))
def add_addresses(ctx: Context, group_id: str, body: Change) -> dict[str, Any]:
    """Add ranges. Errors: 400 one that is there already."""
    row, asked = find_own(ctx, ADDRESSES, group_id), _asked(body)
    held = [each for each in asked if each in row["addresses"]]
    if held:
        raise BadRequest(f"Addresses {', '.join(held)} already exist in the address group {group_id}.", kind="AddressesAlreadyExist")
    return _changed(ctx, group_id, [*row["addresses"], *asked])


@api.put(_ONE + "/remove_addresses", policy=member("remove_addresses"))
def remove_addresses(ctx: Context, group_id: str, body: Change) -> dict[str, Any]:
    """Take ranges away. Errors: 404 one that is not there."""
    row, asked = find_own(ctx, ADDRESSES, group_id), _asked(body, strict=False)
    lost = [each for each in asked if each not in row["addresses"]]
    if lost:
        raise NotFound(f"Addresses {', '.join(lost)} not found in the address group {group_id}.", kind="AddressesNotFound")
    return _changed(ctx, group_id, [each for each in row["addresses"] if each not in asked])
