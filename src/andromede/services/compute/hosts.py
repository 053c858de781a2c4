"""Hosts: choosing one for a server, telling each what it should have, and writing down what it is seen to have."""

import base64
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from andromede.core.clock import now
from andromede.core.context import Parts
from andromede.core.errors import CloudError
from andromede.core.ids import new_id
from andromede.core.units import GIB, MIB
from andromede.db.base import chunks
from andromede.db.engine import Database
from andromede.drivers.host import Desired, Image, Nic, Report, Rescue, Wish
from andromede.drivers.hypervisor import Arrival, Capture, Departure, Power, Seen, State
from andromede.drivers.seal import Sealer
from andromede.engine.client import Operations
from andromede.engine.model import Reconciler
from andromede.services.compute import channel, devices, documents, inventory, machine
from andromede.services.compute.inventory import Room, used
from andromede.services.compute.scheduler import ALIVE, alive, awaited, choose
from andromede.services.compute.tables import change, host, server
from andromede.services.network import service as network
from andromede.services.volume import service as volume

__all__ = [
    "Observer", "Pusher", "Room", "Wishes", "alive", "awaited", "changed", "chassis", "choose", "known", "reconcilers", "register",
    "root_of", "used",
]  # fmt: skip

PATIENCE = 5.0
PUSH = "compute.push"
GENERATION = host.c.generation + select(func.count()).select_from(change).where(change.c.host == host.c.name).scalar_subquery()
"""Of a host's desired set."""
_MANY = 500
"""Changes of hosts that are kept one by one before they are counted together."""


def register(db: Connection, name: str, zone: str = "nova", **ratios: float) -> None:
    """Make a host known, where it is not."""
    if db.scalar(select(host.c.id).where(host.c.name == name)) is None:
        number = (db.scalar(select(func.max(host.c.number))) or 0) + 1
        db.execute(insert(host).values(id=new_id(), number=number, name=name, zone=zone, own_zone=zone, created=now(), **ratios))


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
    altered = sorted({name for name in names if name})
    if altered:
        db.execute(insert(change), [{"host": name} for name in altered])
        operations.signal(db, PUSH)


def known() -> Select[Any]:
    """The hosts' rows, with the generation of their desired sets."""
    return select(*(column for column in host.c if column.name != "generation"), GENERATION.label("generation"))


def gather(db: Connection) -> None:
    """Count changes together, so that they do not pile up; no generation becomes another by that. db: see `Database.note`."""
    for name in db.scalars(select(change.c.host).distinct().order_by(change.c.host)).all():
        number = db.execute(delete(change).where(change.c.host == name)).rowcount
        db.execute(update(host).where(host.c.name == name).values(generation=host.c.generation + number))


class Wishes:
    """What each host should have, from the rows; what has not changed since the last time is not made again.

    sealer: opens the documents of servers that have some of the cloud's own.
    """

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._made: dict[str, dict[str, tuple[Any, Wish]]] = {}

    def of(self, db: Connection, name: str) -> Desired:
        """All that a host should have."""
        one = db.execute(known().where(host.c.name == name)).one()
        here = (or_(server.c.host == name, server.c.target == name), server.c.placed, server.c.deleted.is_(None))
        rows = db.execute(select(server.c.id, server.c.updated, server.c.boots, server.c.power, server.c.host, server.c.move).where(*here)).all()
        ports = network.marks_of(db, [row.id for row in rows])
        disks = devices.marks_of(db, [row.id for row in rows])
        said = channel.numbers(db, [row.id for row in rows])
        marks = {row.id: (one.zone, tuple(row), ports.get(row.id), disks.get(row.id), said.get(row.id)) for row in rows}
        before = self._made.get(name, {})
        made = {id_: before[id_] for id_, mark in marks.items() if id_ in before and before[id_][0] == mark}
        made |= {wish.id: (marks[wish.id], wish) for wish in _wishes(db, self._sealer, marks.keys() - made.keys(), one)}
        self._made[name] = made
        wishes = tuple(made[row.id][1] for row in rows)
        networks = {nic.network_id for wish in wishes for nic in wish.nics}
        ends = tuple(network.metadata_ends(db, networks))
        return Desired(generation=one.generation, guests=wishes, metadata=ends, volumes=volume.desired(db, name))


