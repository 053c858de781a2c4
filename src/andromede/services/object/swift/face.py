"""Swift v1: what a request's path and method mean, who asks, and how anything that goes wrong is answered."""

from collections.abc import Awaitable, Callable

import structlog

from andromede.core.clock import now
from andromede.core.errors import CloudError
from andromede.http.plain import Gone, Reply, Request
from andromede.services.object.callers import Callers
from andromede.services.object.contents import Sealed
from andromede.services.object.model import project_of
from andromede.services.object.service import Objects
from andromede.services.object.swift import (
    access,
    accounts,
    bulk,
    containers,
    copying,
    cors,
    formpost,
    info,
    rates,
    reading,
    remap,
    static,
    sync,
    tempurl,
    writing,
)  # fmt: skip
from andromede.services.object.swift.answers import HTML, REASONS, Refused, page
from andromede.services.object.swift.call import Call, split
from andromede.services.object.swift.settings import Settings
from andromede.services.object.watching import SYNC_KEY

log = structlog.get_logger("object")
Handler = Callable[[Call], Awaitable[Reply]]
ACCOUNT: dict[str, Handler] = {
    "GET": accounts.get, "HEAD": accounts.head, "POST": accounts.post, "PUT": accounts.put, "DELETE": accounts.delete,
}  # fmt: skip
CONTAINER: dict[str, Handler] = {
    "GET": containers.get, "HEAD": containers.head, "POST": containers.post, "PUT": containers.put, "DELETE": containers.delete,
}  # fmt: skip
OBJECT: dict[str, Handler] = {
    "GET": reading.get, "HEAD": reading.get, "PUT": writing.put, "POST": writing.post, "DELETE": writing.delete, "COPY": copying.copy,
}  # fmt: skip
SYNCED: dict[str, Handler] = {"PUT": sync.put, "DELETE": sync.delete, "HEAD": reading.get}
"""For the other sides of synchronized containers."""
_CROSSDOMAIN = (
    '<?xml version="1.0"?>\n<!DOCTYPE cross-domain-policy SYSTEM "http://www.adobe.com/xml/dtds/cross-domain-policy.dtd" >\n'
    "<cross-domain-policy>\n%s\n</cross-domain-policy>"
)
VERSIONS = frozenset({"v1", "v1.0"})
EXPIRES = ("temp_url_sig", "temp_url_expires")


class Swift:
    """A face of the object store."""

    def __init__(self, objects: Objects, callers: Callers, settings: Settings | None = None) -> None:
        self._objects, self._callers, self._settings = objects, callers, settings or Settings()
        self._rates = rates.Rates(self._settings) if self._settings.writes_per_second else None

    async def __call__(self, request: Request) -> Reply:
        """Answer a request, whatever becomes of it."""
        call: Call | None = None
        try:
            call = Call(request, self._objects, self._settings)
            reply = await self._answer(call)
        except Refused as fault:
            reply = fault.reply()
        except Gone:
            reply = Reply(499, [HTML], page(499))
        except Sealed as fault:
            reply = Refused(fault.status, fault.message, plain=True).reply()
        except CloudError as fault:
            status = fault.status if fault.status in REASONS else 500
            if status >= 500:
                log.warning("refused", request_id=request.id, cause=repr(fault))
            reply = Reply(status, [HTML], page(status))
        except Exception:
            log.exception("unexpected", request_id=request.id)
            reply = Reply(500, [HTML], page(500))
        if call is not None:
            if call.extra:
                reply.headers += call.extra
            if call.caller is not None:
                request.notes["user"] = call.caller.user_id
            if "origin" in request.headers and request.method != "OPTIONS":
                cors.told(call, reply)
        trans = f"tx{request.id[4:].replace('-', '')[:21]}-{int(now().timestamp()):010x}"
        reply.headers += [("X-Trans-Id", trans), ("X-Openstack-Request-Id", request.id)]
        return reply

    async def _answer(self, call: Call) -> Reply:
        request = call.request
        path = request.path
        if self._settings.storage_domain:
            path = remap.path(call, path)
        if path == b"/healthcheck":
            return Reply(200, [("Content-Type", "text/plain")], b"OK")
        if path == b"/crossdomain.xml" and self._settings.crossdomain and request.method == "GET":
            return Reply(200, [("Content-Type", "application/xml; charset=UTF-8")], (_CROSSDOMAIN % self._settings.crossdomain).encode())
        if path == b"/info":
            return info.answer(call)
        version, call.account_name, call.container, call.name = split(path)
        if version not in VERSIONS:
            raise Refused(400)
        call.account = project_of(call.account_name)
        await self._identify(call)
        if not call.account:
            raise access.denied(call)
        return await self._handle(call)

    async def _identify(self, call: Call) -> None:
        """Find out who asks: by a token, or by what the request itself proves."""
        token = call.headers.get("x-auth-token") or call.headers.get("x-storage-token")
        if token:
            call.caller = await self._callers.of_token(token)
        if call.query and any(name in call.query for name in EXPIRES):
            tempurl.grant(call)
        if sync.AUTH in call.headers or SYNC_KEY in call.headers:
            sync.grant(call)

    async def _handle(self, call: Call) -> Reply:
        method, query = call.method, call.query
        if method == "OPTIONS":
            return cors.options(call)
        handlers = OBJECT if call.name else CONTAINER if call.container else ACCOUNT
        access.writable(call)
        if query:
            if method == "PUT" and "extract-archive" in query:
                return await bulk.extract(call)
            if "bulk-delete" in query and method in {"POST", "DELETE"}:
                return await bulk.delete(call)
        if method == "POST" and formpost.is_form(call):
            return await formpost.post(call)
        handler = handlers.get(method) if not call.stamp else SYNCED.get(method)
        if handler is None:
            raise Refused(405, headers=[("Allow", cors.ALLOWED[cors.kind(call)])])
        if self._rates is not None and method not in access.READS:
            await self._rates.wait(call)
        if method in access.READS and call.container and static.wanted(call):
            reply = await static.get(call, handler)
        else:
            reply = await handler(call)
        return tempurl.cleaned(call, reply) if call.granted and not call.stamp else reply
