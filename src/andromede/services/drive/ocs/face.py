"""`/ocs/v1.php/…` and `/ocs/v2.php/…`: finds what answers, and puts it into the envelope."""

import asyncio
from urllib.parse import unquote

import structlog

from andromede.core.errors import CloudError, MethodNotAllowed, NotFound, Unauthorized
from andromede.http.plain import Gone, Reply, Request
from andromede.services.drive.ocs import answers, cloud, notices, presence, searching, sharees, shares
from andromede.services.drive.ocs.call import Call, Route, Routes, given
from andromede.services.drive.people import REALM, People
from andromede.services.drive.settings import Settings

log = structlog.get_logger("drive")
ROUTES: list[Route] = [*cloud.ROUTES, *presence.ROUTES, *notices.ROUTES, *sharees.ROUTES, *shares.ROUTES, *searching.ROUTES]


class Ocs:
    """The face of OCS."""

    def __init__(self, people: People, settings: Settings) -> None:
        self._people, self._settings = people, settings
        self._routes = Routes(ROUTES)

    async def __call__(self, request: Request, version: int, path: str) -> Reply:
        """Answer a request for what is below `/ocs/vN.php/`."""
        json = "json" in request.headers.get("accept").partition(";")[0]
        try:
            asked = await given(request)
            json = asked.get("format", "json" if json else "xml") == "json"
            route, texts, other = self._routes.find(request.method, path.strip("/"))
            if route is None:
                raise MethodNotAllowed("The method is not there.") if other else NotFound("Invalid query, please check the syntax.")
            return answers.reply(version, json, await asyncio.to_thread(self._answer, request, route, texts, asked))
        except Gone:
            raise
        except CloudError as fault:
            if fault.status >= 500:
                log.warning("refused", request_id=request.id, cause=repr(fault))
            return answers.failure(version, json, fault)

    def _answer(self, request: Request, route: Route, texts: dict[str, str], asked: dict[str, object]) -> answers.Data:
        known = "authorization" in request.headers or "x-auth-token" in request.headers
        if not known and not route.open:
            raise Unauthorized("Current user is not logged in.", headers=REALM)
        person = self._people.of(request) if known else None
        if person is not None:
            request.notes["user"] = person.id
        call = Call(request, person, asked, self._people, self._settings, {name: unquote(text) for name, text in texts.items()})
        return route.handler(call)
