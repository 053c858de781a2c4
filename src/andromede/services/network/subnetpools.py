"""Subnet pools and address scopes: what prefixes they hold, and cutting subnets out of them.

Source: Networking API v2.0, subnet pools and address scopes.
"""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.services.network import sharing
from andromede.services.network.errors import invalid, missing
from andromede.services.network.tables import scope, subnet, subnetpool
from andromede.services.network.values import cidr

Prefix = ipaddress.IPv4Network | ipaddress.IPv6Network
_DEFAULTS = {4: (8, 32), 6: (64, 128)}


def compact(prefixes: Iterable[str]) -> list[str]:
    """The same prefixes, merged and sorted; all of one IP version. Raises BadRequest."""
    found = [ipaddress.ip_network(cidr(text, "prefixes", strict=False)) for text in prefixes]
    if not found:
        raise BadRequest("Empty subnet pool prefix list.", kind="EmptySubnetPoolPrefixList")
    if len({one.version for one in found}) > 1:
        raise BadRequest("Cannot mix IPv4 and IPv6 prefixes in a subnet pool.", kind="PrefixVersionMismatch")
    return [str(one) for one in ipaddress.collapse_addresses(found)]  # type: ignore[type-var]


def version_of(prefixes: Sequence[str]) -> int:
    """4 or 6."""
    return ipaddress.ip_network(prefixes[0]).version


def lengths(version: int, least: int | None, most: int | None, usual: int | None) -> dict[str, int]:
    """The prefix lengths of a pool as columns, with the defaults. Raises BadRequest where they contradict each other."""
    low, high = _DEFAULTS[version]
    low, high = low if least is None else least, high if most is None else most
    top = 32 if version == 4 else 128
    if not 0 < low <= top or not 0 < high <= top:
        raise BadRequest(f"Unbounded default quota or prefix length: 1 to {top} is allowed.", kind="InvalidPrefixLength")
    if low > high:
        raise BadRequest(f"Illegal prefix bounds: min_prefixlen={low}, max_prefixlen={high}.", kind="IllegalSubnetPoolPrefixBounds")
    default = low if usual is None else usual
    if not low <= default <= high:
        raise BadRequest(
            f"Illegal prefix bounds: default_prefixlen={default}, min_prefixlen={low}, max_prefixlen={high}.",
            kind="IllegalSubnetPoolPrefixBounds",
        )
    return {"min_prefix": low, "max_prefix": high, "default_prefix": default}


def check_scope(ctx: Context, scope_id: str, version: int, prefixes: Sequence[str], pool_id: str = "") -> None:
    """Raise where a pool may not be in an address scope: another IP version, not the caller's, or prefixes that overlap."""
    row = sharing.usable(ctx, scope, scope_id)
    if row is None:
        raise missing("address_scope", scope_id)
    if row["ip_version"] != version:
        raise BadRequest(
            f"Illegal subnetpool association: address scope {scope_id} is of IPv{row['ip_version']}.",
            kind="IllegalSubnetPoolIpVersionAssociation",
        )
    query = select(subnetpool.c.prefixes).where(subnetpool.c.scope_id == scope_id, subnetpool.c.id != pool_id)
    held = [ipaddress.ip_network(text) for texts in ctx.db.scalars(query) for text in texts]
    if any(_overlap(ipaddress.ip_network(text), one) for text in prefixes for one in held):
        text = f"Failed to associate address scope: subnetpools within {scope_id} must have unique prefixes."
        raise Conflict(text, kind="AddressScopePrefixConflict")


def only_default(db: Connection, version: int, pool_id: str = "") -> None:
    """Raise BadRequest where another pool is the default of that IP version."""
    query = select(subnetpool.c.id).where(subnetpool.c.is_default, subnetpool.c.ip_version == version, subnetpool.c.id != pool_id)
    if db.scalar(query):
        raise invalid("A default subnetpool for this IP family has already been set. Only one default may exist per IP family")


def find(ctx: Context, pool_id: str) -> Mapping[Any, Any]:
    """A pool that the caller may use. Raises NotFound."""
    row = sharing.usable(ctx, subnetpool, pool_id)
    if row is None:
        raise missing("subnetpool", pool_id)
    return row


def find_default(ctx: Context, version: int) -> Mapping[Any, Any]:
    """The default pool of an IP version. Raises BadRequest where there is none."""
    row = ctx.db.execute(select(subnetpool).where(subnetpool.c.is_default, subnetpool.c.ip_version == version)).mappings().first()
    if row is None:
        raise BadRequest(f"No default subnetpool found for IPv{version}", kind="DefaultSubnetPoolNotFound")
    return row


