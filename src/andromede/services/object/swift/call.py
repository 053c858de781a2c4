"""One request to Swift: what it names, who makes it, and what is asked of it."""

import copy
from urllib.parse import parse_qsl, unquote_to_bytes

from andromede.core.context import Caller
from andromede.drivers.blob import Store
from andromede.http.plain import Request
from andromede.services.object.model import Account, project_of
from andromede.services.object.service import Objects, Place
from andromede.services.object.swift.answers import Refused, bad
from andromede.services.object.swift.settings import Settings
from andromede.services.object.watching import COPY, Cause, watched

MOST_QUERY = 60


class Call:
    """One request.

    account: the project's id; account_name: as the URL has it; caller: None for nobody; owner: may see and set what only the
    account's own people may; granted: the account within which the request itself proves that it is allowed (a signature), and
    there within `scope`, a container's name or None for all of it; grant: what the signature came with; stamp: the moment that the other
    side of a synchronized container put it at, 0 for everybody else.
    """

    __slots__ = (
        "_accounts", "account", "account_name", "caller", "container", "extra", "grant", "granted", "headers", "method", "name", "objects", "owner",
        "query", "request", "scope", "settings", "stamp",
    )  # fmt: skip

    def __init__(self, request: Request, objects: Objects, settings: Settings) -> None:
        self.request, self.objects, self.settings = request, objects, settings
        self.method, self.headers = request.method, request.headers
        self.caller: Caller | None = None
        self.owner = False
        self.granted = ""
        self.grant: dict[str, str] = {}
        self.scope: str | None = None
        self.stamp = 0
        self.account = self.account_name = self.container = self.name = ""
        self.query: dict[str, str] = parse_query(request.raw_query) if request.raw_query else {}
        self._accounts: dict[str, Account | None] = {}
        self.extra: list[tuple[str, str]] = []
        """Headers that the answer gets besides its own."""

    @property
    def store(self) -> Store:
        """The blob driver."""
        return self.objects.store

    @property
    def policies(self) -> tuple[str, ...]:
        """The storage policies that are offered, the first by default."""
        return self.settings.policies or self.objects.store.classes

    def at(self, account_name: str, container: str, name: str, method: str, query: dict[str, str] | None = None) -> "Call":
        """The same caller's request for something else."""
        other = copy.copy(self)
        other.account_name, other.account, other.container, other.name = account_name, project_of(account_name), container, name
        other.method, other.query, other.extra = method, self.query if query is None else query, []
        return other

    def place(self) -> Place | None:
        """The container that the URL names."""
        return self.objects.find(self.account, self.container)

    def cause(self, place: Place, event: str = "") -> Cause | None:
        """Who changes what in a container, where anybody is to learn of it."""
        if not watched(place.container):
            return None
        who, headers = self.caller.user_id if self.caller else "anonymous", self.headers
        copied = "destination" in headers or "x-copy-from" in headers
        return Cause(event or (COPY if copied and self.method != "DELETE" else ""), who, self.request.remote, self.request.id)

    def account_of(self, account: str) -> Account | None:
        """An account, looked up once for the request."""
        if account not in self._accounts:
            self._accounts[account] = self.objects.account(account)
        return self._accounts[account]

    def account_headers(self, account: str = "") -> dict[str, str]:
        """What is kept of an account, the one of the URL unless another is named."""
        found = self.account_of(account or self.account)
        return found.headers if found else {}


def parse_query(raw: str) -> dict[str, str]:
    """The query's values, the last of each name. Raises Refused where they are no UTF-8, or too many."""
    try:
        return dict(parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MOST_QUERY, encoding="utf-8"))
    except UnicodeDecodeError:
        raise bad(f'"{_broken(raw)}" parameter not valid UTF-8') from None
    except ValueError:
        raise Refused(400, "Too many parameters") from None


def _broken(raw: str) -> str:
    """The first parameter whose value is no UTF-8."""
    for pair in raw.split("&"):
        name, _, value = pair.partition("=")
        try:
            unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            return name if name.isidentifier() else "query"
    return "query"


def split(path: bytes) -> tuple[str, str, str, str]:
    """Version, account, container and object of a path, empty where they are not named. Raises Refused: 412, 404."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        raise Refused(412, "Invalid UTF8 or contains NULL") from None
    if "\0" in text:
        raise Refused(412, "Invalid UTF8 or contains NULL")
    parts = text.split("/", 4)[1:]
    if path == b"/":
        raise Refused(404)
    if len(parts) < 2 or (len(parts) == 2 and not parts[1]):
        raise Refused(412, "Bad URL")
    if len(parts) > 2 and not parts[-1]:
        parts.pop()
    if not all(parts):
        raise Refused(404)
    version, account, container, name = (*parts, "", "")[:4]
    return version, account, container, name
