"""What the tests need that kill programs of a real cloud: a client that asks again, the killing, and a look at what is left."""

import asyncio
import contextlib
import http.client
import os
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.error
from pathlib import Path

from andromede.core.errors import CloudError
from andromede.drivers.network.ovn.fabric import OvnFabric
from andromede.run import drivers, supervisor

VICTIMS = ("api", "engine", "agent", "ovn-ovsdb", "ovn-northd", "ovs-ovsdb", "ovs-vswitchd", "ovn-controller")


def until(check, seconds=60.0, what="it"):
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        last = check()
        if last is True or (last and not isinstance(last, str)):
            return last
        time.sleep(0.3)
    raise AssertionError(f"{what} did not come about in {seconds:.0f} s: {last}")


class Patient:
    """A client that asks again while nobody listens, as the retries of the usual clients do."""

    def __init__(self, cloud, name):
        self._cloud, self._name = cloud, name
        self._client = self._retry(lambda: cloud.client(name))

    def __call__(self, verb, *arguments):
        return self._retry(lambda: getattr(self._client, verb)(*arguments))

    def _retry(self, call, seconds=60.0):
        end = time.monotonic() + seconds
        while True:
            try:
                return call()
            except (CloudError, OSError, http.client.HTTPException) as error:
                refused = isinstance(error.__cause__, urllib.error.HTTPError) and error.__cause__.code != 503
                if refused or time.monotonic() > end:
                    raise
                time.sleep(0.2)


def qemu_of(server_id):
    """The process of a guest: its pid and when it was started."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            words = (path / "cmdline").read_bytes()
            if b"qemu-system" in words.split(b"\0")[0] and server_id.encode() in words:
                return int(path.name), (path / "stat").read_text().rpartition(")")[2].split()[19]
        except OSError:
            continue
    return None


def programs(cloud):
    return {one["name"]: one for one in supervisor.status(cloud.home.run)["programs"]}


class Killer(threading.Thread):
    """Kills one of the cloud's programs every few seconds; `killed` names them."""

    def __init__(self, cloud, chance):
        super().__init__(daemon=True)
        self.cloud, self.chance, self.killed, self._ending = cloud, chance, [], threading.Event()

    def run(self):
        while not self._ending.wait(self.chance.uniform(0.5, 3.5)):
            name = self.chance.choice(VICTIMS)
            pid = programs(self.cloud)[name]["pid"]
            if pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(name)

    def end(self):
        self._ending.set()
        self.join(10)


def left(cloud, kept, volumes):
    """What is left on the host, in the databases and in OVN, beyond the servers whose ids are `kept` and these volumes."""
    found = {}
    guests = cloud.home.host_state / "guests"
    found["folders"] = {path.name for path in guests.iterdir() if path.is_dir() and path.name != "uids"} - kept
    found["uids"] = {path.readlink().name for path in (guests / "uids").iterdir()} - kept
    names = {f"guest-{id_}" for id_ in kept}
    found["cgroups"] = {path.name for path in Path("/sys/fs/cgroup").glob(f"**/andromede/{cloud.home.tag}/guest-*")} - names
    found["volumes"] = {path.name for path in cloud.home.volumes.iterdir() if path.is_dir()} - volumes
    found["drives"] = {path.name for path in (cloud.home.host_state / "drives").iterdir() if not any(id_ in path.name for id_ in kept)}
    with sqlite3.connect(f"file:{cloud.home.path}/db/cloud.sqlite?mode=ro", uri=True) as db:
        rows = list(db.execute("SELECT id, device_id, device_owner FROM net_port"))
        found["operations"] = set(db.execute("SELECT id, kind, step FROM operation WHERE state IN ('running', 'undoing')"))
        found["leases"] = set(db.execute("SELECT id, holder FROM operation WHERE holder IS NOT NULL OR lease IS NOT NULL"))
    compute = {id_ for id_, device, owner in rows if owner.startswith("compute:") and device in kept}
    found["ports"] = {id_ for id_, device, owner in rows if owner.startswith("compute:") and device not in kept}
    where = drivers.layout(cloud.home)
    links = subprocess.run(["ip", "-n", where.namespace, "-o", "link"], capture_output=True, text=True, check=True, timeout=10).stdout
    taps = {line.split(": ")[1].partition("@")[0] for line in links.splitlines() if ": tap" in line}
    found["taps"] = taps - {f"tap{id_[:11]}" for id_ in compute}
    fabric = OvnFabric(where.nb)
    try:
        known = {id_ for id_, _device, owner in rows}
        found["logical ports"] = fabric.observe("port") - known
    finally:
        fabric.close()
    found["plugged"] = asyncio.run(plugged(cloud)) - {id_[:11] for id_ in compute}
    return {what: some for what, some in found.items() if some}


async def plugged(cloud):
    hypervisor, plug = drivers.host_drivers(cloud.home)
    try:
        return (await plug.observe())[0]
    finally:
        await hypervisor.close()
        await plug.close()
