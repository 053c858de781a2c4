"""Subnets: what a request may ask of them, and making, changing and deleting them.

Source: Networking API v2.0, subnets; the rules of IPv6 modes are those of Neutron's IPv6 guide.
"""

import ipaddress
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET
from sqlalchemy import Connection, delete, select

from andromede.core.context import Context
from andromede.core.errors import BadRequest, Conflict
from andromede.services.network import addresses, networks, ports, subnetpools
from andromede.services.network.errors import invalid, wrong
from andromede.services.network.rows import add, bump, bury, changed, one, touch
from andromede.services.network.tables import fixed, network, port, subnet
from andromede.services.network.values import address, cidr, route
from andromede.services.network.wire import HostRoute, NewSubnet, Range, SubnetChange

_MODES = ("slaac", "dhcpv6-stateful", "dhcpv6-stateless")
_MOST_DNS, _MOST_ROUTES = 5, 20
_OWN = (ports.METADATA,)


def create(ctx: Context, home: Mapping[Any, Any], project_id: str, body: NewSubnet) -> str:
    """A new subnet of the network `home`. Raises BadRequest for what contradicts itself, Conflict for what is taken."""
    version, text, pool_id = _range(ctx, body, project_id)
    inside = ipaddress.ip_network(text)
    dhcp = body.enable_dhcp is not False
    ra_mode, address_mode = _modes(body, version, inside.prefixlen, dhcp=dhcp)
    if dhcp and version == 4 and inside.prefixlen > 30:
        raise invalid("Subnet has a prefix length that is incompatible with DHCP service enabled.")
    _apart(ctx.db, home["id"], text)
    _carried(home["mtu"], version)
    if body.gateway_ip is UNSET:
        gateway: str | None = str(inside.network_address + 1) if inside.num_addresses > 2 else str(inside.network_address)
    else:
        gateway = _gateway(body.gateway_ip, text)
    pools = _pools(body.allocation_pools, text, gateway) if isinstance(body.allocation_pools, list) else default_pools(text, gateway)
    id_ = add(
        ctx.db, subnet, project_id=project_id, network_id=home["id"], name=body.name or "", description=body.description or "",
        ip_version=version, cidr=text, gateway=gateway, dhcp=dhcp, pools=pools, dns=_dns(body.dns_nameservers or []),
        routes=_routes(body.host_routes or []), ra_mode=ra_mode, address_mode=address_mode, subnetpool_id=pool_id,
    )  # fmt: skip
    ports.metadata_addresses(ctx.db, home)
    row = one(ctx.db, subnet, id_)
    if addresses.automatic(row):
        _address_all(ctx.db, row)
    _tell_gateways(ctx.db, home["id"])
    touch(ctx.db, network, home["id"], spec=False)
    changed(ctx)
    return id_


def _range(ctx: Context, body: NewSubnet, project_id: str) -> tuple[int, str, str | None]:
    """(IP version, CIDR, subnet pool) of a new subnet."""
    version = None if body.ip_version is UNSET else int(body.ip_version)
    if version not in (None, 4, 6):
        raise wrong("ip_version", f"'{version}' is not in [4, 6]")
    asked = cidr(body.cidr, "cidr", strict=False) if body.cidr else None
    if asked is not None:
        found = ipaddress.ip_network(asked)
        if version is not None and found.version != version:
            raise invalid(f"cidr {asked} does not match the ip_version '{version}'")
        if found.prefixlen == 0:
            raise invalid("0 is not allowed as CIDR prefix length")
        version = found.version
    if body.subnetpool_id and body.use_default_subnetpool is True:
        raise BadRequest("subnetpool_id and use_default_subnetpool cannot both be specified", kind="HTTPBadRequest")
    if body.subnetpool_id or body.use_default_subnetpool is True:
        pool = subnetpools.find(ctx, body.subnetpool_id) if body.subnetpool_id else subnetpools.find_default(ctx, version or 4)
        if version not in (None, pool["ip_version"]):
            raise invalid("Cannot create subnet from a subnet pool of another IP version.")
        if asked and body.prefixlen not in (UNSET, None):
            raise invalid("cidr and prefixlen must not be supplied together")
        length = None if body.prefixlen is UNSET else body.prefixlen
        return pool["ip_version"], subnetpools.allocate(ctx, pool, project_id, asked, length), pool["id"]
    if asked is None or version is None:
        raise BadRequest("Bad subnets request: a subnetpool must be specified in the absence of a cidr.", kind="BadRequest")
    if body.prefixlen not in (UNSET, None):
        raise invalid("prefixlen needs a subnetpool_id.")
    return version, asked, None


