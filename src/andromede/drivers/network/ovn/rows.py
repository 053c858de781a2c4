"""Rows of the northbound database as values: what each thing of the cloud owns there, and by which marks it is found.

Every row carries in external_ids the kind and id of its owner and the part it plays for it. So what a thing owns can be
compared with what it should own, and removed, from the database alone.
"""

import hashlib
from typing import Any

import msgspec

KIND, ID, PART, NETWORK, SPEC = "andromede:kind", "andromede:id", "andromede:part", "andromede:network", "andromede:spec"
SWITCH, SWITCH_PORT, GROUP, ACL, DHCP = "Logical_Switch", "Logical_Switch_Port", "Port_Group", "ACL", "DHCP_Options"
ROUTER, ROUTER_PORT, NAT, ROUTE = "Logical_Router", "Logical_Router_Port", "NAT", "Logical_Router_Static_Route"
GATEWAY, DNS, QOS, BALANCER = "Gateway_Chassis", "DNS", "QoS", "Load_Balancer"
ADDRESS_SET, POLICY = "Address_Set", "Logical_Router_Policy"
TABLES = (SWITCH, SWITCH_PORT, GROUP, ACL, DHCP, ROUTER, ROUTER_PORT, NAT, ROUTE, GATEWAY, DNS, QOS, BALANCER, ADDRESS_SET, POLICY)
MAIN = "main"

HOLDER = {
    SWITCH_PORT: (SWITCH, "ports"),
    ACL: (GROUP, "acls"),
    ROUTER_PORT: (ROUTER, "ports"),
    NAT: (ROUTER, "nat"),
    ROUTE: (ROUTER, "static_routes"),
    POLICY: (ROUTER, "policies"),
    QOS: (SWITCH, "qos_rules"),
    GATEWAY: (ROUTER_PORT, "gateway_chassis"),
}
"""For each table whose rows exist only within another: that table, and the column that holds them."""


class Key(msgspec.Struct, frozen=True):
    """Where a row is found: its owner, its table and its part."""

    kind: str
    id: str
    table: str
    part: str = MAIN


class Wanted(msgspec.Struct, frozen=True):
    """A row that should be. A Key, or a list of them, in `columns` stands for a reference; one to nothing is left out.

    marks: more external_ids.
    """

    key: Key
    columns: dict[str, Any]
    marks: dict[str, str] = {}

    @property
    def external_ids(self) -> dict[str, str]:
        """All marks of the row."""
        return {KIND: self.key.kind, ID: self.key.id, PART: self.key.part, **self.marks}


def key_of(table: str, external_ids: dict[str, str]) -> Key | None:
    """The key of a row by its marks; None for one that is not ours."""
    if KIND not in external_ids or ID not in external_ids:
        return None
    return Key(external_ids[KIND], external_ids[ID], table, external_ids.get(PART, MAIN))


def holder(key: Key, external_ids: dict[str, str]) -> Key | None:
    """The key of the row that holds this one; None for a row that stands by itself."""
    if key.table in (SWITCH_PORT, QOS):
        return Key("network", external_ids[NETWORK], SWITCH)
    if key.table == GATEWAY:
        return Key(key.kind, key.id, ROUTER_PORT, key.part.rpartition("@")[0])
    if key.table in HOLDER:
        return Key(key.kind, key.id, HOLDER[key.table][0])
    return None


def group_name(group_id: str) -> str:
    """The port group of a security group; its address sets are `$<name>_ip4` and `$<name>_ip6`."""
    return "pg_" + group_id.replace("-", "_")


def addresses_name(group_id: str) -> str:
    """An address group; its address sets are `$<name>_ip4` and `$<name>_ip6`."""
    return "ag_" + group_id.replace("-", "_")


def router_port_name(port_id: str) -> str:
    """The router's side of an interface whose switch side is named by the port's id."""
    return f"lrp-{port_id}"


def derived_mac(seed: str) -> str:
    """A MAC address in the range of OpenStack that depends on `seed` alone."""
    return "fa:16:3e:" + ":".join(f"{byte:02x}" for byte in hashlib.sha256(seed.encode()).digest()[:3])
