"""IP address management: which address a port gets, and that nobody else has it.

An address in use is a row of `fixed` whose key is (subnet, number). Picking asks for a handful of random candidates, so
that it costs the same in a subnet of any size, and an address just given back is seldom the next one given out; only
where most are taken are the gaps looked for.
"""

import ipaddress
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, delete, insert, select

from andromede.core.errors import BadRequest, Conflict
from andromede.services.network.errors import exhausted, invalid, taken
from andromede.services.network.tables import fixed, subnet

AUTOMATIC = ("slaac", "dhcpv6-stateless")
ROUTERS = ("network:router_interface", "network:router_gateway", "network:floatingip")
_CANDIDATES, _ROUNDS, _SMALL, _WINDOW = 8, 3, 64, 64


class Asked(msgspec.Struct, frozen=True):
    """One fixed IP as a request names it."""

    subnet_id: str | None = None
    address: str | None = None


class Chosen(msgspec.Struct, frozen=True):
    """An address on a subnet."""

    subnet_id: str
    address: str


def number(address: str | int) -> str:
    """The key of an address: 32 hexadecimal digits."""
    return f"{int(ipaddress.ip_address(address)) if isinstance(address, str) else address:032x}"


def automatic(row: Mapping[Any, Any]) -> bool:
    """Whether hosts of this subnet make their addresses from their MAC."""
    return row["address_mode"] in AUTOMATIC or (row["address_mode"] is None and row["ra_mode"] in AUTOMATIC)


def eui64(cidr: str, mac: str) -> str:
    """The address that a host with this MAC gives itself (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(int(ipaddress.IPv6Network(cidr).network_address) | int.from_bytes(interface)))


def subnets_of(db: Connection, network_id: str) -> list[RowMapping]:
    """A network's subnets, oldest first."""
    return list(db.execute(select(subnet).where(subnet.c.network_id == network_id).order_by(subnet.c.created, subnet.c.id)).mappings())


def usable(cidr: str, address: str) -> bool:
    """Whether a port may have the address on a subnet: in it, and not its network or broadcast address."""
    hosts, one = ipaddress.ip_network(cidr), ipaddress.ip_address(address)
    if one not in hosts:
        return False
    if hosts.num_addresses <= 2:
        return True
    return one != hosts.network_address and (hosts.version == 6 or one != hosts.broadcast_address)


def pick(db: Connection, row: Mapping[Any, Any], avoid: Iterable[str] = (), *, first: bool = False) -> str:
    """A free address of a subnet's pools. Raises Conflict when none is left.

    avoid: those chosen in the same breath. first: the lowest one, for what people expect at the beginning of a subnet.
    """
    four = row["ip_version"] == 4
    pools = [(int(ipaddress.ip_address(start)), int(ipaddress.ip_address(last))) for start, last in row["pools"]]
    size = sum(last - start + 1 for start, last in pools)
    shunned = {int(ipaddress.ip_address(one)) for one in avoid}
    for _ in range(_ROUNDS if size > _SMALL and not first else 0):
        drawn = [_nth(pools, secrets.randbelow(size)) for _ in range(_CANDIDATES)]
        free = _without(db, row["id"], drawn)
        if found := [one for one in free if one not in shunned]:
            return _text(found[0], four=four)
    found = _gaps(db, row["id"], pools, shunned)
    if not found:
        raise exhausted(f"subnet {row['id']}")
    return _text(found[0] if first else secrets.choice(found), four=four)


def _text(value: int, *, four: bool) -> str:
    return str(ipaddress.IPv4Address(value) if four else ipaddress.IPv6Address(value))


def _nth(pools: list[tuple[int, int]], place: int) -> int:
    for first, last in pools:
        if place <= last - first:
            return first + place
        place -= last - first + 1
    raise AssertionError


def _without(db: Connection, subnet_id: str, numbers: list[int]) -> list[int]:
    held = set(
        db.scalars(select(fixed.c.number).where(fixed.c.subnet_id == subnet_id, fixed.c.number.in_([number(one) for one in numbers])))
    )
    return [one for one in numbers if number(one) not in held]


def _gaps(db: Connection, subnet_id: str, pools: list[tuple[int, int]], shunned: set[int]) -> list[int]:
    """The first few addresses that nobody has."""
    free: list[int] = []
    for start, last in pools:
        query = select(fixed.c.number).where(fixed.c.subnet_id == subnet_id, fixed.c.number.between(number(start), number(last)))
        following = start
        for text in db.scalars(query.order_by(fixed.c.number)):
            held = int(text, 16)
            free += [one for one in range(following, min(held, following + _WINDOW)) if one not in shunned]
            following = held + 1
            if len(free) >= _WINDOW:
                return free
        free += [one for one in range(following, min(last + 1, following + _WINDOW)) if one not in shunned]
        if len(free) >= _WINDOW:
            return free
    return free


