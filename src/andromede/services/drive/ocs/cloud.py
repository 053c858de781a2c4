"""What this cloud can do, and who its people are."""

import re
from typing import Any

from sqlalchemy import Connection

from andromede.core.errors import Forbidden, NotFound
from andromede.services.drive import devices
from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.ocs.call import Call, Route
from andromede.services.drive.people import account_of
from andromede.services.drive.settings import VERSION, Settings
from andromede.services.drive.tree import room, spaces
from andromede.services.identity import service as identity

COLOUR = "#0b5a8a"


def version() -> dict[str, Any]:
    """The version of the protocol."""
    major, minor, micro = VERSION
    return {"major": major, "minor": minor, "micro": micro, "string": ".".join(map(str, VERSION)), "edition": "", "extendedSupport": False}


def status(settings: Settings) -> dict[str, Any]:
    """`status.php`: what clients ask before anything else."""
    text = ".".join(map(str, VERSION))
    return {
        "installed": True, "maintenance": False, "needsDbUpgrade": False, "version": f"{text}.0", "versionstring": text, "edition": "",
        "productname": settings.name, "extendedSupport": False,
    }  # fmt: skip


def _in_bulk(call: Call) -> bool:
    """Whether the client can upload in bulk. Desktop clients before 3.9.1 send nothing at all where one of the files is empty, each time anew
    (nextcloud/desktop, pull request 5871)."""
    found = re.search(r"\bmirall/(\d+(?:\.\d+)*)", call.request.headers.get("user-agent"))
    return found is None or _numbers(found[1]) >= _numbers(call.settings.bulk_from)


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(".") if part.isdigit()]


def capabilities(call: Call) -> Data:
    """`cloud/capabilities`: names only what works."""
    theme = {"name": call.settings.name, "url": call.settings.url, "slogan": "", "color": COLOUR, "color-text": "#ffffff", "color-element": COLOUR}
    able: dict[str, Any] = {
        "core": {"pollinterval": 60, "webdav-root": "remote.php/webdav"},
        "bruteforce": {"delay": 0, "allow-listed": False},
        "dav": {"chunking": "1.0"} | ({"bulkupload": "1.0"} if _in_bulk(call) else {}),
        "files": {"bigfilechunking": True, "undelete": True, "versioning": True, "blacklisted_files": []},
        "checksums": {"supportedTypes": ["SHA1", "MD5", "SHA256", "ADLER32"], "preferredUploadType": "SHA1"},
        "files_sharing": {
            "api_enabled": True, "resharing": False, "default_permissions": 31, "group_sharing": True, "sharebymail": {"enabled": False},
            "public": {
                "enabled": True, "password": {"enforced": False, "askForOptionalPassword": False}, "expire_date": {"enabled": False},
                "multiple_links": True, "send_mail": False, "upload": True, "upload_files_drop": True,
            },
            "user": {"send_mail": False, "expire_date": {"enabled": True}}, "group": {"enabled": True, "expire_date": {"enabled": True}},
            "federation": {"outgoing": False, "incoming": False}, "sharee": {"query_lookup_default": False, "always_show_unique": True},
        },
        "theming": theme,
        "notifications": {"ocs-endpoints": ["list", "get", "delete", "delete-all"]},
        "user_status": {"enabled": True, "restore": False, "supports_emoji": True, "supports_busy": True},
    }
    return Data({"version": version(), "capabilities": able})


def _quota(db: Connection, call: Call) -> dict[str, Any]:
    """What one's own space holds, in bytes and per cent."""
    home = spaces.find(db, spaces.HOME, call.person.id)
    found = room.Usage(0, 0, 0, call.settings.quota) if home is None else room.usage(db, home, call.settings.quota)
    relative = round(100 * found.files / found.quota, 2) if found.quota else 100.0
    return {"free": found.free, "used": found.files, "total": found.quota, "relative": relative, "quota": found.quota}


def me(call: Call) -> Data:
    """`cloud/user`: who asks."""
    with call.database.read() as db:
        found, quota = identity.member(db, call.person.id, by_name=False), _quota(db, call)
    if found is None:
        raise NotFound("There is no such user.")
    return Data(_about(found) | {"quota": quota, "groups": sorted(found.groups.values()), "enabled": True})


def _about(found: identity.Member) -> dict[str, Any]:
    return {"id": account_of(found), "displayname": found.name, "display-name": found.name, "email": found.email or None}


def user(call: Call) -> Data:
    """`cloud/users/ID`: somebody of one's own domain; all about oneself, the name of others."""
    with call.database.read() as db:
        found = identity.member(db, call.path["id"])
    if found is None or found.domain_id != call.person.domain_id:
        raise NotFound("User does not exist.")
    if found.id == call.person.id:
        return me(call)
    return Data(_about(found) | {"email": None})


def get_password(call: Call) -> Data:
    """`core/getapppassword`: an app password for who came with the password of the account. Raises Forbidden for who came with another."""
    if call.person.device is not None:
        raise Forbidden("You cannot request an new apppassword with an apppassword.")
    if not call.request.headers.get("authorization").lower().startswith("basic "):
        raise Forbidden("An app password is made for who signs in with a password.")
    from andromede.services.drive.login import device_of

    name = device_of(call.request)
    _, secret = call.database.run(lambda db: devices.add(db, call.person.id, name))
    return Data({"apppassword": secret})


def drop_password(call: Call) -> Data:
    """`core/apppassword`: take away the app password that this request came with."""
    id_ = call.person.device
    if id_ is None:
        raise Forbidden("No app password in use.")
    call.database.run(lambda db: devices.remove(db, call.person.id, id_))
    call.people.forget(id_)
    return Data()


ROUTES = [
    Route("GET", "cloud/capabilities", capabilities, open=True),
    Route("GET", "cloud/user", me),
    Route("GET", "cloud/users/{id}", user),
    Route("GET", "core/getapppassword", get_password),
    Route("DELETE", "core/apppassword", drop_password),
]
