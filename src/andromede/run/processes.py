"""The processes of a cloud: api and engine without rights, agent and supervisor with root's. Each runs until SIGTERM.

    python -m andromede.run.processes NAME DIRECTORY
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from andromede.run import lean  # before the first import of structlog

# isort: split
import structlog

from andromede.core.clock import monotonic
from andromede.run import log
from andromede.run.home import USER, Home

logger = structlog.get_logger("process")


def api(home: Home) -> None:
    """Serve the OpenStack APIs."""
    import asyncio

    from granian.constants import Interfaces

    from andromede.http.rsgi import Rsgi
    from andromede.run.wiring import application
    from andromede.services.compute import consoles

    log.configure()
    with application(home) as app:
        serving = Rsgi(app, {consoles.SOCKET: partial(consoles.relay, app.parts)})
        asyncio.run(_serve(home, {home.settings.api.port: serving}, Interfaces.RSGI, websockets=True))


def objects(home: Home) -> None:
    """Serve Swift and S3, in as many processes as the settings say; this one keeps them running."""
    import asyncio

    from granian.constants import Interfaces

    from andromede.run import drivers, object_settings, workers
    from andromede.run.wiring import object_faces

    log.configure()

    def work(lifeline: int) -> None:
        with object_faces(home) as faces:
            given = home.settings
            beside = {} if drivers.fake(home) or not object_settings.inside(given) else {object_settings.own_address(given): given.object.s3_port}
            asyncio.run(_serve(home, faces, Interfaces.ASGI, lifeline, beside=beside))

    workers.keep(home.settings.object.workers or min(os.cpu_count() or 1, 8), work)


async def _serve(
    home: Home, faces: dict[int, Any], interface: Any, lifeline: int | None = None, *, websockets: bool = False,
    beside: Mapping[str, int] = MappingProxyType({}),
) -> None:  # fmt: skip
    """Serve applications by port until SIGTERM, or until `lifeline` ends; other processes may serve the same ports.

    beside: addresses at which one of the ports is served too, without TLS, as soon as the machine has them.
    """
    import asyncio

    from granian.server.embed import Server as Embedded

    given = home.settings.api
    tls: dict[str, Any] = {}
    if given.tls_certificate:
        tls = {"ssl_cert": Path(given.tls_certificate), "ssl_key": Path(given.tls_key)}
    servers: list[Any] = [
        Embedded(app, address=given.listen, port=port, interface=interface, websockets=websockets, log_enabled=False, backlog=1024, **tls)
        for port, app in faces.items()
    ]
    loop, ending = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    if lifeline is not None:
        loop.add_reader(lifeline, ending.set)
    serving = {asyncio.create_task(server.serve()) for server in servers}
    for address, port in beside.items():
        late = Embedded(faces[port], address=address, port=port, interface=interface, log_enabled=False, backlog=1024)
        servers.append(late)
        serving.add(asyncio.create_task(_serve_when_there(late, address)))
    lean.settled()
    ended = asyncio.create_task(ending.wait())
    done, _ = await asyncio.wait({*serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in done & serving:
        task.result()
    for server in servers:
        server.stop()
    await asyncio.wait(serving, timeout=5)


async def _serve_when_there(server: Any, address: str) -> None:
    """Serve at an address that the machine gets when its network is made."""
    import asyncio
    import socket

    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((address, 0))
            break
        await asyncio.sleep(1)
    await server.serve()


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
    import asyncio

    from andromede.agent.metadata import MetadataProcess

    log.configure()
    uid = home.settings.compute.uid_base - 1
    metadata = MetadataProcess(uid, uid, rate=home.settings.network.metadata_rate) if home.settings.compute.hypervisor != "fake" else None
    try:
        asyncio.run(_agent(home, metadata))
    finally:
        if metadata is not None:
            metadata.stop()


async def _agent(home: Home, metadata: Any) -> None:
    import asyncio

    from andromede.agent.client import reach
    from andromede.agent.host import HostLoop
    from andromede.agent.server import serve
    from andromede.core.errors import DriverError
    from andromede.run import members
    from andromede.run.drivers import host_drivers, volumes

    began = monotonic()
    block = volumes(home)
    hypervisor, plug = host_drivers(home, block)

    async def to_other(host: str, guest_id: str, what: str) -> Any:
        """What this host sends to another."""
        path = members.sockets(home.cloud).get(host)
        if path is None:
            raise DriverError(f"The host {host} is not known here.")
        return await reach(path, host, guest_id, what)

    hypervisor.reach = to_other
    loop = HostLoop(home.host_state, hypervisor, plug, metadata, block)
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
    from andromede.run import plan
    from andromede.run.supervisor import Supervisor

    log.configure()
    lean.settled()
    Supervisor(plan.controllers(home), home.run, home.logs, then=lambda: plan.host(home)).supervise()


PROCESSES = {"api": api, "object": objects, "engine": engine, "agent": agent, "supervisor": supervisor}


if __name__ == "__main__":
    PROCESSES[sys.argv[1]](Home.at(Path(sys.argv[2])))
