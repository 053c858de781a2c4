"""The ASGI application: finds the route, proves the caller, opens the transaction, calls the handler, writes the answer.

One request is one transaction. Nothing of a service is known here; identity is reached through `Authenticator`.
"""

import asyncio
import contextvars
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

import msgspec
import structlog
from falcon.routing import CompiledRouter
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from andromede.core.clock import monotonic
from andromede.core.context import NOBODY, Caller, Context, Parts, Query
from andromede.core.errors import BadRequest, CloudError, Conflict, Forbidden, MethodNotAllowed, NotFound, TooLarge, Unauthorized
from andromede.core.ids import new_request_id
from andromede.db.engine import Database
from andromede.http import faults, wire
from andromede.http.api import Api, Route
from andromede.http.policy import Level, permitted
from andromede.http.response import Response

log = structlog.get_logger("api")
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
_SCOPE = "token_project"
_ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
QuotaCheck = Callable[[Context, dict[str, int], str | None], None]


class Authenticator(Protocol):
    """Tells who a token proves."""

    def quick(self, token: str) -> Caller | None:
        """Without the database, or None where that needs it. Raises Unauthorized."""

    def identify(self, token: str) -> Caller:
        """With the database. Raises Unauthorized."""


class Body:
    """The chunks of a streamed request."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BadRequest("The connection ended before the whole body had come.")
            if chunk := message.get("body"):
                yield chunk
            more = message.get("more_body", False)


class _Router(CompiledRouter):
    """Falcon's router, with a node of ours in the place of a resource."""

    def map_http_methods(self, resource: object, **_kwargs: object) -> dict[str, Any]:  # noqa: ARG002
        return {}


class _Node:
    """All the routes of one path, by method."""

    def __init__(self, api: Api, *, plain: bool) -> None:
        self.api, self.plain = api, plain
        self.methods: dict[str, list[Route]] = {}

    def allowed(self) -> str:
        return ", ".join(sorted({*self.methods, *(["HEAD"] if "GET" in self.methods else [])}))


@lru_cache(4)
def _router(apis: tuple[Api, ...]) -> _Router:
    """Where paths lead. It takes a quarter of a second to make, and is the same for every application over the same routes."""
    router, nodes = _Router(), dict[str, _Node]()

    def add(route: Route, path: str, *, plain: bool) -> None:
        if path not in nodes:
            nodes[path] = _Node(route.api, plain=plain)
            router.add_route(path, nodes[path])
        nodes[path].methods.setdefault(route.method, []).append(route)

    for api in apis:
        for route in api.routes:
            add(route, route.path or "/", plain=False)
            if api.plain is not None:
                add(route, api.plain + route.path.removeprefix(api.prefix), plain=True)
            if api.scoped:
                add(route, f"{api.prefix}/{{{_SCOPE}}}{route.path.removeprefix(api.prefix)}", plain=False)
    return router


class Trail(Protocol):
    """What the audit log is told; see `services.audit.trail`."""

    def wanted(self, ctx: Context, route: Route) -> bool:
        """Whether this is told of where it succeeds."""

    def wanted_refusal(self, ctx: Context, error: CloudError) -> bool:
        """Whether this is told of, refused as it was."""

    def note(self, db: Connection, ctx: Context, route: Route, params: Mapping[str, str], response: Response) -> None:
        """A change, in its transaction."""

    def begin(self, ctx: Context, route: Route, params: Mapping[str, str]) -> None:
        """What has no transaction of its own, before it; reads and what anyone may ask for are not told of yet."""

    def tell(self, ctx: Context, route: Route, params: Mapping[str, str], response: Response) -> None:
        """What succeeded, after it."""

    def refused(self, ctx: Context, route: Route | None, params: Mapping[str, str], error: CloudError) -> None:
        """What did not."""


class _Asked:
    """The route that a request turned out to mean."""

    def __init__(self) -> None:
        self.route: Route | None = None
        self.params: dict[str, str] = {}


