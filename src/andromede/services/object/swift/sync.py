"""Container sync: what the other side of a synchronized container sends, and where a container may be synchronized to.

A request is proven by `X-Container-Sync-Auth`, a signature with the key of the realm and that of the container; or, where no realm is
meant, by the container's key alone. What comes has the moment at which it was put there, and takes the place that this gives it.
Source: the Swift documentation, "Container to Container Synchronization".
"""

import hashlib
import hmac
from urllib.parse import SplitResult, quote, unquote, urlsplit

import msgspec

from andromede.drivers.blob import View
from andromede.http.plain import Reply
from andromede.services.object import changes, placing
from andromede.services.object.changes import Place
from andromede.services.object.errors import NoContainer
from andromede.services.object.model import DLO, LINK
from andromede.services.object.swift import dlo, symlinks, writing
from andromede.services.object.swift.answers import Refused, bad, date, reply
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.settings import Settings
from andromede.services.object.watching import SYNC_KEY, SYNC_TO

AUTH, STAMP = "x-container-sync-auth", "x-timestamp"
METHODS = frozenset({"PUT", "DELETE", "HEAD"})


class Target(msgspec.Struct, frozen=True):
    """Where a container is synchronized to. url: of the container there; realm, key: those that requests are signed with, "" for none."""

    url: SplitResult
    realm: str = ""
    key: str = ""


def target(settings: Settings, text: str) -> Target:
    """Where an X-Container-Sync-To leads. Raises Refused."""
    text = text.rstrip("/")
    if text.startswith("//"):
        parts = text[2:].split("/")
        if len(parts) != 4 or not all(parts):
            raise bad(f"Invalid X-Container-Sync-To format {text!r}")
        name, cluster, account, container = parts
        realm = settings.realms.get(name.upper())
        if realm is None:
            raise bad(f"No realm key for {name!r}")
        url = realm.clusters.get(cluster.upper())
        if not url:
            raise bad(f"No cluster endpoint for {name!r} {cluster!r}")
        return Target(urlsplit(f"{url.rstrip('/')}/{quote(account)}/{quote(unquote(container))}"), name.upper(), realm.keys[0])
    try:
        url_parts = urlsplit(text)
    except ValueError:
        raise bad("Invalid X-Container-Sync-To") from None
    if url_parts.scheme not in {"http", "https"}:
        raise bad(f'Invalid scheme {url_parts.scheme!r} in X-Container-Sync-To, must be "//", "http", or "https".')
    if not url_parts.path:
        raise bad("Path required in X-Container-Sync-To")
    if url_parts.query or url_parts.fragment or not text.isascii() or not text.isprintable() or " " in text:
        raise bad("Params, queries, and fragments not allowed in X-Container-Sync-To")
    if url_parts.username is not None or url_parts.hostname not in settings.sync_hosts:
        raise bad(f"Invalid host {url_parts.hostname!r} in X-Container-Sync-To")
    return Target(url_parts)


def signature(realm_key: str, user_key: str, method: str, path: str, moment: str, nonce: str) -> str:
    """What a request is signed with."""
    text = "\n".join((method, path, moment, nonce, user_key))
    return hmac.new(realm_key.encode(), text.encode("utf-8", "surrogateescape"), hashlib.sha1).hexdigest()


def grant(call: Call) -> None:
    """Let the request write where it proves that it comes from the other side; nothing happens where it does not claim to. Raises Refused."""
    place = call.place() if call.container and call.name and call.account and call.method in METHODS else None
    own = place.container.headers.get(SYNC_KEY, "") if place is not None else ""
    given, key = call.headers.get(AUTH), call.headers.get(SYNC_KEY)
    if given:
        if not own or not _proven(call, given.split(), own):
            raise Refused(401, "X-Container-Sync-Auth header not valid; contact cluster operator for support.", plain=True,
                          headers=[("Www-Authenticate", f'SwiftContainerSync realm="{quote(call.account_name)}"')])  # fmt: skip
    elif not (key and own and hmac.compare_digest(key.encode("utf-8", "surrogateescape"), own.encode("utf-8", "surrogateescape"))):
        return
    call.caller, call.granted, call.scope = None, call.account, call.container
    call.stamp = changes.moment(call.headers.get(STAMP)) or 0
    if not call.stamp:
        raise Refused(400, "Missing X-Timestamp header", plain=True)


def _proven(call: Call, given: list[str], own: str) -> bool:
    realm = call.settings.realms.get(given[0].upper()) if len(given) == 3 else None
    if realm is None:
        return False
    raw, moment = call.request.raw_path, call.headers.get(STAMP, "0")
    paths = dict.fromkeys((raw, quote(call.request.path), quote(call.request.path, safe="/~")))
    made = [signature(key, own, call.method, path, moment, given[1]) for key in realm.keys for path in paths]
    return any(hmac.compare_digest(each.encode(), given[2].encode("utf-8", "surrogateescape")) for each in made)


async def put(call: Call) -> Reply:
    """PUT of an object from the other side."""
    place = writing.writable(call)
    if "x-static-large-object" in call.headers:
        raise Refused(501, "Manifests of static large objects cannot be synchronized.", plain=True)
    thing = msgspec.structs.replace(writing.described(call), stamp=call.stamp)
    if call.headers.get(symlinks.TARGET):
        link, _there = symlinks.wanted(call)
        thing = msgspec.structs.replace(thing, kind=LINK, target=link)
    elif call.headers.get(dlo.HEADER):
        thing = msgspec.structs.replace(thing, kind=DLO, target=dlo.wanted(call))
    known = call.objects.newest(place, call.name)
    if known is not None and max(known.object.posted, known.object.stamp) >= call.stamp:
        return reply(202)
    blob, thing = await writing.written(call, place, call.name, thing, call.request.body(), call.request.length)

    def run(view: View) -> bool:
        return placing.place(view, place, call.name, thing, [blob])

    try:
        new = await call.store.commit(place.shard, run, fresh=[blob])
    except NoContainer:
        raise Refused(404) from None
    return reply(201 if new else 202, [("Etag", thing.etag), ("Last-Modified", date(thing.stamp))])


async def delete(call: Call) -> Reply:
    """DELETE of an object by the other side: what was put later stays."""
    place = writing.writable(call)

    def run(view: View) -> bool | None:
        container = call.objects.present(view, place)
        last = placing.newest(view, container, call.name)
        if last is None or last.kind == "marker":
            return None
        return max(last.posted, last.stamp) < call.stamp and changes.delete(view, place, container, call.name) is not None

    done = await call.store.commit(place.shard, run)
    if done is None:
        raise Refused(404)
    return reply(204 if done else 409)


def walk(view: View, place: Place, marker: str = "") -> None:
    """Note that all objects of a container are to be sent, from a marker on."""
    from andromede.services.object import tasks
    from andromede.services.object.model import stamp

    facts = {"walk": True}
    tasks.add(view, tasks.Task(kind=tasks.SYNC, account=place.account, container=place.id, bucket=place.name, name=marker, made=stamp(), facts=facts))


def asked(call: Call, wanted: dict[str, str]) -> None:
    """Raise Refused where a container is to be synchronized to where it may not be."""
    if wanted.get(SYNC_TO):
        target(call.settings, wanted[SYNC_TO])
