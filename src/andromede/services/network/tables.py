"""Network's rows.

What the fabric must know of (networks, subnets, ports, groups, routers) has a `generation`, raised in the transaction of
whatever changes its spec, and a `seen_generation`, written by the reconciler alone. A row that is deleted leaves a tombstone.
"""

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    and_,
    false,
    literal_column,
)  # fmt: skip

from andromede.db.base import Json, Moment, metadata

_ID = String(64)


def _standard() -> list[Column[Any]]:
    """What every resource has."""
    return [
        Column("id", String(36), primary_key=True),
        Column("project_id", _ID, nullable=False, index=True),  # empty: nobody's
        Column("name", String(255), nullable=False, default=""),
        Column("description", String(255), nullable=False, default=""),
        Column("revision", Integer, nullable=False, default=0),
        Column("created", Moment, nullable=False),
        Column("updated", Moment, nullable=False),
    ]


def _fabric() -> list[Column[Any]]:
    """What everything in the fabric has."""
    return [
        Column("generation", Integer, nullable=False, default=1),
        Column("seen_generation", Integer, nullable=False, default=0),
    ]


def _behind(table: Table) -> ColumnElement[bool]:
    return table.c.generation != table.c.seen_generation


def _waiting(table: Table) -> ColumnElement[bool]:
    """Bound and not up: what the poll for the state of ports looks for."""
    return and_(table.c.host != literal_column("''"), table.c.status == literal_column("'DOWN'"))


def _cascade(column: str) -> ForeignKey:
    return ForeignKey(column, ondelete="CASCADE")


qos_policy = Table("net_qos_policy", metadata, *_standard(), Column("is_default", Boolean, nullable=False, default=False))

qos_rule = Table(
    "net_qos_rule",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("policy_id", String(36), _cascade("net_qos_policy.id"), nullable=False),
    Column("type", String(32), nullable=False),  # bandwidth_limit, dscp_marking
    Column("direction", String(8), nullable=False),
    Column("max_kbps", Integer),
    Column("max_burst", Integer),  # kilobits; 0: as the switch likes
    Column("dscp", Integer),
    UniqueConstraint("policy_id", "type", "direction"),
)


def _qos() -> Column[Any]:
    """A policy; deleting one looks for its users. No foreign key, which SQLite would make of a table with rows only by making it anew."""
    return Column("qos_id", String(36), index=True)


network = Table(
    "net_network",
    metadata,
    *_standard(),
    *_fabric(),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("external", Boolean, nullable=False, default=False),
    Column("is_default", Boolean, nullable=False, default=False),
    Column("mtu", Integer, nullable=False),
    Column("port_security", Boolean, nullable=False, default=True),
    Column("dns_domain", String(255), nullable=False, default=""),
    Column("type", String(16), nullable=False),  # geneve, flat
    Column("physical", String(64)),
    Column("segment", Integer),
    Column("hints", Json, nullable=False),
    _qos(),
    UniqueConstraint("physical"),
    UniqueConstraint("segment"),
)

rbac = Table(
    "net_rbac",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("project_id", _ID, nullable=False, index=True),
    Column("object_type", String(32), nullable=False),
    Column("object_id", String(36), nullable=False),
    Column("action", String(32), nullable=False),  # access_as_shared, access_as_external
    Column("target", _ID, nullable=False),  # a project, or *
    UniqueConstraint("object_id", "action", "target"),
)
"""Who but its owner may use something; `sharing` knows of what types."""

scope = Table(
    "net_address_scope",
    metadata,
    *_standard(),
    Column("ip_version", Integer, nullable=False),
)

subnetpool = Table(
    "net_subnetpool",
    metadata,
    *_standard(),
    Column("ip_version", Integer, nullable=False),
    Column("prefixes", Json, nullable=False),
    Column("min_prefix", Integer, nullable=False),
    Column("max_prefix", Integer, nullable=False),
    Column("default_prefix", Integer, nullable=False),
    Column("default_quota", Integer),
    Column("is_default", Boolean, nullable=False, default=False),
    Column("scope_id", String(36), ForeignKey("net_address_scope.id"), index=True),
)

