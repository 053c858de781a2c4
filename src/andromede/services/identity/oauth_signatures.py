"""Signatures of OAuth 1.0 requests, and whose they are: HMAC-SHA1 over the request, in the header `Authorization`. Source: RFC 5849.

A nonce is not remembered: who can read requests can repeat one for as long as its timestamp counts, as with any token.
"""

import base64
import hashlib
import hmac
import re
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec
from sqlalchemy import Connection, select

from andromede.core.clock import now
from andromede.core.errors import Unauthorized
from andromede.services.identity.tables import access_token, consumer, trust

LATE = 600.0
"""Seconds that a timestamp may be away from now."""
_PAIR = re.compile(r'\s*([A-Za-z_]+)="([^"]*)"\s*(?:,|$)')
_REFUSED = "The OAuth signature is not valid."


class Signed(msgspec.Struct, frozen=True):
    """A request that is signed. values: what the header says, without the realm."""

    method: str
    url: str
    values: dict[str, str]

    @property
    def consumer(self) -> str:
        """The consumer's id."""
        return self.values.get("oauth_consumer_key", "")

    @property
    def token(self) -> str:
        """The id of the request token or access token that it is signed with."""
        return self.values.get("oauth_token", "")

    def check(self, consumer_secret: str, token_secret: str = "") -> None:
        """Raise Unauthorized unless it was signed with these secrets, lately."""
        if self.values.get("oauth_signature_method") != "HMAC-SHA1" or self.values.get("oauth_version", "1.0") != "1.0":
            raise Unauthorized("Only signatures by HMAC-SHA1 are taken.")
        moment = self.values.get("oauth_timestamp", "")
        if not moment.isdecimal() or len(moment) > 12 or abs(now().timestamp() - int(moment)) > LATE or not self.values.get("oauth_nonce"):
            raise Unauthorized(_REFUSED)
        if not hmac.compare_digest(sign(self, consumer_secret, token_secret).encode(), self.values.get("oauth_signature", "").encode()):
            raise Unauthorized(_REFUSED)


def read(method: str, url: str, header: str | None) -> Signed:
    """The signed request of a header `OAuth name="value", …`. Raises Unauthorized."""
    scheme, _, rest = (header or "").partition(" ")
    pairs = _PAIR.findall(rest)
    values = {unquote(name): unquote(value) for name, value in pairs if name != "realm"}
    if scheme.lower() != "oauth" or len(values) != len([name for name, _ in pairs if name != "realm"]) or not values:
        raise Unauthorized("This needs a header Authorization with an OAuth signature.")
    return Signed(method, url, values)


def sign(request: Signed, consumer_secret: str, token_secret: str = "") -> str:
    """The signature of a request (section 3.4 of the RFC)."""
    parts = urlsplit(request.url)
    port = f":{parts.port}" if parts.port not in (None, {"http": 80, "https": 443}.get(parts.scheme)) else ""
    uri = f"{parts.scheme.lower()}://{(parts.hostname or '').lower()}{port}{parts.path}"
    pairs = sorted((_escaped(name), _escaped(value)) for name, value in request.values.items() if name != "oauth_signature")
    text = "&".join((request.method.upper(), _escaped(uri), _escaped("&".join(f"{name}={value}" for name, value in pairs))))
    key = f"{_escaped(consumer_secret)}&{_escaped(token_secret)}"
    return base64.b64encode(hmac.new(key.encode(), text.encode(), hashlib.sha1).digest()).decode()


def _escaped(text: str) -> str:
    return quote(text, safe="-._~")


def prove(db: Connection, box: Any, signed: Signed) -> Any:
    """The row of the access token that a request is signed with, with its trust's project and end. Raises Unauthorized."""
    query = select(access_token, consumer.c.secret.label("consumer_secret"), trust.c.project_id, trust.c.expires)
    query = query.join(consumer, consumer.c.id == access_token.c.consumer_id).join(trust, trust.c.id == access_token.c.trust_id)
    row = db.execute(query.where(access_token.c.id == signed.token, trust.c.deleted.is_(None), trust.c.expires > now())).first()
    if row is None or row.consumer_id != signed.consumer:
        raise Unauthorized(_REFUSED)
    signed.check(box.open(row.consumer_secret), box.open(row.secret))
    return row
