"""Who asks for objects: whoever a token or an access key stands for.

What is known already costs no query and no thread; the rest is read from the database elsewhere than on the event loop.
"""

import asyncio

from andromede.core.context import Caller
from andromede.core.errors import Unauthorized
from andromede.services.identity.service import AccessKey, AccessKeys, Authenticator, Sessions


class Callers:
    """The people that Identity knows."""

    def __init__(self, tokens: Authenticator, keys: AccessKeys, sessions: Sessions) -> None:
        self._tokens, self.keys, self.sessions = tokens, keys, sessions

    async def of_token(self, token: str) -> Caller | None:
        """Who a token proves, None where it proves nobody."""
        try:
            return self._tokens.quick(token) or await asyncio.to_thread(self._tokens.identify, token)
        except Unauthorized:
            return None

    async def of_key(self, access: str) -> AccessKey | None:
        """An access key, with its secret and whom it stands for; None where there is none."""
        return self.keys.quick(access) or await asyncio.to_thread(self.keys.find, access)

    async def of_session(self, access: str, token: str) -> AccessKey | None:
        """The temporary key of a session; None where there is none. Raises Expired."""
        return self.sessions.quick(access, token) or await asyncio.to_thread(self.sessions.find, access, token)
