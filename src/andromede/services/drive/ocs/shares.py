"""`apps/files_sharing/api/v1/shares`: what one shares, and what was shared with one. Source: Nextcloud's developer manual, "OCS Share API"."""

from datetime import timedelta
from mimetypes import guess_type
from typing import Any

from sqlalchemy import Connection

from andromede.core.errors import BadRequest, NotFound
from andromede.services.drive import shares
from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.ocs.call import Call, Route
from andromede.services.drive.ocs.sharees import group_account
from andromede.services.drive.tree import names as names_of
from andromede.services.drive.tree import nodes, spaces
from andromede.services.drive.tree.nodes import Node
from andromede.services.identity import service as identity


def _told(call: Call, db: Connection, row: Any, mount: str | None = None) -> dict[str, Any] | None:
    """A share as clients read it; None where what it is of is gone. mount: where whoever asks sees it, who was given it."""
    found = shares.grant(db, row)
    one = nodes.by_id(db, row.node_id)
    if found is None or one is None:
        return None
    (by, by_name), (owner, owner_name) = shares.name_of(db, row.by_id), shares.name_of(db, row.owner_id)
    path = f"/{'/'.join(found.path)}" if mount is None else f"/{mount}"
    out: dict[str, Any] = {
        "id": str(row.id), "share_type": row.kind, "uid_owner": by, "displayname_owner": by_name, "permissions": row.permissions,
        "can_edit": mount is None, "can_delete": True, "stime": int(row.created.timestamp()), "parent": None,
        "expiration": None if row.expires is None else f"{row.expires - timedelta(days=1):%Y-%m-%d} 00:00:00", "token": row.token,
        "uid_file_owner": owner, "displayname_file_owner": owner_name, "note": row.note, "label": row.label, "path": path,
        "item_type": "folder" if one.folder else "file", "item_source": one.id, "file_source": one.id, "file_parent": one.parent_id,
        "file_target": path if mount is None else f"/{mount}", "item_size": one.size, "item_mtime": one.mtime, "mail_send": 0,
        "mimetype": "httpd/unix-directory" if one.folder else one.mime or guess_type(one.name)[0] or "application/octet-stream",
        "hide_download": 0, "attributes": None, "storage": 1, "storage_id": row.space_id, "has_preview": False, "is-mount-root": mount is not None,
    }  # fmt: skip
    if row.kind == shares.LINK:
        shown = "***redacted***" if row.password else None
        return out | {"share_with": shown, "password": shown, "url": f"{call.settings.url}/s/{row.token}", "share_with_displayname": "",
                      "send_password_by_talk": False}  # fmt: skip
    if row.kind == shares.USER:
        account, name = shares.name_of(db, row.with_id)
        return out | {"share_with": account, "share_with_displayname": name, "share_with_displayname_unique": name}
    group = identity.find_group(db, row.with_id)
    said = group_account(group) if group is not None else ""
    return out | {"share_with": said, "share_with_displayname": said}


def _mine(call: Call, db: Connection) -> tuple[spaces.Space, Node]:
    """What a path of one's own space names. Raises NotFound."""
    path = call.text("path", "", 5000)
    if not path:
        raise NotFound("Please specify a file or folder path")
    space = spaces.find(db, spaces.HOME, call.person.id)
    if space is None:
        raise NotFound("Wrong path, file/folder does not exist")
    return space, nodes.find(db, space.root_id, names_of.split(path))[-1]


def listed(call: Call) -> Data:
    """What one shares: everything, or of a path (`subfiles`: of what is in it); or what one was given (`shared_with_me`)."""
    with call.database.read() as db:
        if call.yes("shared_with_me"):
            rows = [(row, row.mount) for row in shares.taken(db, call.person) if row.mount and not row.hidden]
        elif call.text("path", "", 5000):
            _, one = _mine(call, db)
            if call.yes("subfiles") and not one.folder:
                raise BadRequest("Not a directory")
            wanted = [each.id for each in nodes.children(db, one)] if call.yes("subfiles") else [one.id]
            rows = [(row, None) for row in shares.given(db, call.person) if row.node_id in set(wanted)]
        else:
            rows = [(row, None) for row in shares.given(db, call.person)]
        return Data([told for row, mount in rows if (told := _told(call, db, row, mount)) is not None])


def _id(call: Call) -> int:
    text = call.path["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise NotFound("Wrong share ID, share does not exist")
    return int(text)


def one(call: Call) -> Data:
    """One share."""
    id_ = _id(call)
    with call.database.read() as db:
        given = {row.id: row for row in shares.taken(db, call.person)}
        row = given.get(id_)
        told = _told(call, db, row, row.mount) if row is not None else _told(call, db, shares.find(db, call.person, id_))
    if told is None:
        raise NotFound("Wrong share ID, share does not exist")
    return Data([told])


def _values(call: Call) -> dict[str, Any]:
    """What was said of a share besides what it is of: only that."""
    out: dict[str, Any] = {}
    if "expireDate" in call.given:
        out["expires"] = shares.end_of_day(call.text("expireDate", "", 40))
    for name, most in (("note", 1000), ("label", 255)):
        if name in call.given:
            out[name] = call.text(name, "", most)
    if "password" in call.given:
        secret = call.text("password", "", 500)
        out["password"] = call.people.hash(secret) if secret else ""
    return out


def create(call: Call) -> Data:
    """Share something of one's own."""
    kind = call.number("shareType", -1, -1, 100)
    if kind not in shares.KINDS:
        raise BadRequest("Unknown share type")
    link = kind == shares.LINK
    given = call.given.get("permissions") not in (None, "")
    values = _values(call)
    if not link:
        values.pop("password", None)

    def run(db: Connection) -> dict[str, Any] | None:
        space, found = _mine(call, db)
        if found.id == space.root_id:
            raise BadRequest("You cannot share your root folder")
        wanted = call.number("permissions", 0, 0, 31) if given else shares.READ if link else shares.ALL
        if link and call.yes("publicUpload") and found.folder and not given:
            wanted = shares.READ | shares.UPDATE | shares.CREATE | shares.DELETE
        row = shares.add(db, call.person, space, found, kind, call.text("shareWith", "", 255), wanted, values)
        return _told(call, db, row)

    return Data(call.database.run(run))


def change(call: Call) -> Data:
    """Change a share that one has given."""
    id_, values = _id(call), _values(call)
    if call.given.get("permissions") not in (None, ""):
        values["permissions"] = call.number("permissions", 1, 0, 31)

    def run(db: Connection) -> dict[str, Any] | None:
        return _told(call, db, shares.change(db, call.person, id_, values))

    return Data(call.database.run(run))


def drop(call: Call) -> Data:
    """End a share."""
    id_ = _id(call)
    call.database.run(lambda db: shares.remove(db, call.person, id_))
    return Data()


_AT = "apps/files_sharing/api/v1/shares"
ROUTES = [
    Route("GET", _AT, listed),
    Route("POST", _AT, create),
    Route("GET", f"{_AT}/{{id}}", one),
    Route("PUT", f"{_AT}/{{id}}", change),
    Route("DELETE", f"{_AT}/{{id}}", drop),
]