def allocate(ctx: Context, pool: Mapping[Any, Any], project_id: str, wanted: str | None, length: int | None) -> str:
    """A prefix out of a pool: `wanted`, or the first free one of `length`. Raises BadRequest or Conflict where it cannot be had."""
    size = ipaddress.ip_network(wanted).prefixlen if wanted else (pool["default_prefix"] if length is None else length)
    if size < pool["min_prefix"]:
        text = f"Unable to allocate subnet with prefix length {size}, minimum allowed prefix is {pool['min_prefix']}."
        raise BadRequest(text, kind="MinPrefixSubnetAllocationError")
    if size > pool["max_prefix"]:
        text = f"Unable to allocate subnet with prefix length {size}, maximum allowed prefix is {pool['max_prefix']}."
        raise BadRequest(text, kind="MaxPrefixSubnetAllocationError")
    held = _held(ctx.db, pool)
    _within_quota(ctx.db, pool, project_id, size)
    prefixes = [ipaddress.ip_network(text) for text in pool["prefixes"]]
    if wanted:
        asked = ipaddress.ip_network(wanted)
        if not any(_inside(asked, one) for one in prefixes) or any(_overlap(asked, one) for one in held):
            text = "Failed to allocate subnet: Cannot allocate requested subnet from the available set of prefixes."
            raise Conflict(text, kind="SubnetAllocationError")
        return str(asked)
    for prefix in prefixes:
        if found := _first_free(prefix, size, held):
            return found
    raise Conflict(f"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /{size}.", kind="SubnetAllocationError")


def without(db: Connection, pool: Mapping[Any, Any], prefixes: Sequence[str]) -> list[str]:
    """The prefixes of a pool less these. Raises BadRequest for one that it does not have, or that subnets are from."""
    left = [ipaddress.ip_network(text) for text in pool["prefixes"]]
    for gone in (ipaddress.ip_network(cidr(text, "prefixes", strict=False)) for text in prefixes):
        within = next((one for one in left if _inside(gone, one)), None)
        if within is None:
            raise BadRequest(f"Illegal subnetpool update: prefix {gone} not associated with pool.", kind="IllegalSubnetPoolPrefixUpdate")
        if any(_overlap(gone, one) for one in _held(db, pool)):
            raise BadRequest(f"Illegal subnetpool update: prefix {gone} has existing allocations.", kind="IllegalSubnetPoolPrefixUpdate")
        left.remove(within)
        left += within.address_exclude(gone)  # type: ignore[arg-type]
    return compact([str(one) for one in left])


def onboard(ctx: Context, pool: Mapping[Any, Any], network_id: str) -> list[str]:
    """Take the subnets of a network that are from no pool into this one; answers its prefixes then. Raises BadRequest, Conflict."""
    mine = subnet.c.network_id == network_id, subnet.c.ip_version == pool["ip_version"]
    rows = list(ctx.db.execute(select(subnet).where(*mine)).mappings())
    if any(row["subnetpool_id"] not in (None, pool["id"]) for row in rows):
        raise BadRequest(f"Illegal subnet onboard: a subnet of network {network_id} is from another pool.", kind="IllegalSubnetOnboard")
    wanted = [ipaddress.ip_network(row["cidr"]) for row in rows if row["subnetpool_id"] is None]
    if any(_overlap(one, held) for one in wanted for held in _held(ctx.db, pool)):
        raise Conflict(f"Subnets of network {network_id} overlap with those of the pool.", kind="AddressScopePrefixConflict")
    prefixes = compact([*pool["prefixes"], *(str(one) for one in wanted)])
    if pool["scope_id"]:
        check_scope(ctx, pool["scope_id"], pool["ip_version"], prefixes, pool["id"])
    ctx.db.execute(update(subnet).where(*mine).values(subnetpool_id=pool["id"]))
    return prefixes


def _held(db: Connection, pool: Mapping[Any, Any]) -> list[Prefix]:
    query = select(subnet.c.cidr).where(subnet.c.subnetpool_id == pool["id"])
    return sorted((ipaddress.ip_network(text) for text in db.scalars(query)), key=lambda one: int(one.network_address))


def _within_quota(db: Connection, pool: Mapping[Any, Any], project_id: str, size: int) -> None:
    """The quota counts addresses for IPv4, and networks of 64 bits for IPv6."""
    if pool["default_quota"] is None:
        return
    top = 32 if pool["ip_version"] == 4 else 64
    query = select(subnet.c.cidr).where(subnet.c.subnetpool_id == pool["id"], subnet.c.project_id == project_id)
    used = sum(1 << max(0, top - ipaddress.ip_network(text).prefixlen) for text in db.scalars(query))
    if used + (1 << max(0, top - size)) > pool["default_quota"]:
        raise Conflict("Per-tenant subnet pool prefix quota exceeded.", kind="SubnetPoolQuotaExceeded")


def _first_free(prefix: Prefix, size: int, held: list[Prefix]) -> str | None:
    if size < prefix.prefixlen:
        return None
    step = 1 << (prefix.max_prefixlen - size)
    start, end = int(prefix.network_address), int(prefix.broadcast_address)
    for one in held:
        first, last = int(one.network_address), int(one.broadcast_address)
        if last < start or first > end:
            continue
        if start + step - 1 < first:
            break
        start = -(-(last + 1) // step) * step
    if start + step - 1 > end:
        return None
    return str(type(prefix)((start, size)))


def _inside(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and one.prefixlen >= other.prefixlen and one.network_address in other


def _overlap(one: Prefix, other: Prefix) -> bool:
    return one.version == other.version and (_inside(one, other) or _inside(other, one))
