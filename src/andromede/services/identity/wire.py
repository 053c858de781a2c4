"""What Identity's authentication reads and writes. Source: Identity API v3, "Authentication and token management"."""

from typing import Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from andromede.http.wire import Body


class DomainRef(Struct):
    """A domain by id or name."""

    id: str | None = None
    name: str | None = None


class UserRef(Struct):
    """A user by id, or by name and domain, with what proves it."""

    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None
    password: str = ""
    passcode: str = ""


class ByUser(Struct):
    """Method password or totp."""

    user: UserRef


class ByToken(Struct):
    """Method token."""

    id: str


class ByApplicationCredential(Struct):
    """Method application_credential."""

    secret: str
    id: str | None = None
    name: str | None = None
    user: UserRef | None = None


class Proofs(Struct):
    """The methods of a request, and what each needs."""

    methods: list[str]
    password: ByUser | UnsetType = UNSET
    token: ByToken | UnsetType = UNSET
    application_credential: ByApplicationCredential | UnsetType = UNSET
    totp: ByUser | UnsetType = UNSET
    oauth1: dict[str, Any] | UnsetType = UNSET


class ProjectRef(Struct):
    """A project by id, or by name and domain."""

    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class TrustRef(Struct):
    """A trust."""

    id: str


class Scope(Struct):
    """Where a token shall hold."""

    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: dict[str, Any] | None = None
    trust: TrustRef | None = field(name="OS-TRUST:trust", default=None)


class Auth(Struct):
    """Who, proven how, and where."""

    identity: Proofs
    scope: Scope | Literal["unscoped"] | UnsetType | None = UNSET


class SignIn(Body, kw_only=True):
    """`POST /v3/auth/tokens`."""

    auth: Auth
