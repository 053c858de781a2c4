"""Swift and S3 as they are served: two processes over one folder of the local driver, each with both faces.

    python -m tests.faces FOLDER SWIFT_PORT S3_PORT

serves until its input ends. The people are those of tests.swift; `KEY-NAME` is their access key, `secret-NAME` its secret.
"""

import asyncio
import contextlib
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
from botocore.config import Config

from andromede.core.errors import Forbidden, NotFound
from andromede.core.units import KIB
from andromede.drivers.blob.local import Local
from andromede.http.plain import serve
from andromede.services.identity.access_keys import Listed
from andromede.services.identity.service import AccessKey, Credentials
from andromede.services.object.beside import Beside
from andromede.services.object.kms import LocalKeys
from andromede.services.object.s3 import S3
from andromede.services.object.service import Objects
from andromede.services.object.swift import Swift
from tests.program import Program, free_ports
from tests.s3 import Site
from tests.swift import ROLES, Client, People

KEY = b"k" * 32


class Own:
    """What people may do with their own keys: look."""

    def listed(self, owner):
        return [Listed("KEY-member")]

    def since(self, user_id):
        return 0.0

    def remove(self, owner, access):
        raise NotFound("There is no such key.")

    def of_key(self, key, seconds, **_):
        return Credentials("ASIA", "secret", "token", 0.0, key.caller)

    def of_token(self, caller, seconds, **_):
        raise Forbidden("Not here.")


class Keys(People):
    """People who have access keys too."""

    keys = sessions = Own()

    async def of_key(self, access):
        name = access.removeprefix("KEY-")
        return AccessKey(access, f"secret-{name}", await self.of_token(name), math.inf) if name in ROLES and name != access else None

    async def of_session(self, access, token):
        return None


class Worker(Program):
    """A process. swift: requests to its Swift; `boto(role)`: a client of its S3; `s3(role)`: signed requests by hand."""

    def __init__(self, folder: Path, number: int) -> None:
        self.ports = free_ports(2)
        super().__init__(folder / f"worker-{number}.log", "tests.faces", str(folder / "store"), *map(str, self.ports), ports=self.ports)
        self.swift = Client(f"http://127.0.0.1:{self.ports[0]}", None, None)

    def boto(self, role="member", port=1, region="us-east-1", **config):
        style = Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}, **config)
        names = {"aws_access_key_id": f"KEY-{role}", "aws_secret_access_key": f"secret-{role}"}
        where = {"endpoint_url": f"http://127.0.0.1:{self.ports[port]}", "region_name": region}
        return boto3.client("s3", **where, config=style, **names)

    def s3(self, role="member"):
        return Signed(f"127.0.0.1:{self.ports[1]}", (f"KEY-{role}", f"secret-{role}"))

    def memory(self) -> int:
        """Bytes that the process has in memory."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * KIB
        raise AssertionError("the process is gone")


class Signed:
    """Signed requests: `send(method, path, body, headers)` answers status, headers, body."""

    send = Site.send

    def __init__(self, host, keys):
        self.host, self.keys = host, keys


@contextlib.contextmanager
def workers(folder: Path, count: int = 2) -> Iterator[list[Worker]]:
    """Processes on one folder."""
    store(folder / "store").close()
    made = [Worker(folder, number) for number in range(count)]
    try:
        for worker in made:
            worker.ready()
        yield made
    finally:
        for worker in made:
            worker.end()


def store(folder: Path) -> Local:
    return Local(folder, KEY, shards=4, inline=4 * KIB, sync=False)


async def main() -> None:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    kept, loop = store(Path(sys.argv[1])), asyncio.get_running_loop()
    objects, people = Objects(kept, LocalKeys(kept, KEY)), Keys()
    faces = {sys.argv[2]: serve(Beside(Swift(objects, people), S3(objects, people)), "swift"), sys.argv[3]: serve(S3(objects, people), "s3")}
    servers = [
        Server(face, address="127.0.0.1", port=int(port), interface=Interfaces.ASGI, websockets=False, log_enabled=False)
        for port, face in faces.items()
    ]
    serving = {asyncio.create_task(server.serve()) for server in servers}
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    for server in servers:
        server.stop()
    await asyncio.wait(serving, timeout=5)
    kept.close()


if __name__ == "__main__":
    asyncio.run(main())
