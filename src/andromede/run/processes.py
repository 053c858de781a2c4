"""The processes of a cloud: api and engine without rights, agent and supervisor with root's. Each runs until SIGTERM.

    python -m andromede.run.processes NAME DIRECTORY
"""

import asyncio
import contextlib
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from andromede.run import lean  # before the first import of structlog

# isort: split
import structlog

from andromede.core.clock import monotonic
from andromede.run import log
from andromede.run.home import USER, Home

logger = structlog.get_logger("process")


def api(home: Home) -> None:
    """Serve HTTP."""
    from granian.constants import Interfaces
    from granian.server.embed import Server as Embedded

    from andromede.http.rsgi import Rsgi
    from andromede.run.wiring import application

    log.configure()
    given = home.settings.api
    tls: dict[str, Any] = {}
    if given.tls_certificate:
        tls = {"ssl_cert": Path(given.tls_certificate), "ssl_key": Path(given.tls_key)}
    with application(home) as app:

        async def run() -> None:
            server: Any = Embedded(
                Rsgi(app), address=given.listen, port=given.port, interface=Interfaces.RSGI, websockets=False, log_enabled=False,
                backlog=1024, **tls,
            )  # fmt: skip
            loop, ending = asyncio.get_running_loop(), asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, ending.set)
            serving = asyncio.create_task(server.serve())
            lean.settled()
            ended = asyncio.create_task(ending.wait())
            await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
            server.stop()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(serving, 5)

        asyncio.run(run())


def engine(home: Home) -> None:
    """Run operations and reconcilers."""
    from andromede.run.wiring import engine as wired

    log.configure()
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with wired(home) as running:
        running.start()
        lean.settled()
        while not ending.wait(3600):
            logger.info("running")
        running.stop()


def agent(home: Home) -> None:
    """Converge this host. Runs inside the cloud's network namespace."""
    from andromede.agent.metadata import MetadataProcess

    log.configure()
    uid = home.settings.compute.uid_base - 1
    metadata = MetadataProcess(uid, uid) if home.settings.compute.hypervisor != "fake" else None
    try:
        asyncio.run(_agent(home, metadata))
    finally:
        if metadata is not None:
            metadata.stop()


async def _agent(home: Home, metadata: Any) -> None:
    from andromede.agent.host import HostLoop
    from andromede.agent.server import serve
    from andromede.run.drivers import host_drivers

    began = monotonic()
    hypervisor, plug = host_drivers(home)
    loop = HostLoop(home.host_state, hypervisor, plug, metadata)
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    converging = asyncio.create_task(loop.run())
    server = await serve(loop, home.agent_socket, USER)
    lean.settled()
    logger.info("agent serves", seconds=round(monotonic() - began, 3))
    ended = asyncio.create_task(ending.wait())
    await asyncio.wait({converging, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.close()
    converging.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await converging
    await hypervisor.close()
    await plug.close()


def supervisor(home: Home) -> None:
    """Keep the others running."""
    from andromede.run.plan import programs
    from andromede.run.supervisor import Supervisor

    log.configure()
    known = programs(home)
    lean.settled()
    Supervisor(known, home.run, home.logs).supervise()


PROCESSES = {"api": api, "engine": engine, "agent": agent, "supervisor": supervisor}


if __name__ == "__main__":
    PROCESSES[sys.argv[1]](Home.at(Path(sys.argv[2])))
