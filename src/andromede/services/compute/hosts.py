"""Hosts: choosing one for a server, telling each what it should have, and writing down what it is seen to have."""

import threading
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, func, insert, select, update

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.errors import CloudError, Conflict
from andromede.core.ids import new_id
from andromede.core.units import GIB, MIB
from andromede.db.base import chunks
from andromede.db.engine import Database
from andromede.drivers.host import Desired, Image, Nic, Report, Wish
from andromede.drivers.hypervisor import Power, Seen, State
from andromede.engine.client import Operations
from andromede.engine.model import Reconciler
from andromede.services.compute import documents
from andromede.services.compute.tables import host, server, server_group
from andromede.services.network import service as network

ALIVE = timedelta(seconds=60)
PATIENCE = 5.0
PUSH = "compute.push"
_NO_HOST = "No valid host was found. There are not enough hosts available."


def register(db: Connection, name: str, zone: str = "nova", **ratios: float) -> None:
    """Make a host known, where it is not."""
    if db.scalar(select(host.c.id).where(host.c.name == name)) is None:
        number = (db.scalar(select(func.max(host.c.number))) or 0) + 1
        db.execute(insert(host).values(id=new_id(), number=number, name=name, zone=zone, created=now(), **ratios))


def alive(row: Any) -> bool:
    """Whether a host has reported lately; a report from the future is from before the clock was set back, and counts for nothing."""
    return row.seen is not None and not row.forced_down and abs(now() - row.seen) < ALIVE


def chassis(db: Connection) -> list[network.Chassis]:
    """The hosts as Network knows them."""
    return [
        network.Chassis(
            id=row.id, name=row.name, zone=row.zone, created=row.created, seen=row.seen,
            controller=alive(row) and "controller" in (row.facts or {}).get("network", ()),
            metadata=alive(row) and "metadata" in (row.facts or {}).get("network", ()),
        )
        for row in db.execute(select(host).order_by(host.c.number))
    ]  # fmt: skip


def changed(db: Connection, operations: Operations, *names: str | None) -> None:
    """The desired set of these hosts has changed in this transaction."""
    known = [name for name in names if name]
    if known:
        db.execute(update(host).where(host.c.name.in_(known)).values(generation=host.c.generation + 1))
        operations.signal(db, PUSH)


class Room(msgspec.Struct):
    """What a host has left, after overcommit. ram in MiB, disk in GiB."""

    vcpus: float
    ram: float
    disk: float


def used(db: Connection) -> dict[str, Room]:
    """What servers take, by host."""
    rows = db.execute(
        select(server.c.host, func.sum(server.c.vcpus), func.sum(server.c.ram), func.sum(server.c.disk), func.count())
        .where(server.c.host.is_not(None), server.c.deleted.is_(None))
        .group_by(server.c.host)
    )
    return {name: Room(vcpus, ram, disk) for name, vcpus, ram, disk, _count in rows}


def choose(db: Connection, row: Any) -> str:
    """The name of the host with the most free memory on which a server fits. Raises Conflict when there is none.

    Runs in a serializable transaction that also writes the server's host: two servers never take the same room.
    """
    taken, found = used(db), []
    groups = _group_hosts(db, row)
    for one in db.execute(select(host).where(host.c.enabled)):
        if one.facts is None or not alive(one) or not _wanted(row, one, groups):
            continue
        have = taken.get(one.name, Room(0, 0, 0))
        left = Room(
            one.facts["vcpus"] * one.cpu_ratio - have.vcpus,
            one.facts["memory"] / MIB * one.ram_ratio - have.ram,
            one.facts["disk"] / GIB * one.disk_ratio - have.disk,
        )
        if row.vcpus <= left.vcpus and row.vcpus <= one.facts["vcpus"] * one.cpu_ratio and row.ram <= left.ram and row.disk <= left.disk:
            found.append((_leaning(one, groups), left.ram, one.name))
    if not found:
        raise Conflict(_NO_HOST)
    return str(max(found)[2])


def awaited(db: Connection) -> bool:
    """Whether a host that may take servers has yet to report: since it was made known, or since its agent went away."""
    return any(not alive(one) or one.facts is None for one in db.execute(select(host).where(host.c.enabled, ~host.c.forced_down)))


class _Group(msgspec.Struct, frozen=True):
    """The policy of a server's group, how many of it may share a host (anti-affinity), and where its other members are."""

    policy: str = ""
    most: int = 1
    members: dict[str, int] = {}


def _group_hosts(db: Connection, row: Any) -> _Group:
    if row.group_id is None:
        return _Group()
    group = db.execute(select(server_group).where(server_group.c.id == row.group_id)).first()
    if group is None:
        return _Group()
    members = (
        select(server.c.host, func.count().label("number"))
        .where(server.c.group_id == row.group_id, server.c.id != row.id, server.c.deleted.is_(None), server.c.host.is_not(None))
        .group_by(server.c.host)
    )
    held = {member.host: member.number for member in db.execute(members)}
    return _Group(group.policy, group.rules.get("max_server_per_host", 1), held)