def _wishes(db: Connection, sealer: Sealer, ids: Iterable[str], where: Any) -> list[Wish]:
    out: list[Wish] = []
    for some in chunks(sorted(ids)):
        rows = db.execute(select(server).where(server.c.id.in_(some))).mappings().all()
        ports = network.ports_of(db, some)
        disks = devices.of_servers(db, some)
        private = channel.files(db, sealer, some)
        for row in rows:
            mine = ports.get(row["id"], [])
            wish = _wish(row, mine, where.zone, devices.described(disks.get(row["id"], []), mine, row["nic_tags"] or {}))
            if row["move"] is not None:
                wish = msgspec.structs.replace(wish, **_on_its_way(row["move"], comes=row["host"] != where.name))
            own = private.get(row["id"], {}) if row["host"] == where.name else {}
            out.append(msgspec.structs.replace(wish, volumes=devices.wishes(db, disks.get(row["id"], [])), private=own))
    return out


def _on_its_way(move: dict[str, Any], *, comes: bool) -> dict[str, Any]:
    """A server that goes from host to host; where it comes to, its disks are made empty: all of them is sent."""
    if comes:
        return {"arrival": Arrival(id=move["id"], machine=base64.b64decode(move["machine"])), "image": None}
    told = {name: move[name] for name in ("to", "force", "back") if name in move}
    return {"departure": Departure(id=move["id"], **told)}


def root_of(server_id: str, number: int) -> str:
    """The id of a server's root disk: it changes whenever the disk is made anew."""
    return f"{server_id}.{number}" if number else server_id


def _wish(row: Any, ports: list[network.Attached], zone: str, tagged: list[dict[str, Any]]) -> Wish:
    image, flavor = row["image"], row["flavor"]
    base = row["base"] or image
    properties, root = image.get("properties", {}), root_of(row["id"], row["root_number"])
    size = 0 if image.get("from_volume") else row["disk"] * GIB or image.get("virtual_size") or image.get("size") or GIB
    return Wish(
        id=row["id"], vcpus=row["vcpus"], memory=row["ram"] * MIB, disk=max(size, base.get("virtual_size") or 0),
        image=_image(base), kernel=_image(image.get("kernel")), initrd=_image(image.get("ramdisk")),
        cmdline=properties.get("os_command_line") or ("root=/dev/vda console=ttyS0" if image.get("kernel") else ""),
        nics=tuple(
            Nic(
                port_id=port.port_id, network_id=port.network_id, mac=port.mac, mtu=port.mtu,
                addresses=tuple(fixed.address for fixed in port.fixed),
            )
            for port in ports
        ),
        power=Power(row["power"]), boots=row["boots"], soft=row["soft"], config_drive=row["config_drive"],
        files=documents.files(row, ports, flavor["original_name"], zone, tagged),
        root=root, points=(row["point"],) if row["point"] else (), past=tuple(row["past"]) if row["past"] else None,
        rescue=_rescue(row), captures=tuple(Capture(id=id_, disk=root, path=path) for id_, path in (row["captures"] or {}).items()),
        **machine.of(properties, flavor["extra_specs"], row["vcpus"]),
    )  # fmt: skip


def _rescue(row: Any) -> Rescue | None:
    kept = row["rescue"]
    image = _image(kept["image"]) if kept else None
    if kept is None or image is None:
        return None
    return Rescue(
        image=image, id=f"{row['id']}.rescue", size=max(kept["image"].get("virtual_size") or kept["image"]["size"], 512), bus=kept["bus"],
        cdrom=kept["cdrom"], stable=kept["stable"], kernel=_image(kept["image"].get("kernel")), initrd=_image(kept["image"].get("ramdisk")),
    )  # fmt: skip


def _image(kept: dict[str, Any] | None) -> Image | None:
    if not kept or not kept.get("path"):
        return None
    return Image(id=kept["id"], path=kept["path"], format="qcow2" if kept["format"] == "qcow2" else "raw", size=kept["size"])


