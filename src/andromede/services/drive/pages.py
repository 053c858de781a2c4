"""Plain pages: they need no script and load nothing, are read and sent with the keyboard, and speak French and English."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl

from andromede.core.errors import BadRequest, Forbidden
from andromede.http.plain import Reply, Request
from andromede.services.drive.words import WORDS

CSRF = "drive_csrf"
_MOST = 16_384
_STYLE = (
    ":root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--edge:#6b7683;--main:#0b5a8a}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e8ebee;--paper:#15191d;--edge:#98a3af;--main:#7cc4f0}}"
    "body{font:1.06rem/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:44rem;margin:0 auto;padding:2rem 1rem}"
    "h1{font-size:1.6rem}label{display:block;margin:1rem 0 .2rem}input,select{font:inherit;color:inherit;background:var(--paper);"
    "border:1px solid var(--edge);border-radius:.3rem;padding:.5rem;max-width:100%;box-sizing:border-box}"
    "button{font:inherit;padding:.5rem 1rem;margin-top:1rem;border:1px solid var(--main);border-radius:.3rem;background:var(--main);"
    "color:var(--paper);cursor:pointer}button.plain{background:var(--paper);color:var(--main);margin:0}"
    ":focus-visible{outline:3px solid var(--main);outline-offset:2px}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.4rem .6rem .4rem 0;border-bottom:1px solid var(--edge);overflow-wrap:anywhere}"
    ".wrong{border-left:.3rem solid #b3261e;padding-left:.7rem}code{font-size:1.05rem;overflow-wrap:anywhere}a{color:var(--main)}"
)
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"


class Page:
    """One page for a request: collects its parts, in the language that the browser asks for.

    secure: whether browsers come over TLS; the page's forms carry a token that its cookie must have too.
    """

    def __init__(self, request: Request, name: str, *, secure: bool) -> None:
        self.request, self.name, self._secure = request, name, secure
        self.language = language(request.headers.get("accept-language"))
        self.cookies = cookies(request)
        self.csrf = self.cookies.get(CSRF, "")
        self._set: list[tuple[str, str]] = []
        if len(self.csrf) != 43:
            self.csrf = secrets.token_urlsafe(32)
            self.set_cookie(CSRF, self.csrf)
        self._parts: list[str] = []

    def say(self, word: str, **facts: object) -> str:
        """A text in the page's language, ready to stand in HTML: what it is filled with is escaped."""
        return WORDS[word][self.language].format(**{name: escape(str(value)) for name, value in facts.items()})

    def add(self, *html: str) -> "Page":
        """Add pieces of HTML, in which everything foreign is escaped already."""
        self._parts += html
        return self

    def wrong(self, word: str, **facts: object) -> "Page":
        """Add what went wrong."""
        return self.add(f'<p class="wrong" role="alert">{self.say(word, **facts)}</p>')

    def field(self, name: str, word: str, *, kind: str = "text", more: str = "", value: str = "") -> str:
        """A labelled field of a form."""
        return (
            f'<label for="{name}">{self.say(word)}</label>'
            f'<input id="{name}" name="{name}" type="{kind}" value="{escape(value)}" {more}>'
        )

    def form(self, action: str, *parts: str, submit: str, plain: bool = False) -> "Page":
        """Add a form."""
        hidden = f'<input type="hidden" name="csrf" value="{escape(self.csrf)}">'
        button = f'<button{" class=plain" if plain else ""}>{self.say(submit)}</button>'
        return self.add(f'<form method="post" action="{escape(action)}">{hidden}{"".join(parts)}{button}</form>')

    def set_cookie(self, name: str, value: str, *, seconds: int | None = None) -> None:
        """Have the browser keep something for this site only; for as long as it runs where no time is given."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        self._set.append(("Set-Cookie", f"{name}={value}; Path=/; HttpOnly; SameSite=Strict{'; Secure' if self._secure else ''}{age}"))

    def reply(self, word: str, status: int = 200, headers: list[tuple[str, str]] | None = None, **facts: object) -> Reply:
        """The page, under the heading `word`."""
        title = self.say(word, **facts)
        text = (
            f'<!doctype html><html lang="{self.language}"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
            f"<title>{title} – {escape(self.name)}</title><style>{_STYLE}</style></head><body><main><h1>{title}</h1>{''.join(self._parts)}"
            "</main></body></html>"
        )
        return Reply(status, [*page_headers(), *self._set, *(headers or [])], text.encode())

    def redirect(self, where: str) -> Reply:
        """Go on to another page, with GET."""
        return Reply(303, [*page_headers(), *self._set, ("Location", where)])

    async def sent(self) -> Mapping[str, str]:
        """The fields of a form of ours. Raises BadRequest, Forbidden for what another site had the browser send."""
        form = await fields(self.request)
        kept = self.cookies.get(CSRF, "")
        if not kept or not hmac.compare_digest(form.get("csrf", "").encode(), kept.encode()):
            raise Forbidden("The form was not sent from its own page, or the page is old: open it again.")
        return form


def page_headers() -> list[tuple[str, str]]:
    """What every page is sent with."""
    return [
        ("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", _POLICY), ("Referrer-Policy", "no-referrer"),
        ("Cache-Control", "no-store"), ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"),
    ]  # fmt: skip


async def fields(request: Request) -> dict[str, str]:
    """The fields of a form that was sent as `application/x-www-form-urlencoded`. Raises BadRequest."""
    raw = await request.read(_MOST)
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=100, errors="strict"))
    except ValueError as error:
        raise BadRequest("The form cannot be read.") from error


def cookies(request: Request) -> dict[str, str]:
    """The cookies that came."""
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(request.headers.get("cookie").replace(",", ";")).items()}
    except CookieError:
        return {}


def language(accepted: str) -> str:
    """`fr` where the browser prefers French, else `en` (RFC 9110, 12.5.4)."""
    best, weight = "en", 0.0
    for part in accepted.split(","):
        tag, _, more = part.strip().partition(";")
        try:
            found = float(more.strip().removeprefix("q=")) if more else 1.0
        except ValueError:
            continue
        short = tag.strip().lower().partition("-")[0]
        if short in {"en", "fr"} and found > weight:
            best, weight = short, found
    return best