class App:
    """The application over `apis`.

    public_url: where clients reach it, for links; threads: how many requests do database work at once.
    """

    def __init__(
        self,
        apis: Sequence[Api],
        *,
        parts: Parts,
        database: Database,
        authenticator: Authenticator,
        quota: QuotaCheck | None = None,
        trail: Trail | None = None,
        public_url: str = "http://127.0.0.1:5000",
        threads: int = 12,
    ) -> None:
        self.apis = list(apis)
        self.parts, self.database, self.authenticator, self.quota, self.trail = parts, database, authenticator, quota, trail
        self.public_url = public_url.rstrip("/")
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="request")
        self._router = _router(tuple(apis))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serve one ASGI connection."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
            return
        started = monotonic()
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        remote = str((scope.get("client") or ("",))[0])
        ctx = self.context(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers, remote)
        answer = await self.answer(ctx, scope["path"], receive)
        raw = [(key.encode("latin-1"), value.encode("latin-1", "replace")) for key, value in answer.headers]
        await send({"type": "http.response.start", "status": answer.status, "headers": raw})
        if answer.stream is not None:
            async for chunk in answer.stream:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": answer.body})
        note(ctx, answer.status, started)

    async def answer(self, ctx: Context, path: str, receive: Receive) -> "Answer":
        """What a request is answered, whatever happens; `path` as it was asked for."""
        api: Api | None = None
        asked = _Asked()
        try:
            node, params = self._find(ctx.path)
            api = node.api
            if not api.slash and path.endswith("/") and ctx.path not in (api.prefix, api.plain):
                raise NotFound("The resource could not be found.")
            ctx.base = self.public_url + api.prefix
            if api.versions:
                ctx.version = api.versions.lowest if node.plain else api.versions.negotiate(ctx.headers)
            response, status = await self._serve(node, ctx, params, receive, asked)
        except CloudError as error:
            if self.trail is not None and self.trail.wanted_refusal(ctx, error):
                await self._in_thread(_refused, self.trail, ctx, asked, error)
            response, status = self._fault(error, api or self._closest(ctx.path), ctx), error.status
        except Exception as error:
            log.exception("request failed", request_id=ctx.request_id, method=ctx.method, path=ctx.path)
            hidden = CloudError("An unexpected error prevented the server from fulfilling your request.")
            hidden.__cause__ = error
            response, status = self._fault(hidden, api or self._closest(ctx.path), ctx), 500
        return _answer(ctx, api, response, status)

    def close(self) -> None:
        """Wait for the requests under way."""
        self._pool.shutdown()

    def context(self, method: str, path: str, query: str, headers: dict[str, str], remote: str) -> Context:
        """What a request carries through the layers. `headers`: lower-case names; `query`: as it was sent."""
        pairs = parse_qsl(query, keep_blank_values=True) if query else []
        return Context(
            request_id=new_request_id(), query=Query(pairs), headers=headers, path=path.rstrip("/") or "/", method=method,
            parts=self.parts, quota=self.quota, root=self.public_url, remote=remote,
        )  # fmt: skip

    def _find(self, path: str) -> tuple[_Node, dict[str, str]]:
        found = self._router.find(path)
        if found is None:
            raise NotFound("The resource could not be found.")
        node, _methods, params, *_ = cast("tuple[_Node, Any, dict[str, str]]", found)
        return node, params

    def _closest(self, path: str) -> Api | None:
        return next((api for api in self.apis if path.startswith("/" + api.prefix.strip("/").partition("/")[0])), None)

    async def _serve(
        self, node: _Node, ctx: Context, params: dict[str, str], receive: Receive, asked: _Asked
    ) -> tuple[Response, int]:
        method = "GET" if ctx.method == "HEAD" and "HEAD" not in node.methods else ctx.method
        routes = node.methods.get(method)
        if routes is None:
            raise MethodNotAllowed(f"The method {ctx.method} is not allowed for this resource.", headers={"allow": node.allowed()})
        routes = [route for route in routes if route.first <= ctx.version <= route.last]
        if not routes:
            raise NotFound("The resource could not be found.")
        token = ctx.headers.get("x-auth-token")
        if token:
            try:
                ctx.caller = self.authenticator.quick(token) or ctx.caller
            except Unauthorized:
                if routes[0].policy.level is not Level.PUBLIC:
                    raise
                token = None
        first = asked.route = routes[0]
        asked.params = params
        if first.inline is not None and (quick := first.inline(ctx)) is not None:
            return quick, quick.status or first.status
        if first.stream:
            _refuse_nul(ctx, b"")
            if token and ctx.caller is NOBODY:
                ctx.caller = await self._in_thread(self.authenticator.identify, token)
            self._admit(first, ctx)
            trail = self._trail(ctx, first)
            if trail is not None:
                await self._in_thread(trail.begin, ctx, first, params)
            response = _as_response(await first.handler(ctx, **params, body=Body(receive)))
            if trail is not None:
                await self._in_thread(trail.tell, ctx, first, params, response)
            return response, response.status or first.status
        data = await _read(receive, first.max_body, ctx)
        _refuse_nul(ctx, data)
        served: tuple[Response, int] = await self._in_thread(self._work, routes, ctx, asked, data, token)
        return served

    def _trail(self, ctx: Context, route: Route) -> Trail | None:
        """The audit log where it wants to be told of this."""
        return self.trail if self.trail is not None and self.trail.wanted(ctx, route) else None

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, contextvars.copy_context().run, function, *arguments
        )

    def _admit(self, route: Route, ctx: Context) -> None:
        route.policy.check(ctx)
        rules = ctx.caller.rules
        if rules is not None and route.policy.level is not Level.PUBLIC and not permitted(rules, route.api.type, ctx.method, ctx.path):
            raise Forbidden("The application credential's access rules do not allow this request.")

    def _work(
        self, routes: list[Route], ctx: Context, asked: _Asked, data: bytes, token: str | None
    ) -> tuple[Response, int]:
        if token and ctx.caller is NOBODY:
            try:
                ctx.caller = self.authenticator.identify(token)
            except Unauthorized:
                if routes[0].policy.level is not Level.PUBLIC:
                    raise
        route, value = _choose(routes, data)
        asked.route, params = route, asked.params
        self._admit(route, ctx)
        if route.api.check is not None:
            route.api.check(ctx, route)
        arguments: dict[str, Any] = dict(params)
        scope = arguments.pop(_SCOPE, None) if route.api.scoped else None
        if scope is not None and scope != ctx.caller.project_id:
            raise NotFound("The project in the path is not that of the token.")
        if route.body is not None:
            arguments |= _body(route, ctx, data, value)
        if route.query is not None:
            arguments["query"] = wire.decode(route.query, dict(ctx.query.pairs), version=ctx.version)

        def call(connection: Connection | None) -> Response:
            response = _as_response(route.handler(ctx.bind(connection), **arguments))
            if missed := set(route.quota) - ctx.taken:
                msg = f"{route.name} declares quotas it did not take: {', '.join(sorted(missed))}"
                raise RuntimeError(msg)
            if within is not None and connection is not None:
                within.note(connection, ctx, route, params, response)
            return response

        trail = self._trail(ctx, route)
        within = trail if route.tx == "write" else None
        try:
            if route.tx == "write":
                response = self.database.run(call)
            elif route.tx == "read":
                response = self.database.look(call)
            else:
                if trail is not None:
                    trail.begin(ctx, route, params)
                response = call(None)
            if trail is not None and within is None:
                trail.tell(ctx, route, params, response)
        except IntegrityError as error:
            raise Conflict("This conflicts with something that exists already, or is still in use.") from error
        except DataError as error:
            raise BadRequest("A value is too long, or out of the range of its field.") from error
        finally:
            ctx.bind(None)
        if response.body is not None and not isinstance(response.body, bytes):
            if route.api.versions:
                wire.trim(response.body, ctx.version)
            response.body = wire.encode(response.body)
        return response, response.status or (204 if response.body is None and route.status == 200 else route.status)

    def _fault(self, error: CloudError, api: Api | None, ctx: Context) -> Response:
        body, kind = (api.fault if api else faults.generic)(error, ctx.request_id)
        headers = list(error.headers.items())
        if error.status == 401:
            headers.append(("www-authenticate", f'Keystone uri="{self.public_url}/identity"'))
        if error.status >= 500 and error.__cause__ is not None:
            log.error("refused", request_id=ctx.request_id, error=error.message, cause=repr(error.__cause__))
        return Response(body, headers=headers, content_type=kind)


