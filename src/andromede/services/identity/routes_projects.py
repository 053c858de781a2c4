"""Routes of domains and projects, and of the tags of projects."""

from typing import Any

from andromede.core.context import Context
from andromede.http.response import Response
from andromede.services.identity import domains, projects
from andromede.services.identity.fields import tags
from andromede.services.identity.listing import collection, link
from andromede.services.identity.rights import admins, policy
from andromede.services.identity.routes_auth import api

_DOMAIN, _PROJECT = "/domains/{domain_id}", "/projects/{project_id}"


@api.post("/domains", policy=admins("create_domain"), status=201)
def create_domain(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a domain. 409 where its name is taken."""
    return {"domain": domains.view(ctx, domains.create(ctx, body))}


@api.get("/domains", policy=policy("list_domains"))
def list_domains(ctx: Context) -> dict[str, Any]:
    """The domains that the caller may see."""
    rows, following = domains.listed(ctx)
    return collection(ctx, "domains", [domains.view(ctx, row) for row in rows], following=following)


@api.get(_DOMAIN, policy=policy("get_domain"))
def show_domain(ctx: Context, domain_id: str) -> dict[str, Any]:
    """One domain."""
    return {"domain": domains.view(ctx, domains.find(ctx, domain_id))}


@api.patch(_DOMAIN, policy=admins("update_domain"))
def update_domain(ctx: Context, domain_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a domain; disabling it ends what its users and projects may do."""
    return {"domain": domains.view(ctx, domains.change(ctx, domain_id, body))}


@api.delete(_DOMAIN, policy=admins("delete_domain"))
def delete_domain(ctx: Context, domain_id: str) -> None:
    """Delete a disabled domain and all that is in it. 403 while it is enabled."""
    domains.remove(ctx, domain_id)


@api.post("/projects", policy=policy("create_project"), status=201)
def create_project(ctx: Context, body: dict[str, Any]) -> dict[str, Any]:
    """Create a project. 409 where its name is taken in the domain; 403 below the deepest level."""
    return {"project": projects.view(ctx, projects.create(ctx, body))}


@api.get("/projects", policy=policy("list_projects"))
def list_projects(ctx: Context) -> dict[str, Any]:
    """The projects that the caller may see."""
    rows, following = projects.listed(ctx)
    return collection(ctx, "projects", [projects.view(ctx, row) for row in rows], following=following)


@api.get(_PROJECT, policy=policy("get_project"))
def show_project(ctx: Context, project_id: str) -> dict[str, Any]:
    """One project, with its parents and subtree where they are asked for."""
    row = projects.find(ctx, project_id)
    return {"project": projects.view(ctx, row) | projects.family(ctx, row)}


@api.patch(_PROJECT, policy=policy("update_project"))
def update_project(ctx: Context, project_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change a project; it cannot be moved."""
    return {"project": projects.view(ctx, projects.change(ctx, project_id, body))}


@api.delete(_PROJECT, policy=policy("delete_project"))
def delete_project(ctx: Context, project_id: str) -> None:
    """Delete a project without children, and the roles on it."""
    projects.remove(ctx, project_id)


@api.get(_PROJECT + "/tags", policy=policy("list_project_tags"))
def list_tags(ctx: Context, project_id: str) -> dict[str, Any]:
    """A project's tags."""
    return _tags(ctx, project_id, projects.find(ctx, project_id, "list_project_tags").tags)


def _tags(ctx: Context, project_id: str, values: list[str]) -> dict[str, Any]:
    return {"tags": values, "links": {"self": link(ctx, "projects", project_id, "tags"), "next": None, "previous": None}}


@api.put(_PROJECT + "/tags", policy=policy("update_project_tags"))
def replace_tags(ctx: Context, project_id: str, body: dict[str, Any]) -> dict[str, Any]:
    """Give a project exactly these tags."""
    return _tags(ctx, project_id, projects.set_tags(ctx, project_id, tags("tags", body.get("tags"))))


@api.delete(_PROJECT + "/tags", policy=policy("update_project_tags"))
def delete_tags(ctx: Context, project_id: str) -> None:
    """Take all tags away."""
    projects.set_tags(ctx, project_id, [])


@api.get(_PROJECT + "/tags/{tag}", policy=policy("list_project_tags"), status=204)
def check_tag(ctx: Context, project_id: str, tag: str) -> None:
    """Whether a project has a tag: 204 or 404."""
    projects.require_tag(projects.find(ctx, project_id, "list_project_tags"), tag)


@api.put(_PROJECT + "/tags/{tag}", policy=policy("update_project_tags"), status=201)
def add_tag(ctx: Context, project_id: str, tag: str) -> Response:
    """Add one tag."""
    projects.add_tag(ctx, project_id, tag)
    return Response(status=201, headers=[("location", link(ctx, "projects", project_id, "tags", tag))])


@api.delete(_PROJECT + "/tags/{tag}", policy=policy("update_project_tags"))
def delete_tag(ctx: Context, project_id: str, tag: str) -> None:
    """Take one tag away."""
    projects.remove_tag(ctx, project_id, tag)
