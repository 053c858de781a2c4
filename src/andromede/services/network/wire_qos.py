"""Requests of QoS policies and their rules. Source: Networking API v2.0, QoS policies."""

from msgspec import UNSET, UnsetType

from andromede.http.wire import Body
from andromede.services.network.wire import Flag, Maybe, Named


class PolicyChange(Named):
    """What may be changed of a policy."""

    shared: Flag = UNSET
    is_default: Flag = UNSET


class NewPolicy(PolicyChange):
    """A policy."""

    project_id: Maybe = UNSET
    tenant_id: Maybe = UNSET


class CreatePolicy(Body):
    """One policy, or several."""

    policy: NewPolicy | UnsetType = UNSET
    policies: list[NewPolicy] | UnsetType = UNSET


class UpdatePolicy(Body):
    """A change."""

    policy: PolicyChange


class RuleFacts(Body):
    """What a rule says, of either type."""

    max_kbps: int | UnsetType = UNSET
    max_burst_kbps: int | UnsetType = UNSET
    direction: str | UnsetType = UNSET
    dscp_mark: int | UnsetType = UNSET


class BandwidthRule(Body):
    """A limit of bandwidth."""

    bandwidth_limit_rule: RuleFacts


class DscpRule(Body):
    """A mark for packets."""

    dscp_marking_rule: RuleFacts


class BandwidthRuleAlias(Body):
    """A limit of bandwidth, where no policy is in the path."""

    alias_bandwidth_limit_rule: RuleFacts


class DscpRuleAlias(Body):
    """A mark for packets, where no policy is in the path."""

    alias_dscp_marking_rule: RuleFacts
