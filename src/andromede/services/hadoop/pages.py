"""The web pages of clusters, through the cloud: who may see the cluster may read them, and no port of a node is open to anybody for that.

Pages are read, never sent to. They are what Hadoop shows to a user without a name.
"""

import http.client
from typing import Any
from urllib.parse import urlsplit

from andromede.core.context import Context
from andromede.core.errors import Conflict, NotFound, Unavailable
from andromede.http.response import Response
from andromede.services.compute import service as compute
from andromede.services.hadoop import clusters, nodes
from andromede.services.hadoop.api import wrong

PAGES = {"hdfs": ("namenode", 9870), "yarn": ("resourcemanager", 8088), "jobs": ("historyserver", 19888)}
MOST = 32 << 20
_PATIENCE = 30.0
_SAFE = [("content-security-policy", "sandbox"), ("x-content-type-options", "nosniff")]
"""What keeps a page of somebody's cluster from being one of the cloud's."""


def fetch(ctx: Context, cluster_id: str, page: str, path: str) -> Response:
    """What the pages of a cluster answer at a path. Raises NotFound, BadRequest for what is no path, Conflict where there is no way in,
    Unavailable where they do not answer."""
    if page not in PAGES:
        raise NotFound(f"There is no such page of a cluster; there are {', '.join(PAGES)}.")
    if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path:
        raise wrong("path: it must begin with a slash and be encoded as in a URL")
    process, port = PAGES[page]
    node = ctx.parts.database.look(lambda db: _node(ctx.bind(db), cluster_id, process))
    try:
        line = compute.reach(ctx.parts, node["server_id"], node["address"], port)
    except Conflict as error:
        raise Conflict("The pages cannot be reached: the node does not run yet, or it is no container.") from error
    connection = http.client.HTTPConnection(node["address"], port)
    line.settimeout(_PATIENCE)
    connection.sock = line
    try:
        connection.request("GET", path, headers={"Accept-Encoding": "identity", "Connection": "close"})
        answer = connection.getresponse()
        body = answer.read(MOST + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"The pages of {process} do not answer.") from error
    finally:
        connection.close()
    if len(body) > MOST:
        raise Unavailable(f"The page is larger than the {MOST >> 20} MiB that are passed on.")
    headers = [*_SAFE, *([("location", _here(where, node["address"]))] if (where := answer.headers.get("Location")) else [])]
    return Response(body, status=answer.status, headers=headers, content_type=answer.headers.get("Content-Type", "application/octet-stream"))


def _node(ctx: Context, cluster_id: str, process: str) -> Any:
    clusters.find(ctx, cluster_id)
    groups = {group["id"]: group["facts"]["node_processes"] for group in clusters.groups_of(ctx.db, cluster_id)}
    for one in nodes.of(ctx.db, cluster_id):
        if process in groups[one["group_id"]] and not one["lost"]:
            return one
    raise NotFound(f"No node of this cluster has a {process}.")


def _here(where: str, address: str) -> str:
    """A redirection within the same pages, without the name of the node."""
    split = urlsplit(where)
    return split._replace(scheme="", netloc="").geturl() or "/" if split.hostname == address else where
