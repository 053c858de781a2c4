"""Who may do what. The project's members write, its readers read, admins do both everywhere; lists let others in.

A caller whom nothing lets in gets 401 where they are nobody, and 403 otherwise, whether or not there is such a container.
Source: upstream's keystoneauth.
"""

from andromede.core.context import Caller
from andromede.http.policy import permitted
from andromede.services.object.model import Object
from andromede.services.object.service import Place
from andromede.services.object.swift import acl
from andromede.services.object.swift.answers import Refused, quoted, true
from andromede.services.object.swift.call import Call

WRITER, READER = "member", "reader"
READS = frozenset({"GET", "HEAD"})
PRIVATE = (
    "x-container-read", "x-container-write", "x-container-sync-key", "x-container-sync-to", "x-container-meta-temp-url-key",
    "x-container-meta-temp-url-key-2", "x-account-meta-temp-url-key", "x-account-meta-temp-url-key-2", "x-account-access-control",
)  # fmt: skip
"""Headers that only an account's own people see and set."""


def denied(call: Call) -> Refused:
    """The refusal that fits whoever asks."""
    if call.caller is None:
        return Refused(401, headers=[("Www-Authenticate", f'Swift realm="{quoted(call.account_name) or "unknown"}"')])
    return Refused(403)


def to_account(call: Call) -> None:
    """Raise Refused unless the caller may do this to the account, or to a container as such."""
    if not _own(call, call.caller, call.account, call.method):
        raise denied(call)


def to_container(call: Call, place: Place | None) -> None:
    """Raise Refused unless the caller may read a container (its listing and headers)."""
    text = place.container.headers.get("x-container-read", "") if place else ""
    if not _allowed(call, call.account, call.method, text, named=False):
        raise denied(call)


def to_object(call: Call, place: Place | None, *, account: str = "", method: str = "") -> None:
    """Raise Refused unless the caller may read or write objects in a container."""
    if not may(call, place, account=account, method=method):
        raise denied(call)


def may(call: Call, place: Place | None, *, account: str = "", method: str = "") -> bool:
    """Whether the caller may read or write objects in a container."""
    method = method or call.method
    account = account or call.account
    if call.granted and call.granted == account and (call.scope is None or (place is not None and place.name == call.scope)):
        return True
    caller = call.caller
    if caller is not None and caller.project_id == account and WRITER in caller.roles and caller.rules is None:
        call.owner = True
        return True
    header = "x-container-read" if method in READS else "x-container-write"
    return _allowed(call, account, method, place.container.headers.get(header, "") if place else "", named=True)


def _allowed(call: Call, account: str, method: str, text: str, *, named: bool) -> bool:
    """Whether the account's rules or a container's list let the caller in; named: it is for an object."""
    caller = call.caller
    if _own(call, caller, account, method):
        return True
    hosts, elements = acl.parsed(text)
    if caller is not None and elements and _within_rules(call, caller) and acl.people(caller, elements):
        return True
    if acl.referred(hosts, call.headers.get("referer")):
        return named or ".rlistings" in elements
    return caller is not None and caller.project_id == account and _within_rules(call, caller) and acl.roles(caller, elements)


def _own(call: Call, caller: Caller | None, account: str, method: str) -> bool:
    """Whether the account is the caller's, or its own list has them; sets `call.owner`."""
    call.owner = False
    if caller is None or not _within_rules(call, caller):
        return False
    if caller.admin:
        call.owner = True
        return True
    if method == "DELETE" and not call.container:
        return False
    if caller.project_id == account:
        if WRITER in caller.roles:
            call.owner = True
            return True
        if READER in caller.roles and method in READS:
            return True
    return _by_account_list(call, caller, account, method)


def _by_account_list(call: Call, caller: Caller, account: str, method: str) -> bool:
    level = acl.level(caller, call.account_headers(account))
    if level == "admin":
        call.owner = True
    return level == "admin" or (bool(level) and method in READS) or (level == "read-write" and bool(call.container))


def _within_rules(call: Call, caller: Caller) -> bool:
    """Whether the access rules of the caller's application credential, where it has any, allow the call."""
    if caller.rules is None:
        return True
    return permitted(caller.rules, "object-store", call.method, call.request.path.decode("utf-8", "replace"))


class Reader:
    """Whoever makes a call, as manifests and links ask whether they may read what these lead to: whole containers."""

    each = False

    def __init__(self, call: Call) -> None:
        self._call = call

    def allow(self, account: str, place: Place | None, _name: str, _thing: Object | None, *, segment: bool = False) -> None:
        """Raise Refused unless the caller may read what is in a container."""
        if not may(self._call, place, account=account, method="GET"):
            raise Refused(409) if segment else denied(self._call)


def writable(call: Call) -> None:
    """Raise Refused where the account, or the whole store, may only be read."""
    if call.method in READS or call.method == "OPTIONS":
        return
    text = call.account_headers().get("read-only", "")
    if true(text) or (call.settings.read_only and text != "false"):
        if not (call.caller is not None and call.caller.admin and not call.container):
            raise Refused(405, "Writes are disabled for this account.")


def fields(call: Call, kept: dict[str, str], names: tuple[str, ...] = PRIVATE) -> dict[str, str]:
    """Kept headers without those that are not for the caller."""
    return kept if call.owner else {name: value for name, value in kept.items() if name not in names}


def valid_lists(headers: dict[str, str]) -> dict[str, str]:
    """Lists as they are kept. Raises Refused."""
    for name in ("x-container-read", "x-container-write"):
        if headers.get(name):
            headers[name] = acl.cleaned(name, headers[name])
    return headers