def _modes(body: NewSubnet, version: int, length: int, *, dhcp: bool) -> tuple[str | None, str | None]:
    ra_mode, address_mode = body.ipv6_ra_mode or None, body.ipv6_address_mode or None
    for name, mode in (("ipv6_ra_mode", ra_mode), ("ipv6_address_mode", address_mode)):
        if mode is None:
            continue
        if mode not in _MODES:
            raise wrong(name, f"'{mode}' is not in {list(_MODES)}")
        if version == 4:
            raise invalid(f"{name} is not valid when ip_version is 4")
        if not dhcp:
            raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
    if ra_mode and address_mode and ra_mode != address_mode:
        raise invalid(
            f"ipv6_ra_mode set to '{ra_mode}' with ipv6_address_mode set to '{address_mode}' is not valid. "
            "If both attributes are set, they must be the same value"
        )
    if (ra_mode in addresses.AUTOMATIC or address_mode in addresses.AUTOMATIC) and length != 64:
        raise invalid("Invalid CIDR for IPv6 address mode. OpenStack uses the EUI-64 address format, which requires the prefix to be /64")
    return ra_mode, address_mode


def _apart(db: Connection, network_id: str, text: str) -> None:
    wanted = ipaddress.ip_network(text)
    for other in db.scalars(select(subnet.c.cidr).where(subnet.c.network_id == network_id, subnet.c.ip_version == wanted.version)):
        if wanted.overlaps(ipaddress.ip_network(other)):
            raise invalid(f"Requested subnet with cidr: {text} for network: {network_id} overlaps with another subnet.")


def _carried(mtu: int, version: int) -> None:
    least = networks.LEAST_MTU[version]
    if mtu < least:
        raise Conflict(f"MTU {mtu} of the network is below the minimum {least} of IPv{version}.", kind="NetworkMTUSubnetConflict")


def _gateway(wanted: str | None, text: str) -> str | None:
    if not wanted:
        return None
    inside = ipaddress.ip_network(text)
    found = address(wanted, "gateway_ip", inside.version)
    if ipaddress.ip_address(found) in inside and not addresses.usable(text, found):
        raise invalid("Gateway is not valid on subnet.")
    return found


def default_pools(text: str, gateway: str | None) -> list[list[str]]:
    """Every address of a range that a port may have, but the gateway."""
    inside = ipaddress.ip_network(text)
    first, last = int(inside.network_address), int(inside.broadcast_address)
    if inside.num_addresses > 2:
        first, last = first + 1, last - (1 if inside.version == 4 else 0)
    kind = ipaddress.IPv4Address if inside.version == 4 else ipaddress.IPv6Address
    hole = int(ipaddress.ip_address(gateway)) if gateway else -1
    parts = [(first, last)] if not first <= hole <= last else [(first, hole - 1), (hole + 1, last)]
    return [[str(kind(start)), str(kind(end))] for start, end in parts if start <= end]


def _pools(wanted: Sequence[Range], text: str, gateway: str | None) -> list[list[str]]:
    inside = ipaddress.ip_network(text)
    found = []
    for each in wanted:
        start, end = address(each.start, "allocation_pools"), address(each.end, "allocation_pools")
        first, last = ipaddress.ip_address(start), ipaddress.ip_address(end)
        if first.version != inside.version or last.version != inside.version or int(first) > int(last):
            raise BadRequest(f"The allocation pool {start}-{end} is not valid.", kind="InvalidAllocationPool")
        if not (addresses.usable(text, start) and addresses.usable(text, end)):
            raise BadRequest(f"The allocation pool {start}-{end} spans beyond the subnet cidr {text}.", kind="OutOfBoundsAllocationPool")
        found.append((int(first), int(last), start, end))
    found.sort()
    for (_, last_one, *one_texts), (first_other, _, *other_texts) in itertools.pairwise(found):
        if first_other <= last_one:
            raise Conflict(
                f"Found overlapping allocation pools: {'-'.join(one_texts)} {'-'.join(other_texts)} for subnet {text}.",
                kind="OverlappingAllocationPools",
            )
    pools = [[start, end] for _, _, start, end in found]
    _gateway_outside(gateway, pools)
    return pools


def _gateway_outside(gateway: str | None, pools: list[list[str]]) -> None:
    for start, end in pools:
        if gateway and int(ipaddress.ip_address(start)) <= int(ipaddress.ip_address(gateway)) <= int(ipaddress.ip_address(end)):
            raise Conflict(f"Gateway ip {gateway} conflicts with allocation pool {start}-{end}.", kind="GatewayConflictWithAllocationPools")


def _dns(wanted: Sequence[str]) -> list[str]:
    found = [address(text, "dns_nameservers") for text in wanted]
    if len(found) > _MOST_DNS:
        raise BadRequest(f"The number of DNS nameservers exceeds the limit {_MOST_DNS}.", kind="DNSNameServersExhausted")
    if len(set(found)) < len(found):
        raise wrong("dns_nameservers", "Duplicate nameserver")
    return found


