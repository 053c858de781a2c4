"""The faces of the object store behind a real server, with the users of a cloud in this process."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from granian.constants import Interfaces
from granian.server.embed import Server

from andromede.services.identity.service import AccessKeys, Authenticator, Sessions
from andromede.services.object.callers import Callers
from tests.cloud import Cloud


def callers(cloud: Cloud) -> Callers:
    """Those whom the cloud's Identity knows."""
    signing = cloud.parts.signing
    return Callers(Authenticator(signing.known), AccessKeys(signing), Sessions(signing))


def access_key(cloud: Cloud, client: Any = None) -> tuple[str, str]:
    """A new access key and its secret, of the user `client` (the ordinary one) for the project of their token."""
    client = client or cloud.user
    token = client.get("/identity/v3/auth/tokens", headers={"x-subject-token": client.token}).json["token"]
    made = client.post(f"/identity/v3/users/{token['user']['id']}/credentials/OS-EC2", {"tenant_id": token["project"]["id"]})
    assert made.status == 201, made
    return made.json["credential"]["access"], made.json["credential"]["secret"]


@contextlib.contextmanager
def served(make: Callable[[], Any]) -> Iterator[str]:
    """Serve an ASGI application, made on the loop that serves it; its URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ending = threading.Event()

    async def run() -> None:
        server: Any = Server(make(), address="127.0.0.1", port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
        serving = asyncio.create_task(server.serve())
        while not ending.is_set():
            await asyncio.sleep(0.02)
        server.stop()
        await asyncio.wait_for(serving, 5)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        for _ in range(250):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        ending.set()
        thread.join(10)
