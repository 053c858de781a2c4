"""Route declarations: what a service says, once, of each of its routes. The app, OpenAPI, the docs and the tests read them.

    api = Api("compute", type="compute", prefix="/compute/v2.1", fault=faults.compute, versions=Microversions(…))

    @api.post("/servers", status=202, policy=Policy("compute:servers:create", Level.MEMBER), quota=("instances", "cores", "ram"))
    def create_server(ctx: Context, body: CreateServer) -> ServerCreated: ...

A handler is a plain function: the context, then the path's parameters by name, `body` where it takes one (a struct type,
`bytes`, or `dict` for free JSON) and `query` where the query string has a struct of its own. It runs in a thread with its
one transaction open: `write` for every method but GET and HEAD, unless `tx` says otherwise. It returns a struct, a
`Response` or None. A `stream` handler is asynchronous, gets the body as chunks, and opens its own transactions.
"""

import inspect
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_type_hints

import msgspec

from andromede.core.context import Context
from andromede.http import faults
from andromede.http.policy import Policy
from andromede.http.versions import Microversions, Version, parse

F = TypeVar("F", bound=Callable[..., Any])
Tx = Literal["read", "write", "none"]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One declaration. `path` is whole (with the API's prefix); `action` is the body's one key where a path dispatches on it."""

    api: "Api"
    method: str
    path: str
    handler: Callable[..., Any]
    policy: Policy
    status: int = 200
    quota: tuple[str, ...] = ()
    first: Version = (0, 0)
    last: Version = (999, 0)
    action: str | None = None
    tx: Tx = "read"
    stream: bool = False
    inline: Callable[..., Any] | None = None
    max_body: int = 1 << 20
    body: Any = None
    query: Any = None
    answer: Any = None
    body_optional: bool = False

    @property
    def name(self) -> str:
        """What tests and listings call it."""
        return f"{self.method} {self.path}" + (f" {self.action}" if self.action else "")


class Api:
    """The routes of one API version of a service.

    name: of the service; type: its catalog type; prefix: its URL path; fault: its errors' shape; slash: whether a final slash
    may be added to the path of a resource; plain: another prefix that serves the same at the lowest version alone; scoped: whether
    every path is served with the project of the token behind the prefix too; check: refuses a request before its handler sees it.
    """

    def __init__(
        self, name: str, *, type: str, prefix: str, fault: faults.Fault, versions: Microversions | None = None,  # noqa: A002
        slash: bool = True, plain: str | None = None, scoped: bool = False, check: "Callable[[Context, Route], None] | None" = None,
    ) -> None:  # fmt: skip
        self.name, self.type, self.prefix, self.fault, self.versions, self.slash = name, type, prefix, fault, versions, slash
        self.plain, self.scoped, self.check = plain, scoped, check
        self.routes: list[Route] = []

    def _declare(self, method: str, path: str, **options: Any) -> Callable[[F], F]:
        def register(handler: F) -> F:
            first, last = options.pop("versions", (None, None))
            hints = get_type_hints(handler, include_extras=True)
            parameter = inspect.signature(handler).parameters.get("body")
            options.setdefault("tx", "read" if method in ("GET", "HEAD") else "write")
            self.routes.append(
                Route(
                    api=self,
                    method=method,
                    path=self.prefix + path,
                    handler=handler,
                    first=parse(first) if first else (0, 0),
                    last=parse(last) if last else (999, 0),
                    body=hints.get("body"),
                    body_optional=parameter is not None and parameter.default is not inspect.Parameter.empty,
                    query=hints.get("query"),
                    answer=hints.get("return"),
                    **options,
                )
            )
            return handler

        return register

    def get(self, path: str, *, policy: Policy, **options: Any) -> Callable[[F], F]:
        """Declare a GET; HEAD is answered too. Options are Route's fields, and `versions=(first, last)`."""
        return self._declare("GET", path, policy=policy, **options)

    def post(self, path: str, *, policy: Policy, **options: Any) -> Callable[[F], F]:
        """Declare a POST."""
        return self._declare("POST", path, policy=policy, **options)

    def put(self, path: str, *, policy: Policy, **options: Any) -> Callable[[F], F]:
        """Declare a PUT."""
        return self._declare("PUT", path, policy=policy, **options)

    def patch(self, path: str, *, policy: Policy, **options: Any) -> Callable[[F], F]:
        """Declare a PATCH."""
        return self._declare("PATCH", path, policy=policy, **options)

    def delete(self, path: str, *, policy: Policy, status: int = 204, **options: Any) -> Callable[[F], F]:
        """Declare a DELETE."""
        return self._declare("DELETE", path, policy=policy, status=status, **options)

    def head(self, path: str, *, policy: Policy, **options: Any) -> Callable[[F], F]:
        """Declare a HEAD that differs from the GET."""
        return self._declare("HEAD", path, policy=policy, **options)

    def action(self, path: str, name: str, *, policy: Policy, status: int = 202, **options: Any) -> Callable[[F], F]:
        """Declare one action of a POST whose body is `{name: …}`; the handler's `body` is what stands behind the name."""
        return self._declare("POST", path, policy=policy, status=status, action=name, **options)


def parameters(path: str) -> list[str]:
    """The names of a path's parameters."""
    return re.findall(r"{(\w+)}", path)
