"""What a network driver does, in two halves.

`Fabric` is the logical network of the whole cloud (OVN's northbound database); the engine drives it. `Plug` is one host's
end of it (taps, the metadata end of each network); the agent drives it. Both ask for states: specs are whole
descriptions, `ensure` may be repeated at will and repairs drift, removing what is gone is success. Names in the
outside world derive from ids.
"""

import ipaddress
from typing import Protocol

import msgspec


def link_local(mac: str) -> str:
    """The IPv6 address that a card gives itself on its link (RFC 4291, modified EUI-64)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    suffix = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return str(ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + suffix))


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A layer 2 network. `external`: it is the provider network `public`, joined to the host's bridge `physical`.

    dns: addresses by host name within the network (server names), answered by the network itself.
    """

    id: str
    mtu: int = 1442
    external: bool = False
    physical: str = ""
    dns: dict[str, tuple[str, ...]] = {}


class Subnet(msgspec.Struct, frozen=True, kw_only=True):
    """An address range. `routes`: (destination, next hop). `dhcp` with IPv6 uses `ra_mode`/`address_mode` as Neutron names them."""

    id: str
    network_id: str
    cidr: str
    gateway: str | None
    dhcp: bool = True
    dns: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    ra_mode: str | None = None
    address_mode: str | None = None
    mtu: int = 1442
    metadata: str | None = None
    """The IPv4 address of the network's metadata port in this subnet; routed to as 169.254.169.254/32 by DHCP."""