class Pusher:
    """Sends each host its set when that has changed, or when the host holds another than the one it was sent."""

    def __init__(self, parts: Parts) -> None:
        self._database: Database = parts.database
        self._hosts, self._operations, self._wishes = parts.hosts, parts.operations, Wishes(parts.sealer)
        self._floating: dict[str, tuple[str, ...]] | None = None

    def run(self) -> str:
        """One pass over the hosts."""
        self._follow_floating()
        with self._database.read() as db:
            behind = list(db.execute(select(host.c.name).where(host.c.seen_generation != GENERATION, ~host.c.forced_down)))
            many = (db.scalar(select(func.count()).select_from(change)) or 0) > _MANY
        if many:
            self._database.note(gather)
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
        self._written: dict[str, tuple[Any, datetime]] = {}
        self._last: dict[str, dict[str, Seen]] = {}
        self._words: dict[str, dict[str, bytes]] = {}
        self._volumes: dict[str, dict[str, volume.Seen]] = {}
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
            volumes = {one.id: one for one in report.volumes}
            of_volumes = volume.differences({} if fresh else self._volumes.get(name, {}), volumes)
            new_words = {id_: data for id_, data in report.passwords.items() if id_ not in words}
            facts = _facts(report)
            mark, moment = (facts, report.generation), now()
            news = fresh or bool(altered or gone or new_words or any(of_volumes))
            if not news and name in self._written:
                news = self._written[name][0] != mark or self._written[name][1] < moment - ALIVE / 4
            if report.told:
                self._database.note(lambda db: channel.note(db, self._operations, name, report.told))

            def write(db: Connection) -> None:
                row = db.execute(select(host).where(host.c.name == name)).one()
                lost = list(gone)
                values: dict[str, Any] = {"seen": moment, "seen_generation": report.generation}
                if facts is not None:
                    values["facts"] = facts
                    if _lasting(facts) != _lasting(row.facts) or fresh:
                        inventory.tell(db, row, facts)
                db.execute(update(host).where(host.c.id == row.id).values(values))
                if fresh:
                    here = or_((server.c.host == name) & (server.c.seen_state != "absent"), server.c.target == name)
                    expected = db.scalars(select(server.c.id).where(here, server.c.deleted.is_(None)))
                    lost.extend(id_ for id_ in expected if id_ not in seen)
                for one in altered:
                    self._write(db, name, one)
                for id_, data in new_words.items():
                    db.execute(update(server).where(server.c.id == id_, server.c.host == name).values(password=data.decode("latin-1")))
                self._write_gone(db, name, lost)
                volume.note(db, self._operations, name, *of_volumes, fresh=fresh)
                ids = [one.id for one in altered] + lost
                if ids:
                    self._operations.hurry(db, *ids)
                if report.generation != row.seen_generation or fresh:
                    self._operations.signal(db, PUSH)

            if news:
                self._database.run(write)
                self._written[name] = mark, moment
            self._serials[name], self._last[name], self._words[name] = report.serial, seen, report.passwords
            self._volumes[name] = volumes

    def _write(self, db: Connection, name: str, one: Seen) -> None:
        """Observed columns; and a guest that ended by itself, with nothing under way, is a stopped server."""
        row = db.execute(select(server).where(server.c.id == one.id, or_(server.c.host == name, server.c.target == name))).first()
        if row is None:
            return
        if row.host != name:
            _note_move(db, row, target={"state": str(one.state), "fault": one.fault})
            return
        move = msgspec.to_builtins(one.move)
        if move != (row.seen_move or {}).get("source"):
            _note_move(db, row, source=move)
        devices.note(db, one)
        values: dict[str, Any] = {"seen_state": str(one.state), "seen_boots": one.boots, "seen_fault": one.fault}
        if one.captures or row.seen_captures:
            values["seen_captures"] = one.captures
        ended = one.state in (State.STOPPED, State.CRASHED) and one.boots == row.boots
        if ended and row.vm_state == "active" and row.task_state is None and row.power == "running":
            values |= {"power": "stopped", "vm_state": "stopped", "updated": now()}
            changed(db, self._operations, name)
        db.execute(update(server).where(server.c.id == row.id).values(values))

    def _write_gone(self, db: Connection, name: str, ids: Sequence[str]) -> None:
        if not ids:
            return
        for row in db.execute(select(server).where(server.c.id.in_(list(ids)), server.c.target == name)).all():
            _note_move(db, row, target=None)
        db.execute(update(server).where(server.c.id.in_(list(ids)), server.c.host == name).values(seen_state="absent", seen_fault=None))
        devices.unseen(db, ids)


def _facts(report: Report) -> dict[str, Any] | None:
    """What a host says of itself, as its row has it."""
    if report.host is None:
        return None
    said: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(report.host))
    return said | {"network": list(report.network)}


def _lasting(facts: dict[str, Any] | None) -> dict[str, Any]:
    """What of it does not change from minute to minute."""
    return {name: value for name, value in (facts or {}).items() if not name.endswith("_free")}


def _note_move(db: Connection, row: Any, **seen: Any) -> None:
    db.execute(update(server).where(server.c.id == row.id).values(seen_move={**(row.seen_move or {}), **seen}))


def reconcilers(parts: Parts) -> list[Reconciler]:
    """The ones of hosts."""
    return [Reconciler(PUSH, 5.0, Pusher(parts).run), Reconciler("compute.observe", 0.0, Observer(parts).run)]
