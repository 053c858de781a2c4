"""Ports as rows: making, changing and deleting them with all that hangs on them. What a request may ask of them is `port_requests`'."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.errors import Conflict
from andromede.services.network import addresses, ties
from andromede.services.network.addresses import Asked
from andromede.services.network.rows import add, bump, bury, one, touch
from andromede.services.network.tables import binding, fixed, floating, network, port, port_group, router, tombstone

METADATA, INTERFACE, GATEWAY, FLOATING = (
    "network:distributed", "network:router_interface", "network:router_gateway", "network:floatingip",
)  # fmt: skip
COMPUTE = "compute:nova"
OF_ROUTERS = (INTERFACE, GATEWAY)
NOT_PLUGGED = (INTERFACE, GATEWAY, FLOATING)
"""Ports that are no ports of the fabric: a router's spec says what they are."""
_STATUS = {INTERFACE: "ACTIVE", GATEWAY: "ACTIVE", METADATA: "ACTIVE", FLOATING: "N/A"}


def make(
    db: Connection, home: Mapping[Any, Any], *, project_id: str, asked: Sequence[Asked] | None = None, mac: str | None = None,
    groups: Sequence[str] = (), device_owner: str = "", **columns: Any,
) -> str:  # fmt: skip
    """A port on the network `home`; answers its id. Raises Conflict for a MAC or address in use, or where no address is left."""
    mac = _free_mac(db, home["id"], mac)
    chosen = addresses.choose(db, home["id"], mac, device_owner, asked)
    values = {"pairs": [], "dhcp_options": [], "profile": {}, "security": False, **columns}
    id_ = add(
        db, port, project_id=project_id, network_id=home["id"], mac=mac, device_owner=device_owner,
        status=_STATUS.get(device_owner, "DOWN"), **values,
    )  # fmt: skip
    addresses.assign(db, home["id"], id_, chosen)
    if groups:
        db.execute(insert(port_group), [{"port_id": id_, "group_id": one} for one in groups])
    if columns.get("dns_name"):
        bump(db, network, network.c.id == home["id"])
    return id_


def _free_mac(db: Connection, network_id: str, wanted: str | None) -> str:
    for _ in range(16):
        mac = wanted or "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))
        if db.scalar(select(port.c.id).where(port.c.network_id == network_id, port.c.mac == mac)) is None:
            return mac
        if wanted:
            break
    raise Conflict(
        f"Unable to complete operation for network {network_id}. The mac address {wanted or 'to be made'} is in use.", kind="MacAddressInUse"
    )


def ahead() -> Select[Any]:
    """The bindings of ports whose servers are on their way to another host."""
    return select(binding).where(binding.c.moving)


def expect(db: Connection, row: Mapping[Any, Any], host: str | None) -> None:
    """The server of a port is on its way to a host; None: to none any more."""
    db.execute(delete(binding).where(binding.c.port_id == row["id"], binding.c.moving))
    if host is not None:
        db.execute(delete(binding).where(binding.c.port_id == row["id"], binding.c.host == host))
        values = {"vnic_type": row["vnic_type"], "profile": row["profile"], "moving": True}
        db.execute(insert(binding).values(port_id=row["id"], host=host, **values))
    touch(db, port, row["id"])


def change(
    db: Connection, row: Mapping[Any, Any], *, asked: Sequence[Asked] | None = None, groups: Sequence[str] | None = None, **columns: Any
) -> None:
    """Change a port; `asked`: its new addresses, unless None. Whatever depends on it is told."""
    id_ = row["id"]
    mac = columns.get("mac", row["mac"])
    if mac != row["mac"]:
        _free_mac(db, row["network_id"], mac)
    moved = False
    if asked is not None:
        held = list(db.execute(select(fixed).where(fixed.c.port_id == id_).order_by(fixed.c.place)).mappings())
        chosen = addresses.choose(db, row["network_id"], mac, columns.get("device_owner", row["device_owner"]), asked, held=held)
        moved = addresses.assign(db, row["network_id"], id_, chosen)
        if moved:
            _unlead(db, id_, {one.address for one in chosen})
    if groups is not None:
        db.execute(delete(port_group).where(port_group.c.port_id == id_))
        if groups:
            db.execute(insert(port_group), [{"port_id": id_, "group_id": one} for one in groups])
    if "host" in columns and columns["host"] != row["host"] and row["device_owner"] not in _STATUS:
        columns["status"] = "DOWN"
        ties.follow(db, id_, columns["host"])
    touch(db, port, id_, **columns)
    if row["device_owner"] in OF_ROUTERS and (moved or mac != row["mac"]):
        bump(db, router, router.c.id == row["device_id"])
    if mac != row["mac"]:
        bump_routers(db, port.c.id == id_)
    if (row["dns_name"] or columns.get("dns_name")) and (moved or columns.get("dns_name", row["dns_name"]) != row["dns_name"]):
        bump(db, network, network.c.id == row["network_id"])


