"""Requests of routers, floating IPs, security groups, quotas and the like. Source: Networking API v2.0."""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, UnsetType

from andromede.http.wire import Body, Text255
from andromede.services.network.wire import Count, FixedIp, Flag, Hints, HostRoute, Id, Maybe, Named, Port16, Text, Unserved

Target = Annotated[str, msgspec.Meta(max_length=64)]


class Gateway(Body):
    """The way out of a router."""

    network_id: Maybe = UNSET
    enable_snat: Flag = UNSET
    external_fixed_ips: list[FixedIp] | UnsetType = UNSET
    qos_policy_id: Unserved = UNSET


class RouterChange(Named):
    """What may be changed of a router."""

    admin_state_up: Flag = UNSET
    external_gateway_info: Gateway | UnsetType | None = UNSET
    routes: list[HostRoute] | UnsetType | None = UNSET
    distributed: bool | UnsetType | None = UNSET
    ha: bool | UnsetType | None = UNSET


class NewRouter(RouterChange):
    """A router."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET
    availability_zone_hints: Hints = UNSET


class CreateRouter(Body):
    """One router, or several."""

    router: NewRouter | UnsetType = UNSET
    routers: list[NewRouter] | UnsetType = UNSET


class UpdateRouter(Body):
    """A change."""

    router: RouterChange


class Interface(Body):
    """What is joined to a router: a subnet or a port."""

    subnet_id: Maybe = UNSET
    port_id: Maybe = UNSET


class Routes(Body):
    """Routes to be added or removed."""

    routes: list[HostRoute]


class RouterRoutes(Body):
    """The same under its name."""

    router: Routes


class FloatingChange(Body):
    """What may be changed of a floating IP."""

    description: Text = UNSET
    port_id: Maybe = UNSET
    fixed_ip_address: Maybe = UNSET
    qos_policy_id: Maybe = UNSET


class NewFloating(FloatingChange, kw_only=True):
    """A floating IP."""

    floating_network_id: Id
    floating_ip_address: Maybe = UNSET
    subnet_id: Maybe = UNSET
    dns_name: Maybe = UNSET
    dns_domain: Maybe = UNSET
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateFloating(Body):
    """One floating IP, or several."""

    floatingip: NewFloating | UnsetType = UNSET
    floatingips: list[NewFloating] | UnsetType = UNSET


class UpdateFloating(Body):
    """A change."""

    floatingip: FloatingChange


class ForwardChange(Body):
    """A rule of port forwarding."""

    internal_port_id: Maybe = UNSET
    internal_ip_address: Maybe = UNSET
    internal_port: Count = UNSET
    external_port: Count = UNSET
    internal_port_range: Maybe = UNSET
    external_port_range: Maybe = UNSET
    protocol: Maybe = UNSET
    description: Text = UNSET
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateForward(Body):
    """One rule."""

    port_forwarding: ForwardChange


class UpdateForward(Body):
    """A change."""

    port_forwarding: ForwardChange


class GroupChange(Named):
    """What may be changed of a security group."""

    stateful: Flag = UNSET


class NewGroup(GroupChange):
    """A security group."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateGroup(Body):
    """One security group, or several."""

    security_group: NewGroup | UnsetType = UNSET
    security_groups: list[NewGroup] | UnsetType = UNSET


class UpdateGroup(Body):
    """A change."""

    security_group: GroupChange


class RuleFacts(Body):
    """What a rule lets through."""

    direction: str
    ethertype: str | UnsetType | None = UNSET
    protocol: str | int | UnsetType | None = UNSET
    port_range_min: Port16 | UnsetType | None = UNSET
    port_range_max: Port16 | UnsetType | None = UNSET
    remote_ip_prefix: Maybe = UNSET
    remote_group_id: Maybe = UNSET
    remote_address_group_id: Maybe = UNSET
    description: Text = UNSET


class NewRule(RuleFacts, kw_only=True):
    """A rule of a security group."""

    security_group_id: Id
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateRule(Body):
    """One rule, or several."""

    security_group_rule: NewRule | UnsetType = UNSET
    security_group_rules: list[NewRule] | UnsetType = UNSET


class NewDefaultRule(RuleFacts):
    """A rule that new groups begin with."""

    used_in_default_sg: Flag = UNSET
    used_in_non_default_sg: Flag = UNSET


class CreateDefaultRule(Body):
    """One default rule, or several."""

    default_security_group_rule: NewDefaultRule | UnsetType = UNSET
    default_security_group_rules: list[NewDefaultRule] | UnsetType = UNSET


class NewRbac(Body):
    """A rule that lets a project use something."""

    object_type: str
    object_id: Id
    action: str
    target_tenant: Target | UnsetType | None = UNSET
    target_project: Target | UnsetType | None = UNSET
    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreateRbac(Body):
    """One rule."""

    rbac_policy: NewRbac


class RbacChange(Body):
    """What may be changed of a rule."""

    target_tenant: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | UnsetType = UNSET
    target_project: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | UnsetType = UNSET


class UpdateRbac(Body):
    """A change."""

    rbac_policy: RbacChange


class Quota(Body):
    """Limits by resource; -1 is none."""

    quota: dict[str, Any]


class BindingChange(Body):
    """What may be changed of a port's binding to a host."""

    vnic_type: Maybe = UNSET
    profile: dict[str, Any] | UnsetType | None = UNSET
    host: Maybe = UNSET


class NewBinding(BindingChange, kw_only=True):
    """A binding."""

    host: Text255
    project_id: Maybe = UNSET


class CreateBinding(Body):
    """One binding."""

    binding: NewBinding


class UpdateBinding(Body):
    """A change."""

    binding: BindingChange


class Tags(Body):
    """All tags of a resource."""

    tags: list[Annotated[Text255, msgspec.Meta(min_length=1)]]
