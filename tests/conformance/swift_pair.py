"""Our Swift and Swift itself, side by side: they get the same requests and must answer the same.

What differs on purpose, with the reason:
- times, transaction ids, the names of storage policies, and the `Server` header are each one's own;
- an account's counts of objects and bytes: upstream's are brought up to date by a daemon, ours are exact at once;
- Content-Length of a listing: our JSON has no blanks between its parts;
- the ETag of a static large object's manifest as such: it is over that JSON;
- bodies of 401 and 403 to HEAD, which have none; Allow lists COPY for objects, and its order means nothing;
- HEAD has no ranges: upstream ignores Range too, but of dynamic large objects, of which it answers 416;
- 416 to a range of a large object carries the object's headers, or none of them, upstream: ours are always those of any object;
- an object from before versioning was enabled keeps the version id `null`, as in S3, where upstream makes one of its time;
- Content-Location with the version's id in every answer of a versioned container: the version is in X-Object-Version-Id;
- deleting a manifest with its segments counts a segment that is there twice once;
- quotas count what is there now, where upstream's may be as old as its cache;
- Location is a path; HTML pages of listings have the same content in other words;
- what makes upstream fail with 500 (a manifest whose segments are no objects) is a 400;
- who may not do something at all is told so (401, 403) where upstream's filters find fault with the request first (400, 412), or the
  other way round;
- a header's value that is not UTF-8: refused with 400 where upstream keeps bytes that no client can show.
"""

import http.client
import json
import os
import re

import msgspec

from andromede.core.context import Caller

TOKENS = {
    "member": {"user": "u1", "project": "p1", "roles": ["member", "reader"]},
    "reader": {"user": "u2", "project": "p1", "roles": ["reader"]},
    "stranger": {"user": "u3", "project": "p2", "roles": ["member", "reader"]},
    "admin": {"user": "u4", "project": "p3", "roles": ["admin", "member", "reader"]},
}
http.client._MAXHEADERS = 1000
http.client._MAXHEADERS = 1000
COMPARED = (
    "content-type", "etag", "content-range", "accept-ranges", "content-encoding", "content-disposition", "cache-control", "content-language",
    "expires", "x-delete-at", "x-static-large-object", "x-object-manifest", "www-authenticate", "location", "content-location", "vary",
    "x-container-object-count", "x-container-bytes-used", "x-container-read", "x-container-write", "x-account-container-count",
    "x-versions-location", "x-history-location", "x-versions-enabled", "x-copied-from", "x-copied-from-account", "x-symlink-target",
    "x-symlink-target-account", "x-parts-count", "x-symlink-target-etag", "x-symlink-target-bytes", "x-robots-tag", "access-control-allow-origin",
    "access-control-allow-methods", "access-control-allow-headers", "access-control-max-age",
)  # fmt: skip
PREFIXES = ("x-object-meta-", "x-container-meta-", "x-account-meta-", "x-account-quota-")


class People:
    """Who the tokens stand for."""

    async def of_token(self, token):
        one = TOKENS.get(token)
        if one is None:
            return None
        return Caller(
            user_id=one["user"], user_name=one["user"] + "-name", user_domain_id="default", project_id=one["project"],
            project_name=one["project"] + "-name", project_domain_id="default", roles=frozenset(one["roles"]),
        )  # fmt: skip


class Told(msgspec.Struct):
    """What one side answered, as it can be compared."""

    status: int
    headers: dict[str, str]
    body: object


