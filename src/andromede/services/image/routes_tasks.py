"""Routes of tasks: the record of each import."""

from typing import Any

from sqlalchemy import select, true

from andromede.core.context import Context
from andromede.core.errors import BadRequest, NotFound
from andromede.http import paging
from andromede.http.response import Response
from andromede.http.wire import decode
from andromede.services.image import changes, images, imports, wire
from andromede.services.image.api import admin, api, reader
from andromede.services.image.tables import task
from andromede.services.image.wire import ImportRequest, NewTask

_MOST = 1000


def _mine(ctx: Context) -> Any:
    return true() if ctx.caller.admin else task.c.owner == ctx.caller.project_id


@api.get("/tasks", policy=reader("tasks:list"))
def list_tasks(ctx: Context) -> dict[str, Any]:
    """The project's tasks, the newest first; `type` and `status` filter."""
    query = select(task).where(_mine(ctx))
    for name in ("type", "status"):
        if (value := ctx.query.get(name)) is not None:
            query = query.where(task.c[name] == value)
    keys = paging.sort_of(
        ctx, {name: task.c[name] for name in ("id", "type", "status", "created_at", "updated_at", "expires_at")},
        [(task.c.created_at, True)], direction="desc",
    )  # fmt: skip
    page = paging.page(ctx.db, query, task, keys=keys, limit=paging.limit_of(ctx, most=_MOST, default=100), marker=ctx.query.get("marker"))
    out: dict[str, Any] = {
        "tasks": [wire.show_task(row, brief=True) for row in page.rows], "first": "/v2/tasks", "schema": "/v2/schemas/tasks",
    }  # fmt: skip
    following = page.next_link(ctx, "/v2/tasks")
    return out if following is None else out | {"next": following}


@api.get("/tasks/{task_id}", policy=reader("tasks:show"))
def show_task(ctx: Context, task_id: str) -> dict[str, Any]:
    """One task, with what it was given and what came of it."""
    row = ctx.db.execute(select(task).where(task.c.id == task_id, _mine(ctx))).mappings().first()
    if row is None:
        raise NotFound(f"No task found with ID {task_id}")
    return wire.show_task(row)


@api.get("/images/{image_id}/tasks", policy=reader("images:tasks"))
def list_image_tasks(ctx: Context, image_id: str) -> dict[str, Any]:
    """The tasks of an image, in full."""
    images.find(ctx, image_id)
    query = select(task).where(task.c.image_id == image_id, _mine(ctx)).order_by(task.c.created_at, task.c.id)
    return {"tasks": [wire.show_task(row) for row in ctx.db.execute(query).mappings()]}


@api.post("/tasks", status=201, policy=admin("tasks:create"), quota=("image_count_total",))
def create_task(ctx: Context, body: NewTask) -> Response:
    """Make an image from a URL, in one call. Only the type `import`; 400 for a URL that may not be fetched from."""
    if body.type != "import":
        raise BadRequest("Invalid type: only tasks of type 'import' can be created.")
    properties, source, given = (body.input.get(name) for name in ("image_properties", "import_from", "import_from_format"))
    if not isinstance(properties, dict) or not isinstance(source, str):
        raise BadRequest("Input does not contain 'import_from' and 'image_properties'.")
    if given is not None and properties.get("disk_format", given) != given:
        raise BadRequest("Input 'import_from_format' differs from the disk_format of 'image_properties'.")
    row = changes.create(ctx, properties | ({"disk_format": given} if given is not None else {}))
    wanted = decode(ImportRequest, {"method": {"name": "web-download", "uri": source}})
    task_id = imports.begin(ctx, row["id"], wanted, type_="import")
    made = ctx.db.execute(select(task).where(task.c.id == task_id)).mappings().one()
    return Response(wire.show_task(made), status=201, headers=[("location", f"{ctx.base}/tasks/{task_id}")])