def choose(
    db: Connection, network_id: str, mac: str, owner: str, asked: Sequence[Asked] | None, *, held: Sequence[Mapping[Any, Any]] = ()
) -> list[Chosen]:
    """The addresses for a port; asked=None: one of each IP version that the network has.

    held: the rows of `fixed` that the port has already; it keeps those that fit. Raises BadRequest for what cannot be,
    Conflict for an address that is taken or where none is left.
    """
    rows = subnets_of(db, network_id)
    if asked is None:
        chosen = [found for version in (4, 6) if (found := _any(db, network_id, [row for row in rows if _manual(row, version)]))]
    else:
        chosen = _asked(db, network_id, rows, asked, mac=mac, owner=owner, held=held)
    if asked == [] or owner in ROUTERS:
        return chosen
    covered = {one.subnet_id for one in chosen}
    return chosen + [Chosen(row["id"], eui64(row["cidr"], mac)) for row in rows if automatic(row) and row["id"] not in covered]


def _manual(row: Mapping[Any, Any], version: int) -> bool:
    return row["ip_version"] == version and not automatic(row)


def _any(db: Connection, network_id: str, rows: list[RowMapping]) -> Chosen | None:
    for row in rows:
        try:
            return Chosen(row["id"], pick(db, row))
        except Conflict:
            continue
    if rows:
        raise exhausted(f"network {network_id}")
    return None


def _asked(
    db: Connection, network_id: str, rows: list[RowMapping], asked: Sequence[Asked], *, mac: str, owner: str, held: Sequence[Mapping[Any, Any]]
) -> list[Chosen]:
    chosen: list[Chosen] = []
    named = [_resolved(network_id, rows, one) for one in asked]
    explicit = {str(ipaddress.ip_address(one.address)) for one, _ in named if one.address is not None}
    spare = [one for one in held if one["address"] not in explicit]
    for one, row in named:
        if one.address is not None:
            address = str(ipaddress.ip_address(one.address))
            _allowed(row, address, mac, owner)
        elif automatic(row) and owner not in ROUTERS:
            address = eui64(row["cidr"], mac)
        elif kept := next((each for each in spare if each["subnet_id"] == row["id"]), None):
            spare.remove(kept)
            address = kept["address"]
        else:
            address = pick(db, row, {*explicit, *(each.address for each in chosen)})
        if any(each.address == address for each in chosen):
            raise BadRequest(f"IP address {address} is asked for twice.", kind="DuplicatedIpAddress")
        chosen.append(Chosen(row["id"], address))
    return chosen


def _resolved(network_id: str, rows: list[RowMapping], one: Asked) -> tuple[Asked, RowMapping]:
    if one.subnet_id is not None:
        row = next((row for row in rows if row["id"] == one.subnet_id), None)
        if row is None:
            raise invalid(f"Failed to create port on network {network_id}, because fixed_ips included invalid subnet {one.subnet_id}.")
        if one.address is not None and not usable(row["cidr"], one.address):
            raise BadRequest(f"IP address {one.address} is not a valid IP for the specified subnet.", kind="InvalidIpForSubnet")
        return one, row
    if one.address is None:
        raise invalid("IP allocation requires subnet_id or ip_address.")
    row = next((row for row in rows if usable(row["cidr"], one.address)), None)
    if row is None:
        raise BadRequest(f"IP address {one.address} is not a valid IP for any of the subnets on the specified network.", kind="InvalidIpForNetwork")
    return one, row


def _allowed(row: Mapping[Any, Any], address: str, mac: str, owner: str) -> None:
    if automatic(row) and owner not in ROUTERS and address != eui64(row["cidr"], mac):
        raise invalid(
            f"IPv6 address {address} can not be directly assigned to a port on subnet {row['id']} "
            "since the subnet is configured for automatic addresses"
        )


def assign(db: Connection, network_id: str, port_id: str, chosen: Sequence[Chosen]) -> bool:
    """Make these the addresses of a port, instead of those it has; whether that changes any. Raises Conflict for one that is taken."""
    query = select(fixed.c.subnet_id, fixed.c.address).where(fixed.c.port_id == port_id).order_by(fixed.c.place)
    before = [Chosen(row.subnet_id, row.address) for row in db.execute(query)]
    if before == list(chosen):
        return False
    db.execute(delete(fixed).where(fixed.c.port_id == port_id))
    for place, one in enumerate(chosen):
        key = number(one.address)
        if db.execute(select(fixed.c.port_id).where(fixed.c.subnet_id == one.subnet_id, fixed.c.number == key)).first() is not None:
            raise taken(network_id, one.address)
        db.execute(insert(fixed).values(subnet_id=one.subnet_id, number=key, port_id=port_id, address=one.address, place=place))
    return True