class Side:
    """One of the two."""

    def __init__(self, url, *, upstream):
        self.host, self.upstream = url.removeprefix("http://"), upstream
        self.connection = http.client.HTTPConnection(self.host, timeout=20)
        self.values = {}
        self.last = []

    def raw(self, method, path, headers=None, body=None):
        for attempt in (0, 1):
            try:
                self.connection.putrequest(method, path, skip_accept_encoding=True)
                sent = {key.lower() for key in headers or {}}
                for key, value in (headers or {}).items():
                    self.connection.putheader(key, value.encode() if isinstance(value, str) else value)
                if body is not None and "content-length" not in sent and "transfer-encoding" not in sent:
                    self.connection.putheader("Content-Length", str(len(body)))
                self.connection.endheaders()
                if body:
                    self.connection.send(body)
                answer = self.connection.getresponse()
                out = answer.status, [(key.lower(), value) for key, value in answer.getheaders()], answer.read()
            except (http.client.HTTPException, OSError):
                self.connection.close()
                if attempt:
                    raise
                continue
            if answer.will_close:
                self.connection.close()
            return out
        raise AssertionError

    def __call__(self, method, path, headers=None, body=None):
        path = re.sub(r"\{(\w+)\}", lambda found: self.values[found[1]], path)
        status, pairs, data = self.raw(method, path, headers, body)
        self.last = pairs
        kept = {key: value for key, value in pairs if key in COMPARED or key.startswith(PREFIXES)}
        return Told(status, _headers(kept), _body(kept.get("content-type", ""), data))


def _headers(kept):
    out = {}
    for key, value in kept.items():
        text = re.sub(r"boundary=\S+", "boundary=B", value)
        if key == "location":
            text = re.sub(r"^http://127.0.0.1:\d+", "", text)
        if key in {"access-control-allow-methods", "access-control-allow-headers"}:
            text = ",".join(sorted(text.split(", ")))
        out[key] = text
    if "multipart/byteranges" in out.get("content-type", ""):
        out["content-type"] = "multipart/byteranges;boundary=B"
    return out


def _body(kind, data):
    data = data.lstrip() if kind.startswith("application/json") else data
    if kind.startswith("application/json") and data[:1] in (b"[", b"{"):
        return _json(json.loads(data))
    text = data.decode("latin-1")
    if "multipart/byteranges" in kind:
        boundary = text.split("\r\n", 1)[0]
        text = text.replace(boundary, "--B")
    return re.sub(r"<(last_modified|storage_policy|count|bytes)>[^<]*</\1>", "", text)


def _json(value):
    if isinstance(value, list):
        return [_json(one) for one in value]
    if isinstance(value, dict):
        dropped = {"last_modified", "storage_policy", "Last Modified"}
        dropped |= ({"count", "bytes"} if "count" in value else set()) | ({"hash"} if "slo_etag" in value else set())
        value = {key: _json(one) for key, one in value.items() if key not in dropped}
        if value.get("version_id", "null") != "null":
            value["version_id"] = "V"
        return value
    return value


class Both:
    """Sends to both, and remembers what differed."""

    def __init__(self, ours, theirs):
        self.ours, self.theirs = ours, theirs
        self.differences = []
        self.sent = []

    def __call__(self, method, path, headers=None, body=None, token="member"):
        headers = {**({"X-Auth-Token": token} if token else {}), **(headers or {})}
        if method in ("PUT", "POST", "COPY") and body is None:
            body = b""
        mine, right = self.ours(method, path, headers, body), self.theirs(method, path, headers, body)
        self.sent.append((method, path, headers))
        if not same(method, mine, right, token not in {"member", "admin"}):
            shown = body[:80] if body else ""
            self.differences.append(f"{method} {path} {headers} {shown}\n   ours  {mine}\n   swift {right}")
        return mine

    def remember(self, name, header):
        """Keep a header of the last answers, each side's own, for later paths as `{name}`."""
        for side in (self.ours, self.theirs):
            side.values[name] = dict(side.last).get(header, "none")

    def check(self):
        most = int(os.environ.get("ANDROMEDE_SWIFT_SHOWN", "12"))
        assert not self.differences, f"{len(self.differences)} differ\n" + "\n".join(self.differences[:most])


def same(method, mine, right, refused):
    if refused and ({401, 403} & {mine.status, right.status}) and min(mine.status, right.status) >= 400:
        return True
    if right.status >= 500 and mine.status == 400:
        return True
    if method == "HEAD" and right.status == 416:
        return mine.status in {200, 416}
    if mine.status != right.status:
        return False
    ours, theirs = dict(mine.headers), dict(right.headers)
    if mine.status == 416:
        return ours["content-range"] == theirs["content-range"]
    if "?version-id=" in theirs.get("content-location", ""):
        del theirs["content-location"]
    if mine.status == 304:
        ours.pop("content-type", None)
        theirs.pop("content-type", None)
    return ours == theirs and (method == "HEAD" or mine.body == right.body)
