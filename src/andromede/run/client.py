"""A small client of our own APIs, for `up` and `doctor`: they use what every user uses, and need no other library."""

import json
import time
import urllib.error
import urllib.request
from typing import Any

from andromede.core.errors import CloudError
from andromede.run.home import Home


class Client:
    """Calls the cloud at `url` as a user."""

    def __init__(self, url: str, *, user: str, password: str, project: str) -> None:
        self.url = url
        who = {"user": {"name": user, "domain": {"id": "default"}, "password": password}}
        scope = {"project": {"name": project, "domain": {"id": "default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": who}, "scope": scope}}
        headers, answer = self._call("POST", "/identity/v3/auth/tokens", body, {})
        self._token = headers["x-subject-token"]
        self.project_id: str = answer["token"]["project"]["id"]
        self.user_id: str = answer["token"]["user"]["id"]

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        return self._call("GET", path, None, {})[1]

    def post(self, path: str, body: Any) -> Any:
        """The JSON answer to a POST."""
        return self._call("POST", path, body, {})[1]

    def put(self, path: str, body: Any) -> Any:
        """The JSON answer to a PUT."""
        return self._call("PUT", path, body, {})[1]

    def patch(self, path: str, body: Any) -> Any:
        """The JSON answer to a PATCH of an image."""
        return self._call("PATCH", path, body, {"content-type": "application/openstack-images-v2.1-json-patch"})[1]

    def delete(self, path: str) -> None:
        """DELETE."""
        self._call("DELETE", path, None, {})

    def upload(self, path: str, file: Any, size: int) -> None:
        """PUT the bytes of an open file."""
        self._call("PUT", path, file, {"content-type": "application/octet-stream", "content-length": str(size)})

    def one(self, path: str, kind: str, **match: str) -> Any:
        """The first of a list that has these values, or None."""
        found = self.get(path)[kind]
        return next((item for item in found if all(item.get(key) == value for key, value in match.items())), None)

    def until(self, path: str, kind: str, status: str, seconds: float) -> Any:
        """The thing at a path, once its status is this. Raises CloudError when it is in error, or after `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            item = self.get(path)[kind]
            if item["status"].lower() == status.lower():
                return item
            if item["status"].lower() == "error":
                raise CloudError(item.get("fault", {}).get("message", f"{kind} {item['id']} is in error"))
            time.sleep(0.1)
        raise CloudError(f"{kind} {item['id']} is still {item['status']} after {seconds:.0f} seconds.")

    def _call(self, method: str, path: str, body: Any, extra: dict[str, str]) -> tuple[Any, Any]:
        data = body if body is None or hasattr(body, "read") else json.dumps(body).encode()
        headers = {"content-type": "application/json", **extra}
        if hasattr(self, "_token"):
            headers["x-auth-token"] = self._token
        request = urllib.request.Request(self.url + path, data, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
                raw = answer.read()
                return answer.headers, json.loads(raw) if raw else None
        except urllib.error.HTTPError as error:
            raise CloudError(f"{method} {path}: {error.code} {error.read()[:500].decode('utf-8', 'replace')}") from error
        except urllib.error.URLError as error:
            raise CloudError(f"The API at {self.url} does not answer.") from error


def sign_in(home: Home, name: str) -> Client:
    """One of the first users, `admin` or `demo`, in the project of that name."""
    password = (home.secrets / f"{name}-password").read_text().strip()
    return Client(home.url, user=name, password=password, project=name)
