"""Pages of other origins: what browsers may be told, by each container's own settings. Source: the Swift documentation, "CORS"."""

from andromede.http.plain import Reply
from andromede.services.object.service import Place
from andromede.services.object.swift.answers import HTML, Pairs, page
from andromede.services.object.swift.call import Call

_META = "x-container-meta-access-control-"
_EXPOSED = (
    "cache-control", "content-language", "content-type", "expires", "last-modified", "pragma", "etag", "x-timestamp", "x-trans-id",
    "x-openstack-request-id",
)  # fmt: skip
ALLOWED = {
    "account": "GET, HEAD, POST, PUT, DELETE, OPTIONS", "container": "GET, HEAD, POST, PUT, DELETE, OPTIONS",
    "object": "GET, HEAD, POST, PUT, DELETE, COPY, OPTIONS",
}  # fmt: skip


def kind(call: Call) -> str:
    """What the URL names."""
    return "object" if call.name else "container" if call.container else "account"


def _origins(call: Call, place: Place | None) -> list[str]:
    own = place.container.headers.get(_META + "allow-origin", "") if place else ""
    return [*own.split(), *call.settings.origins]


def options(call: Call) -> Reply:
    """The answer to OPTIONS, a browser's question before another request."""
    allow = ALLOWED[kind(call)]
    place = call.place() if call.container else None
    origin, asked = call.headers.get("origin"), call.headers.get("access-control-request-method")
    if not origin:
        return Reply(200, [HTML, ("Allow", allow)])
    origins = _origins(call, place)
    if not asked or asked not in allow.split(", ") or not (origin in origins or "*" in origins):
        return Reply(401, [HTML, ("Allow", allow)], page(401))
    star = "*" in origins
    out: Pairs = [("Allow", allow), ("Access-Control-Allow-Origin", "*" if star else origin), ("Access-Control-Allow-Methods", allow)]
    if place is not None and (age := place.container.headers.get(_META + "max-age")):
        out.append(("Access-Control-Max-Age", age))
    if wanted := call.headers.get("access-control-request-headers"):
        out.append(("Access-Control-Allow-Headers", ", ".join(part.strip() for part in wanted.split(",") if part.strip())))
        if not star:
            out.append(("Vary", "Origin, Access-Control-Request-Headers"))
    elif not star:
        out.append(("Vary", "Origin"))
    return Reply(200, out)


def told(call: Call, reply: Reply) -> None:
    """Add what a browser needs to an answer, where the request names its origin and the container allows that."""
    origin = call.headers.get("origin")
    place = call.place() if call.container else None
    origins = _origins(call, place)
    star = "*" in origins
    if not star and origin not in origins:
        return
    exposed = list(_EXPOSED)
    if place is not None and (more := place.container.headers.get(_META + "expose-headers")):
        exposed += more.replace(",", " ").split()
    exposed += [name.lower() for name, _value in reply.headers if name.lower().startswith(("x-container-meta-", "x-object-meta-"))]
    reply.headers += [("Access-Control-Allow-Origin", "*" if star else origin), ("Access-Control-Expose-Headers", ", ".join(dict.fromkeys(exposed)))]
    if not star:
        reply.headers.append(("Vary", "Origin"))