def _unlead(db: Connection, port_id: str, left: set[str]) -> None:
    """Floating IPs and ports of theirs that lead to an address the port has lost lead nowhere."""
    query = select(floating.c.id).where(floating.c.port_id == port_id, floating.c.fixed_address.not_in(left))
    dissociate(db, list(db.scalars(query)))
    ties.drop_forwards_to(db, [port_id], left)


def dissociate(db: Connection, ids: Iterable[str]) -> None:
    """Have floating IPs lead nowhere."""
    for id_ in ids:
        row = one(db, floating, id_)
        if row["router_id"]:
            bump(db, router, router.c.id == row["router_id"])
        touch(db, floating, id_, port_id=None, fixed_address=None, router_id=None)


def bump_routers(db: Connection, which: ColumnElement[bool]) -> None:
    """The routers that have an interface among these ports, or lead a floating IP to one of them, have to be made anew."""
    legs = select(port.c.device_id).where(port.c.device_owner.in_(OF_ROUTERS), which)
    led = select(floating.c.router_id).join(port, port.c.id == floating.c.port_id).where(which)
    bump(db, router, or_(router.c.id.in_(legs), router.c.id.in_(led)))


def destroy(db: Connection, ids: Sequence[str]) -> None:
    """Delete ports; floating IPs that led to them lead nowhere."""
    if not ids:
        return
    rows = list(db.execute(select(port).where(port.c.id.in_(list(ids)))).mappings())
    dissociate(db, list(db.scalars(select(floating.c.id).where(floating.c.port_id.in_(list(ids))))))
    ties.drop_forwards_to(db, ids)
    ties.free_trunks(db, ids)
    bury(db, port, [row["id"] for row in rows])
    named = {row["network_id"] for row in rows if row["dns_name"]}
    if named:
        bump(db, network, network.c.id.in_(named))


def become_interface(db: Connection, row: Mapping[Any, Any], router_id: str, project_id: str) -> None:
    """Make an existing port a router's interface: it leaves the fabric as a port, and comes back in the router's spec."""
    touch(
        db, port, row["id"], device_id=router_id, device_owner=INTERFACE, status="ACTIVE", security=False, host="",
        project_id=row["project_id"] or project_id,
    )  # fmt: skip
    db.execute(delete(port_group).where(port_group.c.port_id == row["id"]))
    buried = tombstone.c.kind == "port", tombstone.c.id == row["id"]
    if db.scalar(select(tombstone.c.id).where(*buried)) is None:
        db.execute(insert(tombstone).values(kind="port", id=row["id"], created=now()))


def held_by_router(row: Mapping[Any, Any], *, action: str = "deleted") -> None:
    """Raise Conflict for a port that only its router, its floating IP or the network itself may take away."""
    owner = row["device_owner"]
    if owner in NOT_PLUGGED:
        reason = f"has device owner {owner}"
        raise Conflict(f"Port {row['id']} cannot be {action} directly via the port API: {reason}.", kind="ServicePortInUse")


def metadata_port(db: Connection, home: Mapping[Any, Any]) -> str:
    """The id of a network's metadata port, which is made when it is first needed."""
    found = db.scalar(select(port.c.id).where(port.c.network_id == home["id"], port.c.device_owner == METADATA))
    if found is not None:
        return str(found)
    return make(db, home, project_id=home["project_id"], asked=[], device_owner=METADATA, device_id=f"ovnmeta-{home['id']}")


def metadata_addresses(db: Connection, home: Mapping[Any, Any]) -> None:
    """Give the metadata port an address in each IPv4 subnet with DHCP, as far as there are any left, and in no other."""
    wanted = [row for row in addresses.subnets_of(db, home["id"]) if row["ip_version"] == 4 and row["dhcp"]]
    row = one(db, port, metadata_port(db, home))
    held = {each.subnet_id: each.address for each in db.execute(select(fixed).where(fixed.c.port_id == row["id"]))}
    chosen = []
    for each in wanted:
        try:
            chosen.append(addresses.Chosen(each["id"], held.get(each["id"]) or addresses.pick(db, each, first=True)))
        except Conflict:
            continue
    if addresses.assign(db, home["id"], row["id"], chosen):
        touch(db, port, row["id"])


def set_status(db: Connection, up: Iterable[str], down: Iterable[str]) -> None:
    """What the fabric says of ports; no change of what is wanted of them."""
    for status, ids in (("ACTIVE", list(up)), ("DOWN", list(down))):
        if ids:
            db.execute(update(port).where(port.c.id.in_(ids), port.c.device_owner.not_in(_STATUS)).values(status=status))
