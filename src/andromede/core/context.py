"""Who calls, and everything one request carries through the layers."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from andromede.core.errors import Forbidden

if TYPE_CHECKING:
    from sqlalchemy import Connection


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """The proven identity behind a token, with its scope. `roles` holds implied roles too.

    `rules`: access rules of an application credential as (service, method, path); None where any call is allowed.
    """

    user_id: str
    user_name: str
    user_domain_id: str
    user_domain_name: str = ""
    project_id: str | None = None
    project_name: str | None = None
    project_domain_id: str | None = None
    project_domain_name: str | None = None
    domain_id: str | None = None
    domain_name: str | None = None
    system: bool = False
    roles: frozenset[str] = frozenset()
    role_ids: tuple[tuple[str, str], ...] = ()
    methods: tuple[str, ...] = ()
    audit_ids: tuple[str, ...] = ()
    issued: float = 0.0
    expires: float = 0.0
    application_credential_id: str | None = None
    unrestricted: bool = False
    trust_id: str | None = None
    rules: tuple[tuple[str, str, str], ...] | None = None

    @property
    def admin(self) -> bool:
        """Whether the caller operates the cloud."""
        return "admin" in self.roles

    def has(self, role: str) -> bool:
        """Whether the caller holds `role`, itself or implied."""
        return role in self.roles


NOBODY = Caller(user_id="", user_name="", user_domain_id="")


class Query:
    """The query string: keys may repeat, order is kept."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self.pairs = pairs

    def get(self, key: str, default: str | None = None) -> str | None:
        """The first value of `key`."""
        return next((value for name, value in self.pairs if name == key), default)

    def all(self, key: str) -> list[str]:
        """Every value of `key`."""
        return [value for name, value in self.pairs if name == key]

    def keys(self) -> set[str]:
        """The keys that are there."""
        return {name for name, _ in self.pairs}

    def __contains__(self, key: str) -> bool:
        return any(name == key for name, _ in self.pairs)


class Context:
    """One request. `db` is its one transaction (absent on routes that declare none).

    `version` is the negotiated microversion, (0, 0) where the API has none. `base` is the public URL of the API
    version, without a final slash. `parts` are the things wired at start (database, stores, settings), by name.
    """

    __slots__ = (
        "_db", "_quota", "base", "caller", "claimed", "headers", "method", "parts", "path", "query", "remote", "request_id", "root", "taken",
        "version",
    )  # fmt: skip

    def __init__(
        self,
        *,
        request_id: str,
        caller: Caller = NOBODY,
        query: Query | None = None,
        headers: Mapping[str, str] | None = None,
        path: str = "",
        method: str = "GET",
        base: str = "",
        root: str = "",
        version: tuple[int, int] = (0, 0),
        parts: "Parts | None" = None,
        quota: "Callable[[Context, dict[str, int], str | None], None] | None" = None,
        remote: str = "",
    ) -> None:
        self.request_id = request_id
        self.caller = caller
        self.query = query or Query([])
        self.headers = headers or {}
        self.path = path
        self.method = method
        self.base = base
        self.root = root
        self.version = version
        self.parts = parts or Parts()
        self.remote = remote
        self.claimed = ""
        """Who somebody that signs in says to be, for the audit log."""
        self.taken: set[str] = set()
        self._quota = quota
        self._db: Connection | None = None

    @property
    def db(self) -> "Connection":
        """The request's transaction."""
        if self._db is None:
            msg = "this route declares no transaction"
            raise RuntimeError(msg)
        return self._db

    def bind(self, connection: "Connection | None") -> "Context":
        """Give the request its transaction; a repeated try starts anew."""
        self._db = connection
        self.taken = set()
        return self

    @property
    def project_id(self) -> str:
        """The project of the token; a refusal where it has none."""
        if self.caller.project_id is None:
            raise Forbidden("This needs a token that is scoped to a project.")
        return self.caller.project_id

    def take(self, owner: str | None = None, **amounts: int) -> None:
        """Use up this much of a project's quotas (the token's, unless `owner` is another). Raises QuotaExceeded."""
        self.taken |= amounts.keys()
        if self._quota is not None:
            self._quota(self, amounts, owner)

    def at_least(self, text: str) -> bool:
        """Whether the negotiated microversion is `text` or later."""
        major, _, minor = text.partition(".")
        return self.version >= (int(major), int(minor))

    def refuse(self, rule: str) -> NoReturn:
        """Raise the one refusal that policy gives."""
        raise Forbidden(f"Policy doesn't allow {rule} to be performed.")


class Parts:
    """What a process was wired with: `parts.database`, `parts.settings`, `parts.hosts` … An absent one is a mistake in the wiring."""

    def __init__(self, **parts: Any) -> None:
        self.__dict__.update(parts)

    def __getattr__(self, name: str) -> Any:
        msg = f"this process was not wired with {name!r}"
        raise AttributeError(msg)