def _leaning(one: Any, group: _Group) -> int:
    """What the soft policies make of a host: more is better."""
    held = group.members.get(one.name, 0)
    return {"soft-affinity": held, "soft-anti-affinity": -held}.get(group.policy, 0)


def _wanted(row: Any, one: Any, group: _Group) -> bool:
    if row.zone and row.zone != one.zone:
        return False
    if row.wanted_host and row.wanted_host != one.name:
        return False
    if group.policy == "affinity" and group.members and one.name not in group.members:
        return False
    if group.policy == "anti-affinity" and group.members.get(one.name, 0) >= group.most:
        return False
    hints = row.hints
    return _hosts_of(hints.get("_different")).isdisjoint({one.name}) and (not hints.get("_same") or one.name in hints["_same"])


def _hosts_of(value: Any) -> set[str]:
    return set(value or ())


class Wishes:
    """What each host should have, from the rows; what has not changed since the last time is not made again."""

    def __init__(self) -> None:
        self._made: dict[str, dict[str, tuple[Any, Wish]]] = {}

    def of(self, db: Connection, name: str) -> Desired:
        """All that a host should have."""
        one = db.execute(select(host).where(host.c.name == name)).one()
        here = (server.c.host == name, server.c.placed, server.c.deleted.is_(None))
        rows = db.execute(select(server.c.id, server.c.updated, server.c.boots, server.c.power).where(*here)).all()
        ports = network.marks_of(db, [row.id for row in rows])
        marks = {row.id: (one.zone, tuple(row), ports.get(row.id)) for row in rows}
        before = self._made.get(name, {})
        made = {id_: before[id_] for id_, mark in marks.items() if id_ in before and before[id_][0] == mark}
        made |= {wish.id: (marks[wish.id], wish) for wish in _wishes(db, marks.keys() - made.keys(), one.zone)}
        self._made[name] = made
        wishes = tuple(made[row.id][1] for row in rows)
        networks = {nic.network_id for wish in wishes for nic in wish.nics}
        return Desired(generation=one.generation, guests=wishes, metadata=tuple(network.metadata_ends(db, networks)))


def _wishes(db: Connection, ids: Iterable[str], zone: str) -> list[Wish]:
    out: list[Wish] = []
    for some in chunks(sorted(ids)):
        rows = db.execute(select(server).where(server.c.id.in_(some))).mappings().all()
        ports = network.ports_of(db, some)
        out += [_wish(row, ports.get(row["id"], []), zone) for row in rows]
    return out


def _wish(row: Any, ports: list[network.Attached], zone: str) -> Wish:
    image, flavor = row["image"], row["flavor"]
    properties = image.get("properties", {})
    size = row["disk"] * GIB or image.get("virtual_size") or image.get("size") or GIB
    return Wish(
        id=row["id"], vcpus=row["vcpus"], memory=row["ram"] * MIB, disk=size,
        image=_image(image), kernel=_image(image.get("kernel")), initrd=_image(image.get("ramdisk")),
        cmdline=properties.get("os_command_line") or ("root=/dev/vda console=ttyS0" if image.get("kernel") else ""),
        firmware="uefi" if properties.get("hw_firmware_type") == "uefi" else "bios",
        disk_bus=properties.get("hw_disk_bus", "virtio"), nic_model=properties.get("hw_vif_model", "virtio"),
        nics=tuple(
            Nic(
                port_id=port.port_id, network_id=port.network_id, mac=port.mac, mtu=port.mtu,
                addresses=tuple(fixed.address for fixed in port.fixed),
            )
            for port in ports
        ),
        power=Power(row["power"]), boots=row["boots"], soft=row["soft"], config_drive=row["config_drive"],
        files=documents.files(row, ports, flavor["original_name"], zone),
    )  # fmt: skip


def _image(kept: dict[str, Any] | None) -> Image | None:
    if not kept or not kept.get("path"):
        return None
    return Image(id=kept["id"], path=kept["path"], format="qcow2" if kept["format"] == "qcow2" else "raw", size=kept["size"])


