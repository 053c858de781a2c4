"""Routes of the catalog: regions, services, endpoints; and of stored policies."""

from typing import Any

from andromede.core.context import Context
from andromede.services.identity import catalog
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import Target, admins, everyone, policy, require
from andromede.services.identity.routes_auth import api
from andromede.services.identity.tables import endpoint, region, service, stored_policy


@api.post("/regions", policy=admins("create_region"), status=201)
def create_region(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a region."""
    return {"region": catalog.region_view(ctx, catalog.create_region(ctx, body))}


@api.put("/regions/{region_id}", policy=admins("create_region"), status=201)
def create_region_of_id(ctx: Context, region_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create a region with an id of the caller's choice."""
    return {"region": catalog.region_view(ctx, catalog.create_region(ctx, body, region_id))}


@api.get("/regions", policy=everyone("list_regions"))
def list_regions(ctx: Context) -> dict[str, Any]:
    """The regions asked for."""
    rows, following = catalog.regions(ctx)
    return collection(ctx, "regions", [catalog.region_view(ctx, row) for row in rows], following=following)


@api.get("/regions/{region_id}", policy=everyone("get_region"))
def show_region(ctx: Context, region_id: str) -> dict[str, Any]:
    """One region."""
    return {"region": catalog.region_view(ctx, catalog.find(ctx, region, "region", region_id))}


@api.patch("/regions/{region_id}", policy=admins("update_region"))
def update_region(ctx: Context, region_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a region."""
    return {"region": catalog.region_view(ctx, catalog.change_region(ctx, region_id, body))}


@api.delete("/regions/{region_id}", policy=admins("delete_region"))
def delete_region(ctx: Context, region_id: str) -> None:
    """Delete a region."""
    catalog.remove_region(ctx, region_id)


@api.post("/services", policy=admins("create_service"), status=201)
def create_service(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a service."""
    return {"service": catalog.service_view(ctx, catalog.create_service(ctx, body))}


@api.get("/services", policy=policy("read_services"))
def list_services(ctx: Context) -> dict[str, Any]:
    """The services asked for."""
    require(ctx, "read_services", Target())
    rows, following = catalog.services(ctx)
    return collection(ctx, "services", [catalog.service_view(ctx, row) for row in rows], following=following)


@api.get("/services/{service_id}", policy=policy("read_services"))
def show_service(ctx: Context, service_id: str) -> dict[str, Any]:
    """One service."""
    require(ctx, "read_services", Target())
    return {"service": catalog.service_view(ctx, catalog.find(ctx, service, "service", service_id))}


@api.patch("/services/{service_id}", policy=admins("update_service"))
def update_service(ctx: Context, service_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a service."""
    return {"service": catalog.service_view(ctx, catalog.change_service(ctx, service_id, body))}


@api.delete("/services/{service_id}", policy=admins("delete_service"))
def delete_service(ctx: Context, service_id: str) -> None:
    """Delete a service."""
    catalog.remove_service(ctx, service_id)


@api.post("/endpoints", policy=admins("create_endpoint"), status=201)
def create_endpoint(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create an endpoint."""
    return {"endpoint": catalog.endpoint_view(ctx, catalog.create_endpoint(ctx, body))}


@api.get("/endpoints", policy=policy("read_endpoints"))
def list_endpoints(ctx: Context) -> dict[str, Any]:
    """The endpoints asked for."""
    require(ctx, "read_endpoints", Target())
    rows, following = catalog.endpoints(ctx)
    return collection(ctx, "endpoints", [catalog.endpoint_view(ctx, row) for row in rows], following=following)


@api.get("/endpoints/{endpoint_id}", policy=policy("read_endpoints"))
def show_endpoint(ctx: Context, endpoint_id: str) -> dict[str, Any]:
    """One endpoint."""
    require(ctx, "read_endpoints", Target())
    return {"endpoint": catalog.endpoint_view(ctx, catalog.find(ctx, endpoint, "endpoint", endpoint_id))}


@api.patch("/endpoints/{endpoint_id}", policy=admins("update_endpoint"))
def update_endpoint(ctx: Context, endpoint_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change an endpoint."""
    return {"endpoint": catalog.endpoint_view(ctx, catalog.change_endpoint(ctx, endpoint_id, body))}


@api.delete("/endpoints/{endpoint_id}", policy=admins("delete_endpoint"))
def delete_endpoint(ctx: Context, endpoint_id: str) -> None:
    """Delete an endpoint."""
    catalog.remove_endpoint(ctx, endpoint_id)


@api.post("/policies", policy=admins("create_policy"), status=201)
def create_policy(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a policy."""
    return {"policy": catalog.policy_view(ctx, catalog.create_policy(ctx, body))}


@api.get("/policies", policy=policy("read_policies"))
def list_policies(ctx: Context) -> dict[str, Any]:
    """The policies asked for."""
    require(ctx, "read_policies", Target())
    rows, following = catalog.policies(ctx)
    return collection(ctx, "policies", [catalog.policy_view(ctx, row) for row in rows], following=following)


@api.get("/policies/{policy_id}", policy=policy("read_policies"))
def show_policy(ctx: Context, policy_id: str) -> dict[str, Any]:
    """One policy."""
    require(ctx, "read_policies", Target())
    return {"policy": catalog.policy_view(ctx, catalog.find(ctx, stored_policy, "policy", policy_id))}


@api.patch("/policies/{policy_id}", policy=admins("update_policy"))
def update_policy(ctx: Context, policy_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a policy."""
    return {"policy": catalog.policy_view(ctx, catalog.change_policy(ctx, policy_id, body))}


@api.delete("/policies/{policy_id}", policy=admins("delete_policy"))
def delete_policy(ctx: Context, policy_id: str) -> None:
    """Delete a policy."""
    catalog.remove_policy(ctx, policy_id)
