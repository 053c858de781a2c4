"""Unified search: files by their names. Source: Nextcloud's developer manual, "Unified search"."""

from urllib.parse import quote

from sqlalchemy import func

from andromede.core.errors import NotFound
from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.ocs.call import Call, Route
from andromede.services.drive.pages import language
from andromede.services.drive.tables import node
from andromede.services.drive.tree import nodes, searching, spaces

FILES = {"en": "Files", "fr": "Fichiers"}


def providers(call: Call) -> Data:
    """What can be searched."""
    name = FILES[language(call.request.headers.get("accept-language"))]
    return Data([
        {"id": "files", "appId": "files", "name": name, "icon": "", "order": 5, "isPaginated": True, "filters": {}, "inAppSearch": False,
         "triggers": ["files"]},
    ])  # fmt: skip


def search(call: Call) -> Data:
    """One's own files and folders whose names hold `term`, the latest first; `cursor` goes on after those that came before."""
    if call.path["id"] != "files":
        raise NotFound("There is no such search provider.")
    term, limit, start = call.text("term", "", 250).strip().lower(), call.number("limit", 5, 1, 100), call.number("cursor", 0, 0, 100_000)
    entries = []
    with call.database.read() as db:
        space = spaces.find(db, spaces.HOME, call.person.id)
        top = nodes.by_id(db, space.root_id) if space is not None and term else None
        if top is not None:
            part = f"%{term.replace('!', '!!').replace('%', '!%').replace('_', '!_')}%"
            where = func.lower(node.c.name).like(part, escape="!")
            for one, path in searching.below(db, top, where, order=(node.c.mtime.desc(),), limit=limit, offset=start):
                folder, whole = "/".join(path[:-1]), "/".join(path)
                entries.append({
                    "thumbnailUrl": "", "title": one.name, "subline": f"/{folder}" if folder else "", "rounded": False,
                    "resourceUrl": f"{call.settings.url}/remote.php/dav/files/{quote(call.person.account)}/{quote(whole)}",
                    "icon": "icon-folder" if one.folder else "icon-file", "attributes": {"fileId": str(one.id), "path": f"/{whole}"},
                })  # fmt: skip
    name = FILES[language(call.request.headers.get("accept-language"))]
    return Data({"name": name, "isPaginated": True, "entries": entries, "cursor": start + limit if len(entries) == limit else None})


ROUTES = [Route("GET", "search/providers", providers), Route("GET", "search/providers/{id}/search", search)]
