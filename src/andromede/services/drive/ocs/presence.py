"""How people say they are: `apps/user_status`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from andromede.core.clock import now
from andromede.core.errors import BadRequest, NotFound
from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.ocs.call import Call, Route
from andromede.services.drive.pages import language
from andromede.services.drive.people import account_of
from andromede.services.drive.tables_people import status as table
from andromede.services.identity import service as identity

STATUSES = ("online", "away", "dnd", "busy", "invisible", "offline")
_HOUR, _DAY, _WEEK = {"type": "period", "time": 3600}, {"type": "end-of", "time": "day"}, {"type": "end-of", "time": "week"}
PREDEFINED: dict[str, tuple[str, str, str, dict[str, Any] | None]] = {
    "meeting": ("📅", "In a meeting", "En réunion", _HOUR),
    "commuting": ("🚌", "Commuting", "Dans les transports", {"type": "period", "time": 1800}),
    "remote-work": ("🏡", "Working remotely", "En télétravail", _DAY),
    "sick-leave": ("🤒", "Out sick", "En arrêt maladie", _DAY),
    "vacationing": ("🌴", "Vacationing", "En vacances", None),
}
_FRESH = timedelta(minutes=15)


def _row(db: Connection, user_id: str) -> Any:
    return db.execute(select(table).where(table.c.user_id == user_id)).first()


def _change(call: Call, values: dict[str, Any]) -> Data:
    me = call.person

    def run(db: Connection) -> Any:
        moment = {"changed": now()}
        if not db.execute(update(table).where(table.c.user_id == me.id).values(values | moment)).rowcount:
            blank = {"status": "online", "icon": "", "message": "", "message_id": "", "clear": None}
            db.execute(insert(table).values(blank | values | moment | {"user_id": me.id}))
        return _row(db, me.id)

    return Data(_seen(call.database.run(run), me.account, own=True))


def _seen(row: Any, account: str, *, own: bool) -> dict[str, Any]:
    told = row is not None and (row.clear is None or row.clear > now())
    state = "offline" if row is None else row.status
    if not own and (state == "invisible" or (row is not None and state == "online" and row.changed < now() - _FRESH)):
        state = "offline"
    out: dict[str, Any] = {
        "userId": account, "message": (row.message or None) if told else None, "icon": (row.icon or None) if told else None,
        "clearAt": int(row.clear.timestamp()) if told and row.clear else None, "status": state,
    }  # fmt: skip
    if own:
        predefined = bool(told and row.message_id)
        out |= {"messageId": row.message_id if predefined else None, "messageIsPredefined": predefined, "statusIsUserDefined": row is not None}
    return out


def mine(call: Call) -> Data:
    """One's own."""
    return Data(_seen(call.database.look(lambda db: _row(db, call.person.id)), call.person.account, own=True))


def set_status(call: Call) -> Data:
    """Online, away …"""
    chosen = call.text("statusType")
    if chosen not in STATUSES:
        raise BadRequest("Invalid status type.")
    return _change(call, {"status": chosen})


def _clear(call: Call) -> datetime | None:
    at = call.number("clearAt", 0)
    if at and at <= now().timestamp():
        raise BadRequest("The time to clear the message at is over.")
    return datetime.fromtimestamp(at, UTC) if at and at < 32_503_680_000 else None


def set_message(call: Call) -> Data:
    """A message of one's own."""
    icon, message = call.text("statusIcon", "", 16), call.text("message", "", 80)
    return _change(call, {"icon": icon, "message": message, "message_id": "", "clear": _clear(call)})


def set_predefined(call: Call) -> Data:
    """One of the messages that are offered."""
    id_ = call.text("messageId", "", 64)
    if id_ not in PREDEFINED:
        raise BadRequest("There is no such message.")
    icon, *texts, _clear_at = PREDEFINED[id_]
    message = str(texts[language(call.request.headers.get("accept-language")) == "fr"])
    return _change(call, {"icon": icon, "message": message, "message_id": id_, "clear": _clear(call)})


def drop_message(call: Call) -> Data:
    """No message."""
    _change(call, {"icon": "", "message": "", "message_id": "", "clear": None})
    return Data()


def predefined(call: Call) -> Data:
    """The messages that are offered."""
    french = language(call.request.headers.get("accept-language")) == "fr"
    return Data([
        {"id": id_, "icon": icon, "message": fr if french else en, "clearAt": clear, "visible": True}
        for id_, (icon, en, fr, clear) in PREDEFINED.items()
    ])  # fmt: skip


def heartbeat(call: Call) -> Data:
    """A client is there: online or away, unless its person said something else."""
    state = call.text("status", "online")
    if state not in {"online", "away"}:
        raise BadRequest("Invalid status type.")
    row = call.database.look(lambda db: _row(db, call.person.id))
    if row is not None and row.status in {"dnd", "busy", "invisible", "offline"}:
        return Data(_seen(row, call.person.account, own=True))
    return _change(call, {"status": state})


def one(call: Call) -> Data:
    """Somebody else's, of one's own domain. Raises NotFound."""
    with call.database.read() as db:
        found = identity.member(db, call.path["id"])
        row = _row(db, found.id) if found is not None and found.domain_id == call.person.domain_id else None
    if found is None or row is None:
        raise NotFound("No status for the requested user.")
    return Data(_seen(row, account_of(found), own=False))


def everybody(call: Call) -> Data:
    """Those of one's domain."""
    limit, start = call.number("limit", 100, 1, 500), call.number("offset", 0)
    out = []
    with call.database.read() as db:
        for row in db.execute(select(table).order_by(table.c.changed.desc()).offset(start).limit(limit)):
            found = identity.member(db, row.user_id, by_name=False)
            if found is not None and found.domain_id == call.person.domain_id:
                out.append(_seen(row, account_of(found), own=False))
    return Data(out)


def forget(db: Connection, user_id: str) -> None:
    """Forget what a user said."""
    db.execute(delete(table).where(table.c.user_id == user_id))


_AT = "apps/user_status/api/v1"
ROUTES = [
    Route("GET", f"{_AT}/user_status", mine),
    Route("PUT", f"{_AT}/user_status/status", set_status),
    Route("PUT", f"{_AT}/user_status/message/custom", set_message),
    Route("PUT", f"{_AT}/user_status/message/predefined", set_predefined),
    Route("DELETE", f"{_AT}/user_status/message", drop_message),
    Route("GET", f"{_AT}/predefined_statuses", predefined),
    Route("PUT", f"{_AT}/heartbeat", heartbeat),
    Route("GET", f"{_AT}/statuses", everybody),
    Route("GET", f"{_AT}/statuses/{{id}}", one),
]