def _routes(wanted: Sequence[HostRoute]) -> list[list[str]]:
    found = [route(each.destination, each.nexthop, "host_routes") for each in wanted]
    if len(found) > _MOST_ROUTES:
        raise BadRequest(f"The number of host routes exceeds the limit {_MOST_ROUTES}.", kind="HostRoutesExhausted")
    if len({tuple(each) for each in found}) < len(found):
        raise wrong("host_routes", "Duplicate hostroute")
    return found


def _address_all(db: Connection, row: Mapping[Any, Any]) -> None:
    """Ports that were there before a subnet whose hosts address themselves get their addresses in it too."""
    query = select(port).where(port.c.network_id == row["network_id"], port.c.device_owner.not_in((*ports.NOT_PLUGGED, *_OWN)))
    for each in list(db.execute(query).mappings()):
        items = db.execute(select(fixed).where(fixed.c.port_id == each["id"]).order_by(fixed.c.place))
        held = [addresses.Asked(item.subnet_id, item.address) for item in items]
        ports.change(db, each, asked=[*held, addresses.Asked(row["id"])])


def _tell_gateways(db: Connection, network_id: str) -> None:
    """Routers that leave by this network have other next hops now."""
    ports.bump_routers(db, port.c.network_id == network_id)


def update(ctx: Context, row: Mapping[Any, Any], home: Mapping[Any, Any], body: SubnetChange) -> None:
    """Change a subnet. Raises BadRequest, and Conflict where a router has the gateway that would change."""
    db, id_ = ctx.db, row["id"]
    values: dict[str, Any] = {name: value for name in ("name", "description") if (value := getattr(body, name)) is not UNSET}
    gateway = row["gateway"]
    if body.gateway_ip is not UNSET:
        gateway = values["gateway"] = _gateway(body.gateway_ip, row["cidr"])
        if gateway != row["gateway"]:
            _gateway_free(db, row)
    if isinstance(body.allocation_pools, list):
        values["pools"] = _pools(body.allocation_pools, row["cidr"], gateway)
    elif "gateway" in values:
        _gateway_outside(gateway, row["pools"])
    if body.dns_nameservers is not UNSET:
        values["dns"] = _dns(body.dns_nameservers or [])
    if body.host_routes is not UNSET:
        values["routes"] = _routes(body.host_routes or [])
    if body.enable_dhcp is not UNSET:
        if not body.enable_dhcp and (row["ra_mode"] or row["address_mode"]):
            raise invalid("ipv6_ra_mode or ipv6_address_mode cannot be set when enable_dhcp is set to False")
        values["dhcp"] = body.enable_dhcp
    touch(db, subnet, id_, **values)
    touch(db, network, home["id"], spec=False)
    if "dhcp" in values:
        ports.metadata_addresses(db, home)
    if "gateway" in values:
        _tell_gateways(db, row["network_id"])
    changed(ctx)


def _gateway_free(db: Connection, row: Mapping[Any, Any]) -> None:
    if row["gateway"] is None:
        return
    owners = select(port.c.id).join(fixed, fixed.c.port_id == port.c.id).where(fixed.c.subnet_id == row["id"])
    holder = db.scalar(owners.where(fixed.c.address == row["gateway"], port.c.device_owner == ports.INTERFACE))
    if holder is not None:
        raise Conflict(f"Current gateway ip {row['gateway']} already in use by port {holder}. Unable to update.", kind="GatewayIpInUse")


def remove(ctx: Context, row: Mapping[Any, Any]) -> None:
    """Delete a subnet. Raises Conflict while ports have addresses in it, but for those that address themselves."""
    db, id_ = ctx.db, row["id"]
    held = select(port.c.id).join(fixed, fixed.c.port_id == port.c.id).where(fixed.c.subnet_id == id_, port.c.device_owner.not_in(_OWN))
    if addresses.automatic(row):
        held = held.where(port.c.device_owner.in_(ports.NOT_PLUGGED))
    if (found := db.scalar(held.limit(1))) is not None:
        raise Conflict(
            f"Unable to complete operation on subnet {id_}: One or more ports have an IP allocation from this subnet ({found}).",
            kind="SubnetInUse",
        )
    losing = list(db.scalars(select(fixed.c.port_id).where(fixed.c.subnet_id == id_)))
    db.execute(delete(fixed).where(fixed.c.subnet_id == id_))
    for port_id in losing:
        touch(db, port, port_id)
    bury(db, subnet, [id_])
    touch(db, network, row["network_id"], spec=False)
    _tell_gateways(db, row["network_id"])
    bump_names(db, losing)
    changed(ctx)


def bump_names(db: Connection, port_ids: Sequence[str]) -> None:
    """The names of a network's ports are looked up with their addresses; these have lost some."""
    if port_ids:
        named = select(port.c.network_id).where(port.c.id.in_(list(port_ids)), port.c.dns_name != "")
        bump(db, network, network.c.id.in_(named))
