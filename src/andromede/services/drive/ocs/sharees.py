"""Whom something may be shared with: `apps/files_sharing/api/v1/sharees`."""

from typing import Any

from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.ocs.call import Call, Route
from andromede.services.drive.people import account_of
from andromede.services.identity import service as identity
from andromede.services.identity.service import Group, Member

USER, GROUP, LINK = 0, 1, 3


def group_account(group: Group) -> str:
    """What a group is called by clients: by name in the domain `default`, else by id."""
    return group.name if group.domain_id == "default" else group.id


def _user(found: Member) -> dict[str, Any]:
    value = {"shareType": USER, "shareWith": account_of(found)}
    return {"label": found.name, "subline": "", "icon": "icon-user", "value": value, "shareWithDisplayNameUnique": found.email or found.name}


def _group(found: Group) -> dict[str, Any]:
    return {"label": found.name, "value": {"shareType": GROUP, "shareWith": group_account(found)}}


def sharees(call: Call) -> Data:
    """Users and groups of one's own domain whose names hold `search`; those that are it exactly are told apart."""
    text, size = call.text("search", "", 200).strip(), call.number("perPage", 25, 1, 200)
    page = call.number("page", 1, 1, 10_000)
    kinds = _kinds(call)
    with call.database.read() as db:
        people, groups = identity.search(db, text, call.person.domain_id, size, (page - 1) * size)
    people = [each for each in people if each.id != call.person.id] if USER in kinds else []
    groups = groups if GROUP in kinds else []
    low = text.lower()
    exact_people = [each for each in people if text and low in {each.name.lower(), each.id, each.email.lower()}]
    exact_groups = [each for each in groups if text and low in {each.name.lower(), each.id}]
    blank: dict[str, Any] = {"remotes": [], "remote_groups": [], "emails": [], "circles": [], "rooms": [], "lookup": []}
    exact = blank | {"users": [_user(each) for each in exact_people], "groups": [_group(each) for each in exact_groups]}
    near = blank | {
        "users": [_user(each) for each in people if each not in exact_people],
        "groups": [_group(each) for each in groups if each not in exact_groups],
    }
    return Data({"exact": exact, **near, "lookupEnabled": False})


def _kinds(call: Call) -> set[int]:
    said = call.given.get("shareType", "")
    texts = [str(each) for each in said] if isinstance(said, list) else [str(said)] if str(said) else ["0", "1"]
    return {int(text) for text in texts if text.isascii() and text.isdigit() and len(text) < 4}


ROUTES = [Route("GET", "apps/files_sharing/api/v1/sharees", sharees)]
