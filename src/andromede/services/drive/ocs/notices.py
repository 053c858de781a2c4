"""What people are told of: `apps/notifications`, version 2."""

from typing import Any

from sqlalchemy import delete, select

from andromede.core.errors import NotFound
from andromede.services.drive.notices import TEXTS
from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.ocs.call import Call, Route
from andromede.services.drive.pages import language
from andromede.services.drive.tables_people import notice


def _seen(call: Call, row: Any) -> dict[str, Any]:
    facts = row.facts
    text = TEXTS[row.kind][language(call.request.headers.get("accept-language"))]
    rich = {
        "by": {"type": "user", "id": facts["by_account"], "name": facts["by"]},
        "name": {"type": "highlight", "id": str(row.share_id), "name": facts["name"]},
        "group": {"type": "user-group", "id": facts.get("group", ""), "name": facts.get("group", "")},
    }
    return {
        "notification_id": row.id, "app": "files_sharing", "user": call.person.account, "datetime": row.created.isoformat(timespec="seconds"),
        "object_type": "share", "object_id": str(row.share_id), "subject": text.format(**{key: one["name"] for key, one in rich.items()}),
        "message": "", "link": "", "subjectRich": text, "messageRich": "", "messageRichParameters": {}, "icon": "", "actions": [],
        "subjectRichParameters": {key: one for key, one in rich.items() if f"{{{key}}}" in text}, "shouldNotify": True,
    }  # fmt: skip


def listed(call: Call) -> Data:
    """All of them, the newest first; nothing (204) where there are none or none that the client does not know."""
    with call.database.read() as db:
        rows = db.execute(select(notice).where(notice.c.user_id == call.person.id).order_by(notice.c.id.desc())).all()
    etag = f'"{rows[0].id}-{len(rows)}"' if rows else '"none"'
    if call.request.headers.get("if-none-match") == etag:
        return Data([], [("ETag", etag)], 304)
    return Data([_seen(call, row) for row in rows], [("ETag", etag), ("X-Nextcloud-User-Status", "online")])


def one(call: Call) -> Data:
    """One of them. Raises NotFound."""
    with call.database.read() as db:
        row = db.execute(select(notice).where(notice.c.user_id == call.person.id, notice.c.id == _id(call))).first()
    if row is None:
        raise NotFound("There is no such notification.")
    return Data(_seen(call, row))


def drop(call: Call) -> Data:
    """Forget one."""
    call.database.run(lambda db: db.execute(delete(notice).where(notice.c.user_id == call.person.id, notice.c.id == _id(call))).rowcount)
    return Data()


def drop_all(call: Call) -> Data:
    """Forget all."""
    call.database.run(lambda db: db.execute(delete(notice).where(notice.c.user_id == call.person.id)).rowcount)
    return Data()


def _id(call: Call) -> int:
    text = call.path["id"]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


_AT = "apps/notifications/api/v2/notifications"
ROUTES = [
    Route("GET", _AT, listed),
    Route("DELETE", _AT, drop_all),
    Route("GET", f"{_AT}/{{id}}", one),
    Route("DELETE", f"{_AT}/{{id}}", drop),
]
