"""Shutting down all guests of a host, with no cloud to ask for it: before the machine itself is stopped."""

import asyncio
from pathlib import Path

import msgspec

from andromede.agent.ledger import Ledger
from andromede.agent.prepare import guest_of
from andromede.core.clock import monotonic
from andromede.drivers.hypervisor import Hypervisor, Power, State

GRACE = 40.0


async def halt(hypervisor: Hypervisor, folder: Path) -> int:
    """Ask every guest of the ledger to shut down; answers how many did run."""
    desired = Ledger(folder / "ledger").load()
    wishes = {wish.id: wish for wish in (desired.guests if desired else ())}
    running = [seen for seen in await hypervisor.observe() if seen.state in (State.RUNNING, State.PAUSED, State.STOPPING)]

    async def end(guest_id: str) -> None:
        wish = wishes.get(guest_id)
        if wish is None:
            return
        stopped = msgspec.structs.replace(guest_of(wish, folder), power=Power.STOPPED, soft=True, grace=GRACE / 2)
        until = monotonic() + GRACE
        while monotonic() < until and (await hypervisor.ensure(stopped)).state is not State.STOPPED:
            await asyncio.sleep(0.3)

    await asyncio.gather(*(end(seen.id) for seen in running))
    return len(running)
