"""`andromede host`: more hosts of a cloud on the same machine, each with an agent, a switch and a directory of its own."""

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, delete, func, select

from andromede.core.errors import CloudError
from andromede.db.engine import Database
from andromede.run import down, drivers, members, supervisor
from andromede.run.home import Home
from andromede.run.members import Member
from andromede.run.up import as_user, start_host
from andromede.services.compute import hosts
from andromede.services.compute.tables import host, server
from andromede.services.volume import service as volume

out = Console(highlight=False)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_WAIT = 60.0


def add(cloud: Home, name: str, directory: Path) -> None:
    """Add the host `name`, which keeps its things in `directory`, and wait until it serves. Raises CloudError with what is wrong."""
    if cloud.added:
        raise CloudError(f"{cloud.path} is a host of the cloud in {cloud.cloud.path}: add hosts there.")
    if supervisor.pid_of(cloud.run) is None:
        raise CloudError("The cloud does not run. Start it first: andromede up")
    if not _NAME.fullmatch(name):
        raise CloudError("A host's name has small letters, digits and hyphens, 63 at most.")
    known = members.members(cloud)
    if name in {cloud.host, *(one.name for one in known)}:
        raise CloudError(f"There is a host {name} already.")
    path = directory.resolve()
    if path.is_relative_to(cloud.path) or cloud.path.is_relative_to(path) or (path.exists() and any(path.iterdir())):
        raise CloudError(f"{path} must be a directory of the host's own, outside the cloud's, and empty.")
    free = set(range(2, members.MOST + 1)) - {one.number for one in known}
    if not free:
        raise CloudError(f"This machine plays {members.MOST} hosts already, which is the most that it can.")
    member = Member(name=name, path=str(path), number=min(free))
    path.mkdir(parents=True, exist_ok=True)
    (path / "andromede.toml").write_text(_settings(cloud, member))
    members.note(cloud, member)
    as_user(lambda: _register(cloud, name))
    drivers.prepare(cloud)
    start_host(member.home)
    _await(cloud, name)
    out.print(f"[green]✓[/] The host {name} serves")


def _settings(cloud: Home, member: Member) -> str:
    given = cloud.settings
    compute = {
        "cloud": str(cloud.path), "host": member.name, "zone": given.compute.zone, "hypervisor": given.compute.hypervisor,
        "acceleration": given.compute.acceleration, "uid_base": given.compute.uid_base + (member.number - 1) * members.UIDS,
    }  # fmt: skip
    datapath = given.network.datapath if drivers.fake(cloud) else drivers.layout(cloud).datapath
    network = {"public_cidr": given.network.public_cidr, "datapath": datapath, "metadata_rate": given.network.metadata_rate}
    tables = {"compute": compute, "network": network}
    lines = [f"[{table}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()) for table, values in tables.items()]
    return "\n".join(lines)


@contextmanager
def _database(cloud: Home) -> Iterator[Database]:
    database = Database(cloud.database_url, pool=1)
    try:
        yield database
    finally:
        database.close()


def _register(cloud: Home, name: str) -> None:
    given = cloud.settings.compute
    ratios = {"cpu_ratio": given.cpu_ratio, "ram_ratio": given.ram_ratio, "disk_ratio": given.disk_ratio}
    with _database(cloud) as database:
        database.run(lambda db: hosts.register(db, name, given.zone, **ratios))


def _await(cloud: Home, name: str) -> None:
    end = time.monotonic() + _WAIT
    with _database(cloud) as database:
        while time.monotonic() < end:
            row = database.look(lambda db: db.execute(select(host).where(host.c.name == name)).one())
            if hosts.alive(row) and row.facts is not None and (drivers.fake(cloud) or "controller" in row.facts.get("network", ())):
                return
            time.sleep(0.1)
    raise CloudError(f"The host {name} was added, but has not reported within {_WAIT:.0f} seconds. See: andromede status")


def listing(cloud: Home) -> None:
    """Print the hosts on this machine."""
    table = Table("Host", "Directory", "Agent", box=None, pad_edge=False)
    table.add_row(cloud.host, str(cloud.path), "up" if supervisor.pid_of(cloud.run) else "down")
    for one in members.members(cloud):
        table.add_row(one.name, one.path, "up" if supervisor.pid_of(one.home.run) else "down")
    out.print(table)


def remove(cloud: Home, name: str) -> None:
    """Take a host away that has no servers and no volumes, with everything in its directory. Raises CloudError while it has some."""
    member = next((one for one in members.members(cloud) if one.name == name), None)
    if member is None:
        raise CloudError(f"There is no host {name} that was added here. See: andromede host list")
    as_user(lambda: _unregister(cloud, name))
    down.destroy(member.home)
    members.forget(cloud, name)
    drivers.prepare(cloud)
    out.print(f"[green]✓[/] The host {name} is gone")


def _unregister(cloud: Home, name: str) -> None:
    def strike(db: Connection) -> None:
        held = db.scalar(select(func.count()).where(server.c.host == name, server.c.deleted.is_(None)))
        size = volume.taken(db).get(name, 0)
        if held or size:
            raise CloudError(f"The host {name} has {held} servers and {size} GiB of volumes: move or delete these first.")
        db.execute(delete(host).where(host.c.name == name))

    with _database(cloud) as database:
        database.run(strike)