subnet = Table(
    "net_subnet",
    metadata,
    *_standard(),
    *_fabric(),
    Column("network_id", String(36), _cascade("net_network.id"), nullable=False, index=True),
    Column("ip_version", Integer, nullable=False),
    Column("cidr", String(64), nullable=False),
    Column("gateway", String(39)),
    Column("dhcp", Boolean, nullable=False, default=True),
    Column("pools", Json, nullable=False),  # [[first, last], …], sorted
    Column("dns", Json, nullable=False),
    Column("routes", Json, nullable=False),  # [[destination, next hop], …]
    Column("ra_mode", String(16)),
    Column("address_mode", String(16)),
    Column("subnetpool_id", String(36), ForeignKey("net_subnetpool.id"), index=True),
)

port = Table(
    "net_port",
    metadata,
    *_standard(),
    *_fabric(),
    Column("network_id", String(36), _cascade("net_network.id"), nullable=False),
    Column("mac", String(17), nullable=False),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("device_id", String(255), nullable=False, default="", index=True),
    Column("device_owner", String(255), nullable=False, default=""),
    Column("status", String(8), nullable=False, default="DOWN"),
    Column("security", Boolean, nullable=False, default=True),
    Column("pairs", Json, nullable=False),  # [[mac, address or CIDR], …]
    Column("dhcp_options", Json, nullable=False),  # [{opt_name, opt_value, ip_version}, …]
    Column("host", String(255), nullable=False, default=""),
    Column("vnic_type", String(16), nullable=False, default="normal"),
    Column("profile", Json, nullable=False),
    Column("dns_name", String(255), nullable=False, default=""),
    Column("made_by_compute", Boolean, nullable=False, default=False),
    _qos(),
    Column("attached", Moment),  # since when a server has it; the order of a server's ports
    UniqueConstraint("network_id", "mac"),
    Index("ix_net_port_owner", "project_id", "device_owner"),
)
Index("ix_net_port_behind", port.c.id, sqlite_where=_behind(port), postgresql_where=_behind(port))
Index("ix_net_port_waiting", port.c.id, sqlite_where=_waiting(port), postgresql_where=_waiting(port))

fixed = Table(
    "net_fixed_ip",
    metadata,
    Column("subnet_id", String(36), _cascade("net_subnet.id"), primary_key=True),
    Column("number", String(32), primary_key=True),  # the address in hexadecimal, so that order is numeric
    Column("port_id", String(36), _cascade("net_port.id"), nullable=False, index=True),
    Column("address", String(39), nullable=False, index=True),
    Column("place", Integer, nullable=False, default=0),
)
"""Every address in use, those of routers' gateways and floating IPs too; the key keeps one from being given twice."""

group = Table(
    "net_group",
    metadata,
    *_standard(),
    *_fabric(),
    Column("stateful", Boolean, nullable=False, default=True),
    Column("default_of", _ID, unique=True),  # the project whose default group this is
)

address_group = Table(
    "net_address_group",
    metadata,
    *_standard(),
    *_fabric(),
    Column("addresses", Json, nullable=False),  # CIDRs
)

rule = Table(
    "net_rule",
    metadata,
    *_standard(),
    Column("group_id", String(36), _cascade("net_group.id"), nullable=False, index=True),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(4), nullable=False),
    Column("protocol", String(40)),
    Column("port_min", Integer),
    Column("port_max", Integer),
    Column("remote_cidr", String(64)),
    Column("remote_group_id", String(36), _cascade("net_group.id"), index=True),
    Column("remote_addresses_id", String(36), index=True),
)

default_rule = Table(
    "net_default_rule",
    metadata,
    *_standard(),
    Column("direction", String(8), nullable=False),
    Column("ethertype", String(4), nullable=False),
    Column("protocol", String(40)),
    Column("port_min", Integer),
    Column("port_max", Integer),
    Column("remote_cidr", String(64)),
    Column("remote_group_id", String(36)),  # a group, or PARENT for the group the rule comes into
    Column("remote_addresses_id", String(36)),
    Column("in_default", Boolean, nullable=False),
    Column("in_others", Boolean, nullable=False),
)
"""What new security groups begin with."""

port_group = Table(
    "net_port_group",
    metadata,
    Column("port_id", String(36), _cascade("net_port.id"), primary_key=True),
    Column("group_id", String(36), ForeignKey("net_group.id"), primary_key=True, index=True),
)

