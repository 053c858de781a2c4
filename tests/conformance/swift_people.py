"""Runs inside the oracle's own environment: who a token stands for, from a file, in the place of Keystone; and a cache in memory.

Upstream's own `keystoneauth` decides what they may do.
"""

import json
import time
from pathlib import Path


class _Cache:
    """As much of a memcache client as the proxy uses, for one process."""

    def __init__(self):
        self._kept = {}

    def get(self, key, **_more):
        value, until = self._kept.get(key, (None, 0))
        return value if not until or until > time.time() else None

    def set(self, key, value, time=0, **_more):
        from time import time as now

        self._kept[key] = (json.loads(json.dumps(value)), now() + time if time else 0)

    def delete(self, key, **_more):
        self._kept.pop(key, None)

    def incr(self, key, delta=1, time=0, **_more):
        value = max(int(self.get(key) or 0) + delta, 0)
        self.set(key, value, time=time)
        return value

    def decr(self, key, delta=1, time=0, **_more):
        return self.incr(key, -delta, time=time)


def people(_settings, **local):
    """A filter factory of paste; `file` names the tokens."""
    known = json.loads(Path(local["file"]).read_text())
    cache = _Cache()

    def filter_(app):
        def application(environ, start_response):
            environ["swift.cache"] = cache
            one = known.get(environ.get("HTTP_X_AUTH_TOKEN", ""))
            if one:
                environ.update(
                    HTTP_X_IDENTITY_STATUS="Confirmed", HTTP_X_USER_ID=one["user"], HTTP_X_USER_NAME=one["user"] + "-name",
                    HTTP_X_PROJECT_ID=one["project"], HTTP_X_PROJECT_NAME=one["project"] + "-name", HTTP_X_ROLES=",".join(one["roles"]),
                    HTTP_X_USER_DOMAIN_ID="default", HTTP_X_PROJECT_DOMAIN_ID="default",
                )  # fmt: skip
                environ["keystone.token_info"] = {"token": {}}
            return app(environ, start_response)

        return application

    return filter_
