"""Routes of endpoint groups and of what projects' catalogs are limited to (OS-EP-FILTER)."""

from typing import Any

from andromede.core.context import Context
from andromede.services.identity import catalog, projects
from andromede.services.identity import endpoint_filters as filters
from andromede.services.identity.listing import collection
from andromede.services.identity.rights import admins
from andromede.services.identity.routes_auth import api

_EP = "/OS-EP-FILTER"
_GROUPS, _GROUP = _EP + "/endpoint_groups", _EP + "/endpoint_groups/{endpoint_group_id}"
_GROUP_PROJECT = _GROUP + "/projects/{project_id}"
_PROJECT = _EP + "/projects/{project_id}"
_PROJECT_ENDPOINT = _PROJECT + "/endpoints/{endpoint_id}"


def _endpoints(ctx: Context, rows: list[Any], path: str) -> dict[str, Any]:
    return collection(ctx, "endpoints", [catalog.endpoint_view(ctx, row) for row in rows], path=path)


def _projects(ctx: Context, rows: list[Any], path: str) -> dict[str, Any]:
    return collection(ctx, "projects", [projects.view(ctx, row) for row in rows], path=path)


@api.post(_GROUPS, policy=admins("create_endpoint_group"), status=201)
def create_endpoint_group(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a group: the endpoints of a service, a region and an interface, as far as `filters` names them."""
    return {"endpoint_group": filters.group_view(ctx, filters.create_group(ctx, body))}


@api.get(_GROUPS, policy=admins("list_endpoint_groups"))
def list_endpoint_groups(ctx: Context) -> dict[str, Any]:
    """The endpoint groups."""
    rows, following = filters.groups(ctx)
    items = [filters.group_view(ctx, row) for row in rows]
    return collection(ctx, "endpoint_groups", items, path="OS-EP-FILTER/endpoint_groups", following=following)


@api.get(_GROUP, policy=admins("get_endpoint_group"))
def show_endpoint_group(ctx: Context, endpoint_group_id: str) -> dict[str, Any]:
    """One endpoint group."""
    return {"endpoint_group": filters.group_view(ctx, filters.find_group(ctx, endpoint_group_id))}


@api.patch(_GROUP, policy=admins("update_endpoint_group"))
def update_endpoint_group(ctx: Context, endpoint_group_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change an endpoint group."""
    return {"endpoint_group": filters.group_view(ctx, filters.change_group(ctx, endpoint_group_id, body))}


@api.delete(_GROUP, policy=admins("delete_endpoint_group"))
def delete_endpoint_group(ctx: Context, endpoint_group_id: str) -> None:
    """Delete an endpoint group."""
    filters.remove_group(ctx, endpoint_group_id)


@api.get(_GROUP + "/endpoints", policy=admins("list_endpoints_associated_with_endpoint_group"))
def list_endpoints_of_group(ctx: Context, endpoint_group_id: str) -> dict[str, Any]:
    """The endpoints that a group means now."""
    return _endpoints(ctx, filters.endpoints_of_group(ctx, endpoint_group_id), f"OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/endpoints")


@api.get(_GROUP + "/projects", policy=admins("list_projects_associated_with_endpoint_group"))
def list_projects_of_group(ctx: Context, endpoint_group_id: str) -> dict[str, Any]:
    """The projects whose catalogs are limited to a group."""
    return _projects(ctx, filters.projects_of(ctx, "group", endpoint_group_id), f"OS-EP-FILTER/endpoint_groups/{endpoint_group_id}/projects")


@api.put(_GROUP_PROJECT, policy=admins("add_endpoint_group_to_project"), status=204)
def add_group_to_project(ctx: Context, endpoint_group_id: str, project_id: str) -> None:
    """Limit a project's catalog to a group, and to what else it is limited to."""
    filters.add(ctx, project_id, "group", endpoint_group_id)


@api.get(_GROUP_PROJECT, policy=admins("get_endpoint_group_in_project"))
def show_group_in_project(ctx: Context, endpoint_group_id: str, project_id: str) -> dict[str, Any]:
    """The group, where the project's catalog is limited to it; 404 otherwise."""
    filters.check(ctx, project_id, "group", endpoint_group_id)
    return {"endpoint_group": filters.group_view(ctx, filters.find_group(ctx, endpoint_group_id))}


@api.delete(_GROUP_PROJECT, policy=admins("remove_endpoint_group_from_project"))
def remove_group_from_project(ctx: Context, endpoint_group_id: str, project_id: str) -> None:
    """Limit a project's catalog to a group no more."""
    filters.take(ctx, project_id, "group", endpoint_group_id)


@api.get(_PROJECT + "/endpoint_groups", policy=admins("list_endpoint_groups_for_project"))
def list_groups_of_project(ctx: Context, project_id: str) -> dict[str, Any]:
    """The groups that a project's catalog is limited to."""
    items = [filters.group_view(ctx, row) for row in filters.groups_of(ctx, project_id)]
    return collection(ctx, "endpoint_groups", items, path=f"OS-EP-FILTER/projects/{project_id}/endpoint_groups")


@api.get(_PROJECT + "/endpoints", policy=admins("list_endpoints_for_project"))
def list_endpoints_of_project(ctx: Context, project_id: str) -> dict[str, Any]:
    """The endpoints that a project's catalog is limited to; none where it is not limited."""
    return _endpoints(ctx, filters.endpoints_of(ctx, project_id), f"OS-EP-FILTER/projects/{project_id}/endpoints")


@api.get(_EP + "/endpoints/{endpoint_id}/projects", policy=admins("list_projects_for_endpoint"))
def list_projects_of_endpoint(ctx: Context, endpoint_id: str) -> dict[str, Any]:
    """The projects whose catalogs are limited to an endpoint."""
    return _projects(ctx, filters.projects_of(ctx, "endpoint", endpoint_id), f"OS-EP-FILTER/endpoints/{endpoint_id}/projects")


@api.put(_PROJECT_ENDPOINT, policy=admins("add_endpoint_to_project"), status=204)
def add_endpoint_to_project(ctx: Context, project_id: str, endpoint_id: str) -> None:
    """Limit a project's catalog to an endpoint, and to what else it is limited to."""
    filters.add(ctx, project_id, "endpoint", endpoint_id)


@api.get(_PROJECT_ENDPOINT, policy=admins("check_endpoint_in_project"), status=204)
def check_endpoint_in_project(ctx: Context, project_id: str, endpoint_id: str) -> None:
    """Whether a project's catalog is limited to an endpoint: 204, or 404."""
    filters.check(ctx, project_id, "endpoint", endpoint_id)


@api.delete(_PROJECT_ENDPOINT, policy=admins("remove_endpoint_from_project"))
def remove_endpoint_from_project(ctx: Context, project_id: str, endpoint_id: str) -> None:
    """Limit a project's catalog to an endpoint no more."""
    filters.take(ctx, project_id, "endpoint", endpoint_id)