def _refused(trail: Trail, ctx: Context, asked: _Asked, error: CloudError) -> None:
    """Tell of it. Nothing was done, so the answer stands where the log cannot be written."""
    try:
        trail.refused(ctx, asked.route, asked.params, error)
    except Exception:
        log.exception("a refusal is not in the audit log", request_id=ctx.request_id, status=error.status)


class Answer(msgspec.Struct, frozen=True):
    """What goes back over HTTP: `stream` where it is there, `body` otherwise."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    stream: Any = None


def _answer(ctx: Context, api: Api | None, response: Response, status: int) -> Answer:
    headers = [("x-openstack-request-id", ctx.request_id), *response.headers]
    if api and api.versions and ctx.version != (0, 0):
        headers += api.versions.headers(ctx.version)
    if api and api.type == "compute":
        headers.append(("x-compute-request-id", ctx.request_id))
    body = response.body or b""
    named = {key for key, _ in headers}
    if (body or response.stream) and "content-type" not in named:
        headers.append(("content-type", response.content_type))
    if response.stream is None and status != 204 and "content-length" not in named:
        headers.append(("content-length", str(len(body))))
    if ctx.method == "HEAD" or status == 204:
        return Answer(status, headers, b"")
    return Answer(status, headers, b"" if response.stream is not None else body, response.stream)


def note(ctx: Context, status: int, started: float) -> None:
    """The line that the log has of every request."""
    caller = ctx.caller
    log.info(
        "request", method=ctx.method, path=ctx.path, status=status, ms=round((monotonic() - started) * 1000, 1),
        request_id=ctx.request_id, user=caller.user_id or None, project=caller.project_id,
    )  # fmt: skip


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read(receive: Receive, limit: int, ctx: Context) -> bytes:
    length = ctx.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > limit:
        raise TooLarge(f"The body is larger than the {limit} bytes this request may have.")
    data = b""
    async for chunk in Body(receive):
        data += chunk
        if len(data) > limit:
            raise TooLarge(f"The body is larger than the {limit} bytes this request may have.")
    return data


def _refuse_nul(ctx: Context, data: bytes) -> None:
    """Raise BadRequest for the character NUL anywhere: no database or program takes it as part of a text."""
    asked = [ctx.path, *(part for pair in ctx.query.pairs for part in pair)]
    if any("\0" in text for text in asked) or (rb"\u0000" in data and _ESCAPED_NUL.search(data)):
        raise BadRequest("The request holds the character NUL, which no value may contain.")


def _as_response(value: Any) -> Response:
    return value if isinstance(value, Response) else Response(value)


def _choose(routes: list[Route], data: bytes) -> tuple[Route, Any]:
    """The route that the body's one key names, with what stands behind it; or the only route."""
    if routes[0].action is None:
        return routes[0], None
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest("Malformed request body") from error
    if not isinstance(value, dict) or len(value) != 1:
        raise BadRequest("The body must hold exactly one action.")
    name = next(iter(value))
    for route in routes:
        if route.action == name:
            return route, value[name]
    raise BadRequest(f"There is no such action: {name}")


def _body(route: Route, ctx: Context, data: bytes, value: Any) -> dict[str, Any]:
    if route.action is not None:
        return {"body": wire.decode(route.body, value, version=ctx.version)}
    if route.body is bytes:
        return {"body": data}
    if not data:
        if route.body_optional:
            return {}
        raise BadRequest("The request needs a body.")
    return {"body": wire.decode(route.body, data, version=ctx.version)}
