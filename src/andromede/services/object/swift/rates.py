"""How often an account may write: requests wait for their turn, and are refused where that would take too long."""

import asyncio

from andromede.core.clock import monotonic
from andromede.services.object.swift.answers import Refused
from andromede.services.object.swift.call import Call
from andromede.services.object.swift.settings import Settings

_MOST = 10_000


class Rates:
    """When each account's next turn is, in this process."""

    def __init__(self, settings: Settings) -> None:
        self._gap, self._longest = 1 / settings.writes_per_second, settings.longest_wait
        self._next: dict[str, float] = {}

    async def wait(self, call: Call) -> None:
        """Wait for the account's turn. Raises Refused with 498, as Swift's own limiter does."""
        present = monotonic()
        if len(self._next) > _MOST:
            self._next = {account: turn for account, turn in self._next.items() if turn > present}
        turn = max(self._next.get(call.account, 0.0), present - 1)
        if turn - present > self._longest:
            raise Refused(498, "Slow down", headers=[("Retry-After", str(int(turn - present) + 1))])
        self._next[call.account] = turn + self._gap
        if turn > present:
            await asyncio.sleep(turn - present)