router = Table(
    "net_router",
    metadata,
    *_standard(),
    *_fabric(),
    Column("admin_state_up", Boolean, nullable=False, default=True),
    Column("gateway_port_id", String(36), ForeignKey("net_port.id"), index=True),
    Column("snat", Boolean, nullable=False, default=True),
    Column("routes", Json, nullable=False),  # [[destination, next hop], …]
    Column("hints", Json, nullable=False),
)

floating = Table(
    "net_floating_ip",
    metadata,
    *_standard(),
    Column("network_id", String(36), ForeignKey("net_network.id"), nullable=False, index=True),
    Column("outer_port_id", String(36), ForeignKey("net_port.id"), nullable=False, unique=True),  # holds the address
    Column("address", String(39), nullable=False, index=True),
    Column("port_id", String(36), ForeignKey("net_port.id"), index=True),
    Column("fixed_address", String(39)),
    Column("router_id", String(36), ForeignKey("net_router.id"), index=True),
    Column("dns_name", String(255), nullable=False, default=""),
    Column("dns_domain", String(255), nullable=False, default=""),
    _qos(),
    UniqueConstraint("port_id", "network_id", "fixed_address"),
)

forward = Table(
    "net_port_forwarding",
    metadata,
    *_standard(),
    Column("floating_id", String(36), _cascade("net_floating_ip.id"), nullable=False, index=True),
    Column("port_id", String(36), _cascade("net_port.id"), nullable=False, index=True),
    Column("address", String(39), nullable=False),
    Column("protocol", String(8), nullable=False),
    Column("outer_first", Integer, nullable=False),
    Column("outer_last", Integer, nullable=False),
    Column("inner_first", Integer, nullable=False),
    Column("inner_last", Integer, nullable=False),
)
"""Ports of a floating IP that lead to those of an address, in order or all to one."""

trunk = Table(
    "net_trunk",
    metadata,
    *_standard(),
    Column("port_id", String(36), ForeignKey("net_port.id"), nullable=False, unique=True),
    Column("admin_state_up", Boolean, nullable=False, default=True),
)

subport = Table(
    "net_subport",
    metadata,
    Column("port_id", String(36), ForeignKey("net_port.id"), primary_key=True),
    Column("trunk_id", String(36), _cascade("net_trunk.id"), nullable=False),
    Column("segment", Integer, nullable=False),  # the VLAN inside the guest
    UniqueConstraint("trunk_id", "segment"),
)

binding = Table(
    "net_binding",
    metadata,
    Column("port_id", String(36), _cascade("net_port.id"), primary_key=True),
    Column("host", String(255), primary_key=True),
    Column("vnic_type", String(16), nullable=False),
    Column("profile", Json, nullable=False),
    Column("moving", Boolean, nullable=False, server_default=false()),  # its server is on its way there
)
"""Hosts that a port may move to; the one where it is stands in its own row."""

topology = Table(
    "net_topology",
    metadata,
    Column("project_id", _ID, primary_key=True),
    Column("network_id", String(36), _cascade("net_network.id"), nullable=False),
    Column("router_id", String(36), ForeignKey("net_router.id"), nullable=False),
)
"""What was made for a project that asked for a network and its way out."""

tag = Table(
    "net_tag",
    metadata,
    Column("kind", String(32), primary_key=True),
    Column("resource_id", String(36), primary_key=True),
    Column("tag", String(255), primary_key=True),
)

tombstone = Table(
    "net_tombstone",
    metadata,
    Column("kind", String(16), primary_key=True),
    Column("id", String(36), primary_key=True),
    Column("created", Moment, nullable=False),
)
"""What has no row any more and is perhaps still in the fabric."""

setting = Table("net_setting", metadata, Column("name", String(64), primary_key=True), Column("value", Text, nullable=False))
"""Facts about the service itself, e.g. that the default rules have been written once."""

FABRIC: dict[str, Table] = {
    "network": network, "subnet": subnet, "addresses": address_group, "group": group, "port": port, "router": router,
}  # fmt: skip
"""Kinds of the fabric, in the order in which they refer to each other."""
