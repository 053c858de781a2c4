"""Routes of what Data Processing has: versions, the plugin, images, types of jobs. Source: Data Processing API v1.1 and v2."""

from typing import Any

from msgspec import UNSET

from andromede.core.context import Context
from andromede.http.policy import Level, Policy
from andromede.http.response import Response
from andromede.services.hadoop import plugin, registry
from andromede.services.hadoop.api import V1, V2, both, member, newer, reader, root, wrong
from andromede.services.hadoop.words import Registered, Tags

_IMAGE = "/images/{image_id}"


@root.get("", policy=Policy("hadoop:versions", Level.PUBLIC), tx="none", status=300)
def list_versions(ctx: Context) -> dict[str, Any]:
    """The versions of Data Processing."""

    def one(name: str, status: str, **more: str) -> dict[str, Any]:
        return {"id": name, "status": status, "links": [{"rel": "self", "href": f"{ctx.base}/{name}/"}], **more}

    return {"versions": [one("v1.1", "SUPPORTED"), one("v2", "CURRENT", min_version="2.0", max_version="2.0")]}


@both("get", "/plugins", policy=reader("plugins:list"), tx="none")
def list_plugins(ctx: Context) -> dict[str, Any]:
    """The plugins: one."""
    return {"plugins": [plugin.brief(new=newer(ctx))]}


@both("get", "/plugins/{plugin_name}", policy=reader("plugins:show"), tx="none")
def show_plugin(ctx: Context, plugin_name: str) -> dict[str, Any]:
    """A plugin."""
    plugin.find(plugin_name)
    return {"plugin": plugin.brief(new=newer(ctx))}


@both("get", "/plugins/{plugin_name}/{version}", policy=reader("plugins:show_version"), tx="none")
def show_plugin_version(ctx: Context, plugin_name: str, version: str) -> dict[str, Any]:
    """A version of a plugin: what nodes can run, what can be set, which tags its images have."""
    plugin.find(plugin_name, version)
    return {"plugin": plugin.full(new=newer(ctx))}


@both("patch", "/plugins/{plugin_name}", policy=Policy("hadoop:plugins:change", Level.ADMIN, wide=True), status=202, tx="none")
def change_plugin(ctx: Context, plugin_name: str, body: dict[str, Any]) -> dict[str, Any]:
    """Change the labels of a plugin, none of which can be changed here. Errors: 400 for any that is named."""
    plugin.find(plugin_name)
    if body:
        raise wrong("plugin_labels: the labels of this plugin can't be changed")
    return {"plugin": plugin.brief(new=newer(ctx))}


@both("get", "/job-types", policy=reader("job-types:list"), tx="none")
def list_job_types(ctx: Context) -> dict[str, Any]:
    """The types of jobs that clusters run; `type`, `plugin`, `version` (several times) choose among them, `hints` tells what can be set."""
    kinds, plugins = ctx.query.all("type"), ctx.query.all("plugin")
    versions = ctx.query.all("plugin_version") + ctx.query.all("hadoop_version") + ctx.query.all("version")
    if (plugins and plugin.NAME not in plugins) or (versions and plugin.VERSION not in versions):
        return {"job_types": []}
    hints = (ctx.query.get("hints") or "false").lower() == "true"
    facts = {name: value for name, value in plugin.brief(new=newer(ctx)).items() if name in ("name", "title", "description")}
    return {
        "job_types": [
            {"name": kind, "plugins": [facts | {"versions": {plugin.VERSION: plugin.hints(kind) if hints else {}}}]}
            for kind in plugin.JOBS
            if not kinds or kind in kinds
        ]
    }


@V1.get("/jobs/config-hints/{job_type}", policy=reader("job-types:hints"), tx="none")
@V2.get("/job-templates/config-hints/{job_type}", policy=reader("job-types:hints"), tx="none")
def show_hints(_ctx: Context, job_type: str) -> dict[str, Any]:
    """What can be set for a type of job."""
    return plugin.hints(job_type)


@both("get", "/images", policy=reader("images:list"))
def list_images(ctx: Context) -> dict[str, Any]:
    """The registered images; `name`, and `tags` (several times), choose among them."""
    return {"images": registry.listed(ctx, name=ctx.query.get("name"), tags=ctx.query.all("tags"))}


@both("get", _IMAGE, policy=reader("images:show"))
def show_image(ctx: Context, image_id: str) -> dict[str, Any]:
    """A registered image."""
    return {"image": registry.find(ctx, image_id)}


@both("post", _IMAGE, policy=member("images:register"), status=202)
def register_image(ctx: Context, image_id: str, body: Registered) -> dict[str, Any]:
    """Register an image of the project's, with the user that it lets in. Errors: 403 another project's."""
    return {"image": registry.register(ctx, image_id, body.username, None if body.description is UNSET else body.description)}


@both("delete", _IMAGE, policy=member("images:unregister"))
def unregister_image(ctx: Context, image_id: str) -> None:
    """Forget what was registered; the image stays. Errors: 403 another project's."""
    registry.unregister(ctx, image_id)


@V1.post(_IMAGE + "/tag", policy=member("images:tag"), status=202)
def tag_image(ctx: Context, image_id: str, body: Tags) -> dict[str, Any]:
    """Give an image tags. Errors: 403 another project's."""
    return {"image": registry.change_tags(ctx, image_id, add=body.tags)}


@V1.post(_IMAGE + "/untag", policy=member("images:untag"), status=202)
def untag_image(ctx: Context, image_id: str, body: Tags) -> dict[str, Any]:
    """Take tags from an image. Errors: 403 another project's."""
    return {"image": registry.change_tags(ctx, image_id, drop=body.tags)}


@V2.get(_IMAGE + "/tags", policy=reader("images:tags"))
def list_tags(ctx: Context, image_id: str) -> dict[str, Any]:
    """The tags of an image."""
    return {"tags": registry.find(ctx, image_id)["tags"]}


@V2.put(_IMAGE + "/tags", policy=member("images:tag"), status=200)
def replace_tags(ctx: Context, image_id: str, body: Tags) -> dict[str, Any]:
    """Give an image exactly these tags. Errors: 403 another project's."""
    have = registry.find(ctx, image_id)["tags"]
    return {"image": registry.change_tags(ctx, image_id, add=body.tags, drop=[tag for tag in have if tag not in body.tags])}


@V2.delete(_IMAGE + "/tags", policy=member("images:untag"))
def drop_tags(ctx: Context, image_id: str) -> Response:
    """Take all tags from an image. Errors: 403 another project's."""
    registry.change_tags(ctx, image_id, drop=registry.find(ctx, image_id)["tags"])
    return Response(status=204)
