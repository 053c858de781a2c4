"""Containers as web sites, for those who come without a token: `X-Container-Meta-Web-Index`, `-Error`, `-Listings` and so on.

Source: the Swift documentation, "StaticWeb". Whatever is shown of names is escaped.
"""

import html
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from andromede.http.plain import Reply
from andromede.services.object.service import Place
from andromede.services.object.swift import access, reading
from andromede.services.object.swift.answers import Refused, page, true
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.containers import lines_of
from andromede.services.object.swift.listings import Asked, Line

_META = "x-container-meta-web-"
_HTML = ("Content-Type", "text/html; charset=UTF-8")
_BLANK = '<td class="colsize">&nbsp;</td><td class="coldate">&nbsp;</td>'
_STYLE = (
    '  <style type="text/css">\n   h1 {font-size: 1em; font-weight: bold;}\n   th {text-align: left; padding: 0px 1em 0px 1em;}\n'
    "   td {padding: 0px 1em 0px 1em;}\n   a {text-decoration: none;}\n  </style>\n"
)


def wanted(call: Call) -> bool:
    """Whether a request is for a page."""
    return call.caller is None or true(call.headers.get("x-web-mode"))


async def get(call: Call, handler: Callable[[Call], Awaitable[Reply]]) -> Reply:
    """What a web server would answer, where the container is set as a site; else what Swift does."""
    place = call.place()
    kept = place.container.headers if place else {}
    site = {name[len(_META) :]: value.strip() for name, value in kept.items() if name.startswith(_META)}
    if place is None or not (site.get("index") or site.get("listings") or site.get("error")):
        if true(call.headers.get("x-web-mode")) and not call.name:
            access.to_container(call, place)
            raise Refused(404)
        return await handler(call)
    try:
        return await (_object(call, place, site) if call.name else _container(call, place, site, handler))
    except Refused as fault:
        return await _failed(call, site, fault)


async def _container(call: Call, place: Place, site: dict[str, str], handler: Callable[[Call], Awaitable[Reply]]) -> Reply:
    if not _listable(call, place):
        raise access.denied(call)
    if not site.get("listings") and not site.get("index"):
        return await handler(call)
    if not call.request.path.endswith(b"/"):
        return _with_slash(call)
    if site.get("index"):
        try:
            return await reading.get(call.at(call.account_name, call.container, site["index"], call.method, {}))
        except Refused as fault:
            if fault.status != 404:
                raise
    return _listing(call, place, site, "")


async def _object(call: Call, place: Place, site: dict[str, str]) -> Reply:
    try:
        reply = await reading.get(call)
        kind = next((value for name, value in reply.headers if name == "Content-Type"), "")
        length = int(next((value for name, value in reply.headers if name == "Content-Length"), "0"))
        if kind != (site.get("directory-type") or "application/directory") or length > 1:
            return reply
    except Refused as fault:
        if fault.status != 404 or not (site.get("index") or site.get("listings")):
            raise
    slash = call.request.path.endswith(b"/")
    folder = call.name if slash else call.name + "/"
    if site.get("index"):
        try:
            reply = await reading.get(call.at(call.account_name, call.container, folder + site["index"], call.method, {}))
        except Refused as fault:
            if fault.status != 404:
                raise
        else:
            return reply if slash else _with_slash(call)
    if not slash:
        if _listable(call, place) and call.objects.listing(place, prefix=folder, limit=1):
            return _with_slash(call)
        raise Refused(404)
    return _listing(call, place, site, folder)


def _with_slash(call: Call) -> Reply:
    return Reply(301, [_HTML, ("Location", call.request.raw_path + "/")], page(301))


async def _failed(call: Call, site: dict[str, str], fault: Refused) -> Reply:
    """The site's own page for an error, where it has one."""
    reply = fault.reply()
    if fault.status not in {401, 404} or not site.get("error"):
        return reply
    try:
        own = await reading.get(call.at(call.account_name, call.container, f"{fault.status}{site['error']}", "GET", {}))
    except Refused:
        return reply
    if own.status // 100 != 2:
        return reply
    return Reply(fault.status, own.headers, own.body, own.stream)


def _listable(call: Call, place: Place) -> bool:
    """Whether the caller may see what there is."""
    try:
        access.to_container(call, place)
    except Refused:
        return call.granted != "" and access.may(call, place)
    return True


def _listing(call: Call, place: Place, site: dict[str, str], prefix: str) -> Reply:
    label = html.escape(f"{site['listings-label']}/{prefix}" if site.get("listings-label") else call.request.path.decode())
    head = f"<!DOCTYPE html>\n<html>\n <head>\n  <title>Listing of {label}</title>\n{_style(site, prefix)} </head>\n <body>\n"
    if not true(site.get("listings")):
        raise Refused(404, f"{head}  <h1>Web Listing Disabled</h1>\n  <p>The owner of this web site has disabled it.</p>\n </body>\n</html>\n")
    if not _listable(call, place):
        raise access.denied(call)
    found = lines_of(call, place, Asked(call.settings.listing_limit, prefix, "/", "", "", "", False, None))
    if prefix and not found:
        raise Refused(404)
    rows = [f'   <tr id="parent" class="item"><td class="colname"><a href="../">../</a></td>{_BLANK}</tr>\n'] if prefix else []
    rows += [_row(one, len(prefix)) for one in sorted(found, key=lambda one: "name" in one)]
    body = (
        f'{head}  <h1 id="title">Listing of {label}</h1>\n  <table id="listing">\n'
        '   <tr id="heading"><th class="colname">Name</th><th class="colsize">Size</th><th class="coldate">Date</th></tr>\n'
        f"{''.join(rows)}  </table>\n </body>\n</html>\n"
    )
    return Reply(200, [_HTML], body.encode())


def _row(one: Line, skip: int) -> str:
    name = (one.get("subdir") or one["name"])[skip:]
    link = f'<a href="{html.escape(quote("./" + name if ":" in name else name))}">{html.escape(name)}</a>'
    if "subdir" in one:
        return f'   <tr class="item subdir"><td class="colname">{link}</td>{_BLANK}</tr>\n'
    kinds = " ".join("type-" + html.escape(part.lower()) for part in one["content_type"].split("/"))
    moment = html.escape(one["last_modified"].split(".")[0].replace("T", " "))
    cells = f'<td class="colname">{link}</td><td class="colsize">{_size(one["bytes"])}</td><td class="coldate">{moment}</td>'
    return f'   <tr class="item {kinds}">{cells}</tr>\n'


def _size(count: int) -> str:
    value, units = float(count), iter(("", "Ki", "Mi", "Gi", "Ti"))
    unit = next(units)
    while value >= 1024 and unit != "Ti":
        value, unit = value / 1024, next(units)
    return f"{round(value)}{unit}"


def _style(site: dict[str, str], prefix: str) -> str:
    css = site.get("listings-css", "")
    if not css:
        return _STYLE
    path = quote(css, safe=":/") if css.startswith(("/", "http://", "https://")) else "../" * prefix.count("/") + quote(css)
    return f'  <link rel="stylesheet" type="text/css" href="{html.escape(path)}" />\n'
