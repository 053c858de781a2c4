"""Routes of servers' security groups, and Compute's old face of groups and rules (up to 2.35), which Network serves.

Source: Compute API v2.1, "Servers - run an action", "Security groups", "Rules for security group".
"""

import ipaddress
from typing import Annotated, Any

import msgspec

from andromede.core.context import Context
from andromede.core.errors import BadRequest
from andromede.core.ids import is_id
from andromede.http.wire import Body
from andromede.services.compute import servers, state
from andromede.services.compute.api import api, member, reader
from andromede.services.network import service as network

_GROUPS, _GROUP = "/os-security-groups", "/os-security-groups/{security_group_id}"
_RULES, _RULE = "/os-security-group-rules", "/os-security-group-rules/{rule_id}"
_ACTION = "/servers/{server_id}/action"
_OLD = ("2.1", "2.35")
_PROTOCOLS = ("tcp", "udp", "icmp")
_ANY = -1

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Number = Annotated[int, msgspec.Meta(ge=-1, le=65535)]


class ByName(Body):
    """`addSecurityGroup` and `removeSecurityGroup`."""

    name: Name


class GroupFacts(msgspec.Struct, forbid_unknown_fields=True):
    """A security group."""

    name: Name
    description: Annotated[str, msgspec.Meta(max_length=255)]


class GroupBody(Body):
    """`{"security_group": …}`."""

    security_group: GroupFacts


class RuleFacts(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a rule lets in."""

    parent_group_id: str
    ip_protocol: str | None = None
    from_port: Number | None = None
    to_port: Number | None = None
    cidr: str | None = None
    group_id: str | None = None


class RuleBody(Body):
    """`{"security_group_rule": …}`."""

    security_group_rule: RuleFacts


@api.get("/servers/{server_id}/os-security-groups", policy=reader("os-security-groups:list"))
def list_of_server(ctx: Context, server_id: str) -> dict[str, Any]:
    """The groups that a server's ports are in."""
    servers.find(ctx, server_id)
    return {"security_groups": network.security.groups_of(ctx, server_id)}


def _mine(ctx: Context, server_id: str) -> None:
    row = servers.find(ctx, server_id)
    state.unlocked(row, admin=ctx.caller.admin)
    state.require(row, "change security groups", "active", "stopped", "paused", "suspended", "rescued", "resized", "building", idle=False)


@api.action(_ACTION, "addSecurityGroup", policy=member("os-security-groups:add"))
def add_to_server(ctx: Context, server_id: str, body: ByName) -> None:
    """Put a server's ports in a group. 404 for an unknown one."""
    _mine(ctx, server_id)
    network.security.add_group(ctx, server_id, body.name)


@api.action(_ACTION, "removeSecurityGroup", policy=member("os-security-groups:remove"))
def remove_from_server(ctx: Context, server_id: str, body: ByName) -> None:
    """Take a server's ports out of a group. 404 where they are not in it."""
    _mine(ctx, server_id)
    network.security.remove_group(ctx, server_id, body.name)


@api.get(_GROUPS, policy=reader("os-security-groups:get"), versions=_OLD, tx="none")
def list_groups(ctx: Context) -> dict[str, Any]:
    """The project's security groups."""
    return {"security_groups": network.security.list_groups(ctx)}


@api.get(_GROUP, policy=reader("os-security-groups:show"), versions=_OLD)
def show_group(ctx: Context, security_group_id: str) -> dict[str, Any]:
    """One security group with what it lets in."""
    return {"security_group": network.security.show_group(ctx, security_group_id)}


@api.post(_GROUPS, policy=member("os-security-groups:create"), versions=_OLD)
def create_group(ctx: Context, body: GroupBody) -> dict[str, Any]:
    """Make a security group. 403 over the quota."""
    wanted = body.security_group
    return {"security_group": network.security.create_group(ctx, _name(wanted), wanted.description)}


def _name(wanted: GroupFacts) -> str:
    if not wanted.name.strip():
        raise BadRequest("Invalid input for field/attribute name. It must not be blank.")
    return wanted.name


@api.put(_GROUP, policy=member("os-security-groups:update"), versions=_OLD)
def update_group(ctx: Context, security_group_id: str, body: GroupBody) -> dict[str, Any]:
    """Rename a security group."""
    wanted = body.security_group
    return {"security_group": network.security.change_group(ctx, security_group_id, _name(wanted), wanted.description)}


@api.delete(_GROUP, policy=member("os-security-groups:delete"), versions=_OLD, status=202)
def delete_group(ctx: Context, security_group_id: str) -> None:
    """Delete a security group. 400 while it is in use."""
    network.security.delete_group(ctx, security_group_id)


@api.post(_RULES, policy=member("os-security-groups:rule:create"), versions=_OLD)
def create_rule(ctx: Context, body: RuleBody) -> dict[str, Any]:
    """Let something in. 400 for what contradicts itself, or is let in already."""
    wanted = body.security_group_rule
    protocol = wanted.ip_protocol.lower() if wanted.ip_protocol else None
    if protocol is not None and protocol not in _PROTOCOLS:
        raise BadRequest(f"Invalid IP protocol {wanted.ip_protocol}.")
    for field, value in (("parent_group_id", wanted.parent_group_id), ("group_id", wanted.group_id)):
        if value is not None and not is_id(value):
            raise BadRequest(f"Invalid input for field/attribute {field}. It is not an id.")
    if wanted.cidr:
        try:
            ipaddress.ip_network(wanted.cidr, strict=False)
        except ValueError as error:
            raise BadRequest(f"Invalid cidr {wanted.cidr}") from error
    low, high = wanted.from_port, wanted.to_port
    ports = protocol in ("tcp", "udp")
    if ports and (low in (None, _ANY) or high in (None, _ANY) or (low or 0) > (high or 0)) and not low == high == _ANY:
        raise BadRequest(f"Invalid port range {low}:{high}. Former value cannot be greater than the later")
    made = network.security.create_rule(
        ctx, wanted.parent_group_id, protocol=protocol, low=low, high=high, cidr=wanted.cidr, remote=wanted.group_id
    )
    return {"security_group_rule": made}


@api.delete(_RULE, policy=member("os-security-groups:rule:delete"), versions=_OLD, status=202)
def delete_rule(ctx: Context, rule_id: str) -> None:
    """Take a rule away."""
    network.security.delete_rule(ctx, rule_id)