class Fixed(msgspec.Struct, frozen=True):
    """An address of a port on a subnet."""

    subnet_id: str
    address: str


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit of bandwidth, in kilobits per second and kilobits at once (0: as the fabric likes). egress: what the port sends."""

    direction: str
    kbps: int
    burst: int = 0


class Qos(msgspec.Struct, frozen=True, kw_only=True):
    """What a port or floating IP is held to. dscp: the mark of every packet that it sends."""

    limits: tuple[Limit, ...] = ()
    dscp: int | None = None


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A port for a guest, or the network's `metadata` port (a localport that exists on every host).

    parent: the port whose guest this is a port of, in VLAN `segment` of its card.
    security: whether addresses are held to `mac`, `fixed` and `pairs` ((mac, cidr)) and `groups` apply.
    host: the chassis it is bound to, None when unbound. next: the one that its guest is about to come to; traffic goes there too from
    when the guest announces itself there. dhcp_options: extra (name, value) for this port alone.
    """

    id: str
    network_id: str
    mac: str
    fixed: tuple[Fixed, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    security: bool = True
    groups: tuple[str, ...] = ()
    enabled: bool = True
    host: str | None = None
    next: str | None = None
    metadata: bool = False
    hostname: str = ""
    dhcp_options: tuple[tuple[str, str], ...] = ()
    qos: Qos | None = None
    parent: str | None = None
    segment: int | None = None


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """A set of addresses (CIDR, of both IP versions) that rules may name."""

    id: str
    addresses: tuple[str, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a security group, with Neutron's fields and meanings. direction: ingress or egress; ethertype: IPv4 or IPv6."""

    id: str
    direction: str
    ethertype: str
    protocol: str | None = None
    port_min: int | None = None
    port_max: int | None = None
    remote_cidr: str | None = None
    remote_group: str | None = None
    remote_addresses: str | None = None
    """A set of addresses, which is there already."""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A security group. Its members are the ports that name it. Traffic that no rule allows is dropped."""

    id: str
    rules: tuple[Rule, ...] = ()
    stateful: bool = True


class Leg(msgspec.Struct, frozen=True, kw_only=True):
    """An interface of a router on a network: `addresses` in CIDR form. `port_id` names it in Neutron's API."""

    port_id: str
    network_id: str
    mac: str
    addresses: tuple[str, ...]
    ra_mode: str | None = None
    mtu: int = 1442


class Nat(msgspec.Struct, frozen=True, kw_only=True):
    """A floating IP: `external` on the router's gateway network is `internal`, the address of port `port_id`."""

    id: str
    external: str
    internal: str
    port_id: str
    mac: str
    qos: Qos | None = None


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """Ports of a floating IP: `external` at the first of each pair of `ports` is `internal` at the second. protocol: tcp, udp, sctp."""

    id: str
    external: str
    internal: str
    protocol: str
    ports: tuple[tuple[int, int], ...]


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """A router with all its interfaces, its gateway, routes and floating IPs.

    gateway: its interface on the external network; next_hops: default gateways there. snat: inside subnets (CIDR) that
    leave with the gateway's address. routes: (destination, next hop). apart: pairs of ranges (CIDR) between which nothing is routed.
    limits: (external address, what it is held to), for floating IPs that lead to no port but have `forwards`.
    """

    id: str
    enabled: bool = True
    legs: tuple[Leg, ...] = ()
    gateway: Leg | None = None
    next_hops: tuple[str, ...] = ()
    snat: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    floating: tuple[Nat, ...] = ()
    forwards: tuple[Forward, ...] = ()
    limits: tuple[tuple[str, Qos], ...] = ()
    apart: tuple[tuple[str, str], ...] = ()


Spec = Network | Subnet | Addresses | Port | Group | Router
KINDS: dict[str, type[Spec]] = {
    "network": Network, "subnet": Subnet, "addresses": Addresses, "port": Port, "group": Group, "router": Router,
}  # fmt: skip


class Fabric(Protocol):
    """Synchronous, thread-safe. A later `ensure` replaces the whole earlier description of the same id."""

    def ensure(self, specs: list[Spec]) -> None:
        """Make these be so, in one transaction; whatever they refer to is there already or in the same list.

        Raises DriverError when the fabric cannot be reached or refuses.
        """

    def remove(self, kind: str, ids: list[str]) -> None:
        """Make these be gone, with what was made for them alone."""

    def observe(self, kind: str) -> set[str]:
        """The ids of that kind which the fabric holds now."""

    def bound(self) -> dict[str, bool]:
        """For each guest port: whether a host has it up now."""

    def close(self) -> None:
        """Let go of the connection."""


class Plugged(msgspec.Struct, frozen=True, kw_only=True):
    """What a host should have of the network: taps of guest ports, and the metadata end of networks."""

    port_id: str
    mac: str
    mtu: int = 1442
    owner: int = 0
    """uid that may open the tap."""
    queues: int = 1
    """How many pairs of queues the tap may be opened with; more than one only where it is made so."""
    container: bool = False
    """It is for a container: a veth whose other end (`core.ids.peer_name`, with this MAC) the container takes into itself."""


class MetadataEnd(msgspec.Struct, frozen=True, kw_only=True):
    """The namespace in which a network's metadata is served on this host; `addresses` in CIDR form (IPv4, IPv6)."""

    network_id: str
    port_id: str
    mac: str
    addresses: tuple[str, ...]
    mtu: int = 1442


class Plug(Protocol):
    """Asynchronous; one host's end."""

    async def ensure(self, port: Plugged) -> str:
        """The tap for a port, made and joined to the integration bridge; answers its interface name."""

    async def remove(self, port_id: str) -> None:
        """No tap, no bridge port."""

    async def ensure_metadata(self, end: MetadataEnd) -> str:
        """The namespace with the network's metadata address up; answers the namespace's name, to listen in."""

    async def remove_metadata(self, network_id: str) -> None:
        """No namespace, no link."""

    async def serves(self) -> bool:
        """Whether what makes this host follow the fabric answers now."""

    async def observe(self) -> tuple[set[str], set[str]]:
        """(port ids with a tap, network ids with a metadata end) on this host, as prefixes where names are cut."""

    async def close(self) -> None:
        """Let go of connections."""
