"""The refusals that several resources share, with the names Neutron gives them (`type` on the wire)."""

from andromede.core.errors import BadRequest, Conflict, NotFound

_MISSING = {
    "network": ("NetworkNotFound", "Network {} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {} could not be found."),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    "address_scope": ("AddressScopeNotFound", "Address scope {} could not be found."),
    "port": ("PortNotFound", "Port {} could not be found."),
    "router": ("RouterNotFound", "Router {} could not be found"),
    "floatingip": ("FloatingIPNotFound", "Floating IP {} could not be found"),
    "security_group": ("SecurityGroupNotFound", "Security group {} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    "default_security_group_rule": ("DefaultSecurityGroupRuleNotFound", "Default Security Group rule {} does not exist"),
    "policy": ("QosPolicyNotFound", "QoS policy {} could not be found."),
    "address_group": ("AddressGroupNotFound", "Address group {} could not be found."),
    "trunk": ("TrunkNotFound", "Trunk {} could not be found."),
    "port_forwarding": ("PortForwardingNotFound", "Port Forwarding {} could not be found."),
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy of type network with ID {} not found"),
}


def missing(name: str, id_: str) -> NotFound:
    """There is no such resource, as far as the caller may know."""
    kind, text = _MISSING[name]
    return NotFound(text.format(id_), kind=kind)


def invalid(message: str) -> BadRequest:
    """A value that is not allowed."""
    return BadRequest(f"Invalid input for operation: {message}", kind="InvalidInput")


def wrong(field: str, reason: str) -> BadRequest:
    """A value of the wrong form."""
    return BadRequest(f"Invalid input for {field}. Reason: {reason}.", kind="HTTPBadRequest")


def taken(network_id: str, address: str) -> Conflict:
    """The address is somebody's."""
    return Conflict(f"Unable to complete operation for network {network_id}. The IP address {address} is in use.", kind="IpAddressInUse")


def exhausted(what: str) -> Conflict:
    """No address is left. `what`: `network <id>` or `subnet <id>`."""
    return Conflict(f"No more IP addresses available on {what}.", kind="IpAddressGenerationFailure")
