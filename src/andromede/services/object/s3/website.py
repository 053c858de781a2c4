"""Buckets as websites: pages for their folders, pages for errors, redirections. Only what everybody may read is shown.

Source: Amazon S3 User Guide, "Hosting a static website using Amazon S3".
"""

from typing import Any
from urllib.parse import quote

from andromede.http.plain import Reply
from andromede.services.object.s3 import reading
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import escape, malformed

_REDIRECT = {"HostName": str, "HttpRedirectCode": str, "Protocol": str, "ReplaceKeyPrefixWith": str, "ReplaceKeyWith": str}
SHAPE = {
    "IndexDocument": {"Suffix": str}, "ErrorDocument": {"Key": str}, "RedirectAllRequestsTo": {"HostName": str, "Protocol": str},
    "RoutingRules": {"RoutingRule": [{
        "Condition": {"HttpErrorCodeReturnedEquals": str, "KeyPrefixEquals": str}, "Redirect": _REDIRECT,
    }]},
}  # fmt: skip
_MOST = 50


def checked(_ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """A configuration that somebody sends. Raises MalformedXML, InvalidArgument, InvalidRequest."""
    every = values.get("RedirectAllRequestsTo")
    if every is not None:
        if not every.get("HostName") or len(values) > 1 or every.get("Protocol", "http") not in {"http", "https"}:
            raise malformed()
        return values
    suffix = values.get("IndexDocument", {}).get("Suffix", "")
    if not suffix or "/" in suffix:
        raise S3Error("InvalidArgument", "The IndexDocument Suffix is not well formed", ArgumentName="IndexDocument")
    if "ErrorDocument" in values and not values["ErrorDocument"].get("Key"):
        raise malformed()
    rules = values.get("RoutingRules", {}).get("RoutingRule", [])
    if len(rules) > _MOST:
        raise malformed()
    for rule in rules:
        redirect = rule.get("Redirect")
        if not redirect or ("ReplaceKeyWith" in redirect and "ReplaceKeyPrefixWith" in redirect):
            raise malformed()
        if redirect.get("HttpRedirectCode", "301") not in {"301", "302", "303", "304", "305", "307", "308"}:
            raise S3Error("InvalidRequest", f"Invalid HTTP redirect code: {redirect['HttpRedirectCode'][:8]}")
        if redirect.get("Protocol", "http") not in {"http", "https"}:
            raise S3Error("InvalidRequest", "Invalid protocol, protocol can be http or https.")
    return values


async def serve(ask: Ask) -> Reply:
    """Answers a browser."""
    method = ask.request.method
    try:
        if method not in {"GET", "HEAD"}:
            raise S3Error("MethodNotAllowed", Method=method)
        site = ask.place.container.s3.get("website")
        if site is None:
            raise S3Error("NoSuchWebsiteConfiguration", BucketName=ask.bucket)
    except S3Error as error:
        return _page(error)
    if every := site.get("RedirectAllRequestsTo"):
        return _to(f"{every.get('Protocol', ask.request.scheme)}://{every['HostName']}/{quote(ask.key)}", 301)
    key = ask.key
    if rule := _rule(site, key, None):
        return _redirected(ask, rule, key)
    suffix = site["IndexDocument"]["Suffix"]
    try:
        return await _object(ask, key + suffix if not key or key.endswith("/") else key)
    except S3Error as error:
        if rule := _rule(site, key, error.status):
            return _redirected(ask, rule, key)
        if error.status in {403, 404} and key and not key.endswith("/"):
            try:
                await _object(ask, f"{key}/{suffix}")
                return _to(f"/{quote(key)}/", 302)
            except S3Error:
                ask.key = key
        if 400 <= error.status < 500 and (page := site.get("ErrorDocument")):
            try:
                reply = await _object(ask, page["Key"])
            except S3Error:
                return _page(error)
            reply.status = error.status
            return reply
        return _page(error)


async def _object(ask: Ask, key: str) -> Reply:
    ask.key, ask.query, ask.pairs = key, {}, []
    reply = await reading.get(ask)
    target = next((value for name, value in reply.headers if name == "x-amz-website-redirect-location"), "")
    return _to(target, 301) if target else reply


def _rule(site: dict[str, Any], key: str, status: int | None) -> dict[str, Any] | None:
    """The first rule that is meant, before anything is read (status None) or after an error."""
    for rule in site.get("RoutingRules", {}).get("RoutingRule", ()):
        condition = rule.get("Condition", {})
        code = condition.get("HttpErrorCodeReturnedEquals")
        if code == (None if status is None else str(status)) and key.startswith(condition.get("KeyPrefixEquals", "")):
            return dict(rule)
    return None


def _redirected(ask: Ask, rule: dict[str, Any], key: str) -> Reply:
    redirect, prefix = rule["Redirect"], rule.get("Condition", {}).get("KeyPrefixEquals", "")
    if "ReplaceKeyWith" in redirect:
        key = redirect["ReplaceKeyWith"]
    elif "ReplaceKeyPrefixWith" in redirect:
        key = redirect["ReplaceKeyPrefixWith"] + key[len(prefix) :]
    host, protocol = redirect.get("HostName") or ask.header("host"), redirect.get("Protocol") or ask.request.scheme
    return _to(f"{protocol}://{host}/{quote(key)}", int(redirect.get("HttpRedirectCode", "301")))


def _to(target: str, status: int) -> Reply:
    if any(letter < " " or letter == "\x7f" for letter in target):
        return _page(S3Error("InvalidRequest"))
    return Reply(status, [("location", target)])


def _page(error: S3Error) -> Reply:
    title = f"{error.status} {error.kind}"
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1><p>{escape(error.message)}</p></body></html>\n"
    return Reply(error.status, [("content-type", "text/html; charset=utf-8"), ("x-amz-error-code", error.kind)], text.encode())