class Pusher:
    """Sends each host its set when that has changed, or when the host holds another than the one it was sent."""

    def __init__(self, parts: Parts) -> None:
        self._database: Database = parts.database
        self._hosts, self._operations, self._wishes = parts.hosts, parts.operations, Wishes()
        self._floating: dict[str, tuple[str, ...]] | None = None

    def run(self) -> str:
        """One pass over the hosts."""
        self._follow_floating()
        with self._database.read() as db:
            behind = list(db.execute(select(host.c.name).where(host.c.generation != host.c.seen_generation, ~host.c.forced_down)))
        failed: CloudError | None = None
        for row in behind:
            with self._database.read() as db:
                wanted = self._wishes.of(db, row.name)
            try:
                self._hosts.push(row.name, wanted)
            except CloudError as error:
                failed = error
        if failed is not None:
            raise failed
        return f"{len(behind)} hosts told" if behind else ""

    def _follow_floating(self) -> None:
        """A server's metadata names its floating addresses: where those of a server have changed, its host is told anew."""
        with self._database.read() as db:
            now_, before = network.floating_of_servers(db), self._floating
        self._floating = now_
        moved = [] if before is None else [id_ for id_ in now_.keys() | before.keys() if now_.get(id_) != before.get(id_)]
        if moved:
            query = select(server.c.host).where(server.c.id.in_(moved), server.c.placed).distinct()
            self._database.run(lambda db: changed(db, self._operations, *db.scalars(query)))


class Observer:
    """Waits for reports and writes down what changed in them; hurries the operations that wait for it."""

    def __init__(self, parts: Parts) -> None:
        self._database: Database = parts.database
        self._hosts, self._operations = parts.hosts, parts.operations
        self._serials: dict[str, int] = {}
        self._last: dict[str, dict[str, Seen]] = {}
        self._words: dict[str, dict[str, bytes]] = {}
        self._lock = threading.Lock()

    def run(self) -> str:
        """One wait over all hosts."""
        with self._database.read() as db:
            names = list(db.scalars(select(host.c.name)))
        if not names:
            threading.Event().wait(1)
            return ""
        reports = self._hosts.wait({name: self._serials.get(name, 0) for name in names}, PATIENCE)
        for name, report in reports.items():
            if report is None:
                self._serials.pop(name, None)
            else:
                self.note(name, report)
        if all(report is None for report in reports.values()):
            threading.Event().wait(0.3)
        return ""

    def note(self, name: str, report: Report) -> None:
        """Write one report into the rows."""
        with self._lock:
            fresh = self._serials.get(name) is None
            before = {} if fresh else self._last.get(name, {})
            seen = {one.id: one for one in report.guests}
            altered = [one for id_, one in seen.items() if before.get(id_) != one]
            gone = list(before.keys() - seen.keys())
            words = self._words.get(name, {})
            new_words = {id_: data for id_, data in report.passwords.items() if id_ not in words}
            facts = msgspec.to_builtins(report.host) | {"network": list(report.network)} if report.host is not None else None

            def write(db: Connection) -> None:
                row = db.execute(select(host).where(host.c.name == name)).one()
                values: dict[str, Any] = {"seen": now(), "seen_generation": report.generation}
                if facts is not None:
                    values["facts"] = facts
                if facts != row.facts or report.generation != row.seen_generation or not alive(row) or row.seen < now() - ALIVE / 4:
                    db.execute(update(host).where(host.c.id == row.id).values(values))
                if fresh:
                    known = select(server.c.id).where(server.c.host == name, server.c.seen_state != "absent", server.c.deleted.is_(None))
                    gone.extend(id_ for id_ in db.scalars(known) if id_ not in seen)
                for one in altered:
                    self._write(db, name, one)
                for id_, data in new_words.items():
                    db.execute(update(server).where(server.c.id == id_, server.c.host == name).values(password=data.decode("latin-1")))
                self._write_gone(db, name, gone)
                ids = [one.id for one in altered] + gone
                if ids:
                    self._operations.hurry(db, *ids)
                if report.generation != row.generation:
                    self._operations.signal(db, PUSH)

            self._database.run(write)
            self._serials[name], self._last[name], self._words[name] = report.serial, seen, report.passwords

    def _write(self, db: Connection, name: str, one: Seen) -> None:
        """Observed columns; and a guest that ended by itself, with nothing under way, is a stopped server."""
        row = db.execute(select(server).where(server.c.id == one.id, server.c.host == name)).first()
        if row is None:
            return
        values: dict[str, Any] = {"seen_state": str(one.state), "seen_boots": one.boots, "seen_fault": one.fault}
        ended = one.state in (State.STOPPED, State.CRASHED) and one.boots == row.boots
        if ended and row.vm_state == "active" and row.task_state is None and row.power == "running":
            values |= {"power": "stopped", "vm_state": "stopped", "updated": now()}
            changed(db, self._operations, name)
        db.execute(update(server).where(server.c.id == row.id).values(values))

    def _write_gone(self, db: Connection, name: str, ids: Iterable[str]) -> None:
        db.execute(update(server).where(server.c.id.in_(list(ids)), server.c.host == name).values(seen_state="absent", seen_fault=None))


def reconcilers(parts: Parts) -> list[Reconciler]:
    """The ones of hosts."""
    return [Reconciler(PUSH, 5.0, Pusher(parts).run), Reconciler("compute.observe", 0.0, Observer(parts).run)]
