"""Requests of networks, subnets, subnet pools and ports. Source: Networking API v2.0."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType, field

from andromede.http.wire import Body, Text255

Text = Text255 | UnsetType
Maybe = str | None | UnsetType
Flag = bool | UnsetType
Count = int | None | UnsetType
Hints = list[Text255] | UnsetType
Port16 = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=(1 << 31) - 1)]
Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Unserved = None | UnsetType
"""An attribute of an extension that is not here: it may only be null."""


class Named(Body):
    """What every resource may be asked to have."""

    name: Text = UNSET
    description: Text = UNSET


class NetworkChange(Named):
    """What may be changed of a network."""

    admin_state_up: Flag = UNSET
    shared: Flag = UNSET
    external: Flag = field(name="router:external", default=UNSET)
    is_default: Flag = UNSET
    mtu: Annotated[int, msgspec.Meta(ge=0, le=65535)] | UnsetType | None = UNSET
    port_security_enabled: Flag = UNSET
    dns_domain: Maybe = UNSET
    qos_policy_id: Maybe = UNSET
    network_type: Maybe = field(name="provider:network_type", default=UNSET)
    physical_network: Maybe = field(name="provider:physical_network", default=UNSET)
    segmentation_id: Count = field(name="provider:segmentation_id", default=UNSET)


class NewNetwork(NetworkChange):
    """A network."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET
    availability_zone_hints: Hints = UNSET


class CreateNetwork(Body):
    """One network, or several."""

    network: NewNetwork | UnsetType = UNSET
    networks: list[NewNetwork] | UnsetType = UNSET


class UpdateNetwork(Body):
    """A change."""

    network: NetworkChange


class Range(Body):
    """An allocation pool."""

    start: str
    end: str


class HostRoute(Body):
    """A route."""

    destination: str
    nexthop: str


class SubnetChange(Named):
    """What may be changed of a subnet."""

    gateway_ip: Maybe = UNSET
    allocation_pools: list[Range] | UnsetType | None = UNSET
    dns_nameservers: list[str] | UnsetType | None = UNSET
    host_routes: list[HostRoute] | UnsetType | None = UNSET
    enable_dhcp: Flag = UNSET


class NewSubnet(SubnetChange, kw_only=True):
    """A subnet."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET
    network_id: Id
    ip_version: int | UnsetType = UNSET
    cidr: Maybe = UNSET
    ipv6_ra_mode: Maybe = UNSET
    ipv6_address_mode: Maybe = UNSET
    subnetpool_id: Maybe = UNSET
    use_default_subnetpool: Flag = UNSET
    prefixlen: Count = UNSET


class CreateSubnet(Body):
    """One subnet, or several."""

    subnet: NewSubnet | UnsetType = UNSET
    subnets: list[NewSubnet] | UnsetType = UNSET


class UpdateSubnet(Body):
    """A change."""

    subnet: SubnetChange


class SubnetpoolChange(Named):
    """What may be changed of a subnet pool."""

    prefixes: list[str] | UnsetType = UNSET
    min_prefixlen: Count = UNSET
    max_prefixlen: Count = UNSET
    default_prefixlen: Count = UNSET
    default_quota: Count = UNSET
    is_default: Flag = UNSET
    address_scope_id: Maybe = UNSET


class NewSubnetpool(SubnetpoolChange):
    """A subnet pool."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET
    shared: Flag = UNSET


class CreateSubnetpool(Body):
    """One subnet pool, or several."""

    subnetpool: NewSubnetpool | UnsetType = UNSET
    subnetpools: list[NewSubnetpool] | UnsetType = UNSET


class UpdateSubnetpool(Body):
    """A change."""

    subnetpool: SubnetpoolChange


class Prefixes(Body):
    """Prefixes to be added to a subnet pool, or removed."""

    prefixes: list[str]


class Onboard(Body):
    """The network whose subnets a subnet pool takes in."""

    network_id: Id


class ScopeChange(Body):
    """What may be changed of an address scope."""

    name: Text = UNSET
    shared: Flag = UNSET


class NewScope(ScopeChange, kw_only=True):
    """An address scope."""

    ip_version: int
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateScope(Body):
    """One address scope, or several."""

    address_scope: NewScope | UnsetType = UNSET
    address_scopes: list[NewScope] | UnsetType = UNSET


class UpdateScope(Body):
    """A change."""

    address_scope: ScopeChange


class FixedIp(Body):
    """An address asked for: on a subnet, itself, or both."""

    subnet_id: Maybe = UNSET
    ip_address: Maybe = UNSET


class Pair(Body):
    """An address that the port may use besides its own."""

    ip_address: str
    mac_address: Maybe = UNSET


class DhcpOption(Body):
    """A DHCP option for the port; a null value takes it away."""

    opt_name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    opt_value: Text255 | int | None = None
    ip_version: int | UnsetType = UNSET


class PortChange(Named):
    """What may be changed of a port."""

    admin_state_up: Flag = UNSET
    fixed_ips: list[FixedIp] | UnsetType | None = UNSET
    mac_address: Maybe = UNSET
    device_id: Maybe = UNSET
    device_owner: Maybe = UNSET
    security_groups: list[str] | UnsetType | None = UNSET
    port_security_enabled: Flag = UNSET
    allowed_address_pairs: list[Pair] | UnsetType | None = UNSET
    extra_dhcp_opts: list[DhcpOption] | UnsetType | None = UNSET
    dns_name: Maybe = UNSET
    host_id: Maybe = field(name="binding:host_id", default=UNSET)
    vnic_type: Maybe = field(name="binding:vnic_type", default=UNSET)
    profile: dict[str, Any] | UnsetType | None = field(name="binding:profile", default=UNSET)
    qos_policy_id: Maybe = UNSET


class NewPort(PortChange, kw_only=True):
    """A port."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET
    network_id: Id


class CreatePort(Body):
    """One port, or several."""

    port: NewPort | UnsetType = UNSET
    ports: list[NewPort] | UnsetType = UNSET


class UpdatePort(Body):
    """A change."""

    port: PortChange
