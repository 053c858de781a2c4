"""One request of OCS, and the routes that answer it."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from andromede.core.errors import BadRequest
from andromede.db.engine import Database
from andromede.http.plain import Request
from andromede.services.drive.ocs.answers import Data
from andromede.services.drive.people import People, Person
from andromede.services.drive.settings import Settings

MOST = 65_536


class Call(msgspec.Struct):
    """Who asks what. given: what query and body say, the body's word counting; path: the texts that the path holds."""

    request: Request
    someone: Person | None
    given: dict[str, Any]
    people: People
    settings: Settings
    path: dict[str, str] = {}

    @property
    def person(self) -> Person:
        """Who asks."""
        assert self.someone is not None
        return self.someone

    @property
    def database(self) -> Database:
        """Where the rows are."""
        return self.people.database

    def text(self, name: str, default: str = "", most: int = 1000) -> str:
        """A text that was given. Raises BadRequest for anything else, or a longer one."""
        value = self.given.get(name, default)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise BadRequest(f"The parameter {name} must be a text.")
        if len(text := str(value)) > most:
            raise BadRequest(f"The parameter {name} may have {most} characters.")
        return text

    def number(self, name: str, default: int, least: int = 0, most: int = 2**53) -> int:
        """A number that was given. Raises BadRequest."""
        text = self.text(name, str(default), 20) or str(default)
        if not re.fullmatch(r"-?[0-9]+", text) or not least <= int(text) <= most:
            raise BadRequest(f"The parameter {name} must be a number from {least} to {most}.")
        return int(text)

    def yes(self, name: str) -> bool:
        """Whether something was said to be so."""
        return self.given.get(name) is True or str(self.given.get(name, "")).lower() in {"1", "true", "yes", "on"}


Handler = Callable[[Call], Data]


class Route(msgspec.Struct, frozen=True):
    """A method and a path below `/ocs/vN.php`, in whose pattern braces are named texts without slashes; open: nobody need sign in."""

    method: str
    path: str
    handler: Handler
    open: bool = False


class Routes:
    """Finds the handler of a path."""

    def __init__(self, routes: list[Route]) -> None:
        self._routes = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", each.path)), each) for each in routes]

    def find(self, method: str, path: str) -> tuple[Route | None, dict[str, str], bool]:
        """The route with what its path holds; and whether there is another method for it."""
        met = [(found, route) for pattern, route in self._routes if (found := pattern.fullmatch(path))]
        for found, route in met:
            if route.method == method:
                return route, found.groupdict(), True
        return None, {}, bool(met)


async def given(request: Request) -> dict[str, Any]:
    """What query and body say: a form, or an object of JSON. Raises BadRequest."""
    try:
        out: dict[str, Any] = {}
        for name, value in parse_qsl(request.raw_query, keep_blank_values=True, max_num_fields=100, errors="strict"):
            _put(out, name, value)
        raw = await request.read(MOST)
        if not raw.strip():
            return out
        if request.headers.get("content-type").partition(";")[0].strip().lower() == "application/json":
            said = msgspec.json.decode(raw)
            if not isinstance(said, dict):
                raise BadRequest("The body must be an object.")
            return out | said
        for name, value in parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100, errors="strict"):
            _put(out, name, value)
    except (ValueError, msgspec.DecodeError) as error:
        raise BadRequest("The request cannot be read.") from error
    else:
        return out


def _put(out: dict[str, Any], name: str, value: str) -> None:
    """Add a value; names that end with brackets are lists."""
    if name.endswith("[]"):
        out.setdefault(name[:-2], []).append(value)
    else:
        out[name] = value
