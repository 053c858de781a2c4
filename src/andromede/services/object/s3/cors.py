"""Cross-origin requests of browsers, as a bucket allows them. Source: Amazon S3 User Guide, "Using cross-origin resource sharing"."""

from typing import Any

from andromede.http.plain import Headers, Reply
from andromede.services.object.s3.ask import Ask
from andromede.services.object.s3.errors import S3Error
from andromede.services.object.s3.xml import malformed
from andromede.services.object.service import Place

Rule = dict[str, Any]
SHAPE = {
    "CORSRule": [{
        "ID": str, "AllowedHeader": [str], "AllowedMethod": [str], "AllowedOrigin": [str], "ExposeHeader": [str], "MaxAgeSeconds": int,
    }],
}  # fmt: skip
_METHODS = {"GET", "PUT", "POST", "DELETE", "HEAD"}
_MOST = 100


def checked(_ask: Ask, values: dict[str, Any]) -> dict[str, Any]:
    """A configuration that somebody sends. Raises MalformedXML, InvalidRequest."""
    rules = values.get("CORSRule", [])
    if not 0 < len(rules) <= _MOST:
        raise malformed()
    for rule in rules:
        if not rule.get("AllowedMethod") or not rule.get("AllowedOrigin"):
            raise malformed()
        for method in rule["AllowedMethod"]:
            if method not in _METHODS:
                raise S3Error("InvalidRequest", f"Found unsupported HTTP method in CORS config. Unsupported method is {method[:32]}")
        for text in rule["AllowedOrigin"]:
            if text.count("*") > 1:
                raise S3Error("InvalidRequest", f"AllowedOrigin \"{text[:64]}\" can not have more than one wildcard.")
        for text in rule.get("AllowedHeader", []):
            if text.count("*") > 1:
                raise S3Error("InvalidRequest", f"AllowedHeader \"{text[:64]}\" can not have more than one wildcard.")
    return values


def _fits(pattern: str, text: str) -> bool:
    before, star, after = pattern.partition("*")
    return text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after) if star else pattern == text


def _rule(place: Place, origin: str, method: str, headers: list[str]) -> Rule | None:
    for rule in place.container.s3.get("cors", {}).get("CORSRule", ()):
        if method not in rule["AllowedMethod"] or not any(_fits(each, origin) for each in rule["AllowedOrigin"]):
            continue
        patterns = [each.lower() for each in rule.get("AllowedHeader", ())]
        if all(any(_fits(pattern, name) for pattern in patterns) for name in headers):
            return dict(rule)
    return None


def _lines(rule: Rule, origin: str) -> list[tuple[str, str]]:
    everybody = "*" in rule["AllowedOrigin"]
    lines = [
        ("access-control-allow-origin", "*" if everybody else origin), ("access-control-allow-methods", ", ".join(rule["AllowedMethod"])),
        ("vary", "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"),
    ]  # fmt: skip
    if not everybody:
        lines.append(("access-control-allow-credentials", "true"))
    if rule.get("ExposeHeader"):
        lines.append(("access-control-expose-headers", ", ".join(rule["ExposeHeader"])))
    if "MaxAgeSeconds" in rule:
        lines.append(("access-control-max-age", str(rule["MaxAgeSeconds"])))
    return lines


def headers(place: Place | None, method: str, given: Headers) -> list[tuple[str, str]]:
    """The headers that let a browser see an answer; none where the bucket does not allow its page."""
    origin = given.get("origin")
    if not origin or place is None or "cors" not in place.container.s3:
        return []
    rule = _rule(place, origin, given.get("access-control-request-method") or method, [])
    return _lines(rule, origin) if rule else []


async def preflight(ask: Ask) -> Reply:
    """Answers what a browser asks before the request itself. Raises CORSForbidden."""
    origin, method = ask.header("origin"), ask.header("access-control-request-method")
    if not origin or method not in _METHODS:
        raise S3Error("BadRequest", "Invalid Access-Control-Request-Method" if origin else "Insufficient information. Origin request header needed.")
    wanted = [name.strip().lower() for name in ask.header("access-control-request-headers").split(",") if name.strip()]
    place = ask.place_
    if place is None or "cors" not in place.container.s3:
        raise S3Error("CORSForbidden", "CORSResponse: CORS is not enabled for this bucket.", Method=method)
    rule = _rule(place, origin, method, wanted)
    if rule is None:
        raise S3Error("CORSForbidden", Method=method, ResourceType="OBJECT" if ask.key else "BUCKET")
    lines = _lines(rule, origin)
    if wanted:
        lines.append(("access-control-allow-headers", ", ".join(wanted)))
    return Reply(200, lines)
