"""The metadata service: where the document comes from, and the state goes to. One connection each time; no proxy, no redirect."""

import http.client
import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from .document import Document, parse

SERVICE = "http://169.254.169.254"
DOCUMENT = "/openstack/latest/andromede/cluster"
STATE = "/openstack/latest/andromede/state"
MOST = 32 << 10


class Cloud:
    """Asks and tells. Every failure is quiet: the next turn comes within a second."""

    def __init__(self, service: str = "", timeout: float = 3) -> None:
        self._host = urlsplit(service or os.environ.get("ANDROMEDE_METADATA", SERVICE)).netloc
        self._timeout = timeout
        self._tag = ""
        self.trouble = ""
        """Why the last question or answer failed; empty where it did not."""

    def document(self) -> Document | None:
        """The document where it is another than the last one that was answered; None otherwise."""
        headers = {"If-None-Match": self._tag} if self._tag else {}
        answer = self._talk("GET", DOCUMENT, None, headers)
        if answer is None or answer[0] != 200:
            return None
        try:
            found = parse(json.loads(answer[2]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self.trouble = f"the document cannot be read: {error!r}"
            return None
        self._tag = answer[1]
        return found

    def tell(self, state: Mapping[str, Any]) -> bool:
        """Put the state; whether it was taken."""
        answer = self._talk("PUT", STATE, encode(state), {"Content-Type": "application/json"})
        return answer is not None and answer[0] in {200, 204}

    def _talk(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, str, bytes] | None:
        connection = http.client.HTTPConnection(self._host, timeout=self._timeout)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.trouble = repr(error)
            return None
        finally:
            connection.close()
        self.trouble = "" if answer.status < 400 else f"{method} {path}: {answer.status}"
        return answer.status, answer.headers.get("ETag", ""), content


def encode(state: Mapping[str, Any]) -> bytes:
    """The state as JSON of at most 32 KiB: details go first, the longest-ended jobs then."""
    state = dict(state)
    body = json.dumps(state, separators=(",", ":")).encode()
    if len(body) > MOST:
        state["jobs"] = {key: {**job, "detail": job.get("detail", "")[:80]} for key, job in state.get("jobs", {}).items()}
        body = json.dumps(state, separators=(",", ":")).encode()
    jobs = sorted(state.get("jobs", {}).items(), key=lambda one: one[1].get("ended") or "~")
    while len(body) > MOST and jobs:
        jobs = jobs[max(1, len(jobs) // 8) :]
        state["jobs"] = dict(jobs)
        body = json.dumps(state, separators=(",", ":")).encode()
    return body
