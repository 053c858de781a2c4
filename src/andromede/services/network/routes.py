"""All routes of Network: importing this declares them."""

from andromede.services.network import (
    quotas,
    routes_addresses,
    routes_agents,
    routes_bindings,
    routes_forwards,
    routes_groups,
    routes_info,
    routes_networks,
    routes_ports,
    routes_qos,
    routes_quotas,
    routes_rbac,
    routes_routers,
    routes_subnets,
    routes_tags,
    routes_topologies,
    routes_trunks,
)  # fmt: skip
from andromede.services.network.api import api, root

APIS = (root, api)
__all__ = [
    "APIS", "quotas", "routes_addresses", "routes_agents", "routes_bindings", "routes_forwards", "routes_groups", "routes_info",
    "routes_networks", "routes_ports", "routes_qos", "routes_quotas", "routes_rbac", "routes_routers", "routes_subnets", "routes_tags",
    "routes_topologies", "routes_trunks",
]  # fmt: skip
