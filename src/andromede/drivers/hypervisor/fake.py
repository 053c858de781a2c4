"""A hypervisor that only keeps books: for tests and demonstrations, on any machine, without root.

It behaves as the contract suite says every driver must. What guests do by themselves is done to it: `power_off`, `crash`,
`panic`, `ignore_acpi` (which also keeps cards and volumes that are taken away), `write`. `fail_next` makes a verb fail once. With a folder,
guests outlive the object.
"""

import asyncio
import contextlib
import socket
import struct
import threading
import time
from pathlib import Path

import msgspec

from andromede.core.clock import monotonic
from andromede.core.errors import DriverError
from andromede.core.ids import is_id
from andromede.core.units import GIB, KIB, MIB
from andromede.drivers.block.fake import FakeBlock
from andromede.drivers.hypervisor import (
    SECURE_BOOT,
    TPM,
    TRAIT,
    Guest,
    Held,
    Host,
    Move,
    Phase,
    Power,
    Reach,
    Seen,
    State,
    unreachable,
)
from andromede.drivers.hypervisor.checks import check, check_id

_KEPT = 100 * KIB
_UP = frozenset({State.RUNNING, State.PAUSED, State.STOPPING})


class _Book(msgspec.Struct, kw_only=True):
    """All that is kept of one guest. by_itself: it ended without being asked. deaf: it ignores the power button.

    nics: ports of the cards it holds. drives: its volumes. leaving: since when it is asked to let go of some.
    """

    id: str
    uid: int
    guest: Guest | None = None
    state: State = State.ABSENT
    boots: int = 0
    started: float = 0.0
    asked: float = 0.0
    by_itself: bool = False
    deaf: bool = False
    fault: str | None = None
    nics: tuple[str, ...] = ()
    drives: tuple[Held, ...] = ()
    leaving: float = 0.0
    console: bytes = b""
    captures: dict[str, str] = {}
    parts: dict[str, str] = {}
    move: Move | None = None


class Fake:
    """The hypervisor driver without guests.

    state_dir: keeps the books over restarts, one JSON file a guest; None for none. A soft stop shows STOPPING once before the
    guest has ended. block: the books of the volumes that guests have. letting_go: seconds a guest has to
    let go of a network card. vcpus, memory, disk: what the host offers;
    guests lessen what is free.
    """

    def __init__(
        self,
        state_dir: Path | None = None,
        *,
        block: FakeBlock | None = None,
        letting_go: float = 15.0,
        uid_base: int = 200_000,
        vcpus: int = 64,
        memory: int = 256 * GIB,
        disk: int = 4096 * GIB,
    ) -> None:
        self.changes: asyncio.Queue[str] = asyncio.Queue(maxsize=4096)
        self.reach: Reach = unreachable
        self.limits = "Nothing is limited: no guest runs."
        self._folder, self._letting_go, self.block = state_dir, letting_go, block
        self._uid_base, self._booted = uid_base, int(time.time())
        self._vcpus, self._memory, self._disk = vcpus, memory, disk
        self._books: dict[str, _Book] = {}
        self._uids: set[int] = set()
        self._failures: dict[tuple[str, str | None], DriverError] = {}
        if state_dir is not None:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in state_dir.glob("*.json"):
                self._read(path)

    def fail_next(self, verb: str, guest_id: str | None = None, message: str = "The host failed, as it was told to.") -> None:
        """Make the next call of `verb`, for that guest or for any, raise DriverError with `message`."""
        self._failures[verb, guest_id] = DriverError(message)

    def power_off(self, guest_id: str) -> None:
        """The guest switches itself off."""
        self._end(guest_id, State.STOPPED, None)

    def crash(self, guest_id: str) -> None:
        """The guest's process is gone."""
        if self._books[guest_id].asked:
            self._end(guest_id, State.STOPPED, None)
        else:
            self._end(guest_id, State.CRASHED, "The hypervisor process of the server ended unexpectedly.")

    def panic(self, guest_id: str) -> None:
        """The guest's operating system panics."""
        self._end(guest_id, State.CRASHED, "The operating system of the server panicked.")

    def ignore_acpi(self, guest_id: str) -> None:
        """From now until it is started anew, the guest does nothing when its power button is pressed."""
        self._books[guest_id].deaf = True

    def write(self, guest_id: str, text: bytes) -> None:
        """The guest writes to its serial console."""
        book = self._books[guest_id]
        book.console = (book.console + text)[-_KEPT:]
        self._save(book)

    async def host(self) -> Host:
        """What this host claims to offer."""
        self._fail("host", None)
        taken = [book.guest for book in self._books.values() if book.guest is not None]
        return Host(
            hypervisor="fake",
            version=1_000_000,
            acceleration="tcg",
            why="No guest runs on this host.",
            vcpus=self._vcpus,
            memory=self._memory,
            disk=self._disk,
            disk_free=self._disk - sum(disk.size for guest in taken for disk in guest.disks),
            memory_free=self._memory - sum(guest.memory for guest in taken),
            cpu_model="none",
            limits=self.limits,
            booted=self._booted,
            traits=(TPM, SECURE_BOOT, f"{TRAIT}QEMU", f"{TRAIT}LXC"),
        )

    async def observe(self) -> list[Seen]:
        """Every guest in the books."""
        self._fail("observe", None)
        return [_seen(book) for _, book in sorted(self._books.items())]

    async def ensure(self, guest: Guest) -> Seen:
        """Move `guest` one step towards its description. Raises DriverError when told to."""
        check(guest)
        self._fail("ensure", guest.id)
        book = self._book(guest.id)
        stale = guest.boots > book.boots
        if guest.arrival is not None and book.state in (State.ABSENT, State.ARRIVING):
            book.guest, book.boots, book.state = guest, guest.boots, State.ARRIVING
        elif book.state in _UP and await self._depart(guest, book):
            pass
        elif guest.power is Power.SUSPENDED and not stale:
            if book.state in _UP:
                book.guest, book.state, book.started = guest, State.SUSPENDED, 0.0
        elif guest.power is Power.STOPPED:
            if book.state in _UP:
                self._stop(guest, book)
            else:
                book.guest, book.boots = guest, max(book.boots, guest.boots)
                book.state, book.by_itself, book.fault = State.STOPPED, False, None
        elif book.state in _UP and stale:
            self._stop(guest, book)
            if book.state is State.STOPPED:
                self._start(guest, book)
        elif book.state is State.SUSPENDED and not stale:
            book.guest, book.state, book.started = guest, State.PAUSED if guest.power is Power.PAUSED else State.RUNNING, time.time()
        elif book.state not in _UP:
            if stale or not book.by_itself:
                self._start(guest, book)
        else:
            self._adjust(guest, book)
        self._copy(guest, book)
        self._save(book)
        return _seen(book)

    async def owner(self, guest_id: str) -> int:
        """The uid that the guest would run as."""
        check_id(guest_id)
        self._fail("owner", guest_id)
        book = self._book(guest_id)
        self._save(book)
        return book.uid

    async def remove(self, guest_id: str) -> None:
        """Strike the guest from the books. Idempotent."""
        check_id(guest_id)
        self._fail("remove", guest_id)
        book = self._books.pop(guest_id, None)
        if book is not None:
            self._uids.discard(book.uid)
            for part in book.parts.values():
                Path(part).unlink(missing_ok=True)
        if self._folder is not None:
            (self._folder / f"{guest_id}.json").unlink(missing_ok=True)

    async def console(self, guest_id: str) -> bytes:
        """What was written, at most 100 KiB."""
        check_id(guest_id)
        self._fail("console", guest_id)
        return self._books[guest_id].console if guest_id in self._books else b""

    async def open(self, guest_id: str, what: str) -> socket.socket:
        """A line that says who it is and repeats what is typed. Raises DriverError (409) where the guest does not run."""
        check_id(guest_id)
        self._fail("open", guest_id)
        book = self._books.get(guest_id)
        if book is not None and book.guest is not None and what == "finish" and book.state in (State.ARRIVING, State.RUNNING):
            self._arrive(book)
            ours, theirs = socket.socketpair()
            theirs.close()
            return ours
        greeting = _greeting(guest_id, what)
        if book is None or book.state not in _UP or not greeting:
            raise DriverError("The server does not run, so it has no console.", status=409)
        ours, theirs = socket.socketpair()
        threading.Thread(target=_echo, args=(theirs, greeting), daemon=True).start()
        return ours

    async def diagnostics(self, guest_id: str) -> dict[str, object]:
        """Counters of a running guest, made up. Raises DriverError (409) when it does not run."""
        check_id(guest_id)
        self._fail("diagnostics", guest_id)
        book = self._books.get(guest_id)
        if book is None or book.guest is None or book.state not in _UP:
            raise DriverError("The server does not run, so it has no counters.", status=409)
        guest, uptime = book.guest, int(time.time() - book.started)
        directions = {"octets": 0, "packets": 0, "errors": 0, "drop": 0, "rate": None}
        counts = {f"{way}_{key}": value for way in ("rx", "tx") for key, value in directions.items()}
        disk = dict.fromkeys(("read_bytes", "read_requests", "write_bytes", "write_requests", "errors_count"), 0)
        return {
            "state": str(book.state),
            "driver": "qemu",
            "hypervisor": "fake",
            "hypervisor_os": "linux",
            "uptime": uptime,
            "config_drive": guest.config_drive is not None,
            "num_cpus": guest.vcpus,
            "num_nics": len(guest.nics),
            "num_disks": len(guest.disks),
            "cpu_details": [{"id": number, "time": uptime * 10**7, "utilisation": 1} for number in range(guest.vcpus)],
            "nic_details": [{"mac_address": nic.mac, **counts} for nic in guest.nics],
            "disk_details": [dict(disk) for _ in guest.disks],
            "memory_details": {"maximum": guest.memory // MIB, "used": guest.memory // MIB // 2},
        }

    async def close(self) -> None:
        """Nothing to let go of."""

    async def _depart(self, guest: Guest, book: _Book) -> bool:
        """One phase a call; whether nothing else is to be done with the guest meanwhile."""
        going, move = guest.departure, book.move
        sent = move is not None and move.phase in (Phase.SENT, Phase.GONE)
        if sent and not (going is not None and going.back):
            if move is not None and move.phase is Phase.SENT and going is not None:
                (await self.reach(going.to, guest.id, "finish")).close()
                book.move = Move(id=going.id, phase=Phase.GONE)
            return True
        if going is None or going.back:
            if sent:
                book.state = State.PAUSED if guest.power is Power.PAUSED else State.RUNNING
            book.move = None
            return False
        if not going.to or move is None or move.id != going.id:
            book.move = Move(id=going.id, phase=Phase.DESCRIBED, machine=b"fake")
        elif (error := self._failures.pop(("depart", guest.id), None)) is not None:
            book.move = Move(id=going.id, phase=Phase.DESCRIBED, fault=error.message)
        elif not move.fault:
            sending, whole = move.phase is Phase.DESCRIBED, guest.memory
            book.move = Move(id=going.id, phase=Phase.SENDING if sending else Phase.SENT, done=whole // 2 if sending else whole, total=whole)
            book.state = book.state if sending else State.PAUSED
        return bool(going.to)

    def _arrive(self, book: _Book) -> None:
        if book.guest is None or book.state is State.RUNNING:
            return
        power, count = book.guest.power, book.guest.boots
        book.state = State.PAUSED if power is Power.PAUSED else State.RUNNING
        book.boots, book.started, book.by_itself = count, time.time(), False
        book.nics = tuple(nic.port_id for nic in book.guest.nics)
        self._take_drives(book.guest, book)
        self._save(book)
        with contextlib.suppress(asyncio.QueueFull):
            self.changes.put_nowait(book.id)

    def _copy(self, guest: Guest, book: _Book) -> None:
        """Copies are whole at the next call after the first, so that somebody can see them under way."""
        wanted = {one.id: one for one in guest.captures}
        book.captures = {id_: fault for id_, fault in book.captures.items() if id_ in wanted}
        for id_ in book.parts.keys() - wanted.keys():
            Path(book.parts.pop(id_)).unlink(missing_ok=True)
        for id_ in wanted.keys() - book.captures.keys():
            target = Path(wanted[id_].path)
            part = Path(book.parts.setdefault(id_, f"{target}.part"))
            if (error := self._failures.pop(("capture", guest.id), None)) is not None:
                book.captures[id_] = error.message
                Path(book.parts.pop(id_)).unlink(missing_ok=True)
            elif part.exists():
                part.replace(target)
                book.captures[id_] = ""
                del book.parts[id_]
            else:
                part.write_bytes(empty_qcow2(guest.disks[0].size))

    def _stop(self, guest: Guest, book: _Book) -> None:
        first = not book.asked
        book.asked = book.asked or monotonic()
        waits = guest.soft and book.state is not State.PAUSED and monotonic() - book.asked < guest.grace
        if waits and (first or book.deaf):
            book.state = State.STOPPING
            return
        book.state, book.started, book.asked, book.by_itself = State.STOPPED, 0.0, 0.0, False

    def _start(self, guest: Guest, book: _Book) -> None:
        book.guest, book.boots, book.started, book.asked = guest, guest.boots, time.time(), 0.0
        book.state = State.PAUSED if guest.power is Power.PAUSED else State.RUNNING
        book.by_itself, book.deaf, book.fault = False, False, None
        book.nics, book.leaving, book.drives = tuple(nic.port_id for nic in guest.nics), 0.0, ()
        self._take_drives(guest, book)
        lines = (
            f"[    0.000000] Linux version 6.1.0 (fake), {guest.vcpus} vCPU, boot {guest.boots}", f"[    0.000000] Memory: {guest.memory // KIB}K",
            "", f"guest-{guest.id} login: ",
        )  # fmt: skip
        book.console = (book.console + "\r\n".join(lines).encode())[-_KEPT:]

    def _adjust(self, guest: Guest, book: _Book) -> None:
        if book.state is State.STOPPING:
            if not book.deaf:
                book.state, book.asked = State.STOPPED, 0.0
                self._start(guest, book)
                return
            if monotonic() - book.asked < guest.grace:
                return
            book.asked = 0.0
        book.state = State.PAUSED if guest.power is Power.PAUSED else State.RUNNING
        self._plug(guest, book)
        self._take_drives(guest, book)

    def _take_drives(self, guest: Guest, book: _Book) -> None:
        before = {held.id: held for held in book.drives}
        wanted = {drive.id: drive for drive in guest.drives}
        kept = [held for id_, held in before.items() if id_ not in wanted and book.deaf]
        if any(one.slot and one.id not in before for one in guest.drives):  # its data comes from one that is there until the next call
            kept = [held for id_, held in before.items() if id_ not in wanted]
        sizes = {id_: max(drive.size, before[id_].size if id_ in before else 0) for id_, drive in wanted.items()}
        book.drives = (*(Held(id=id_, size=sizes[id_], snapshots=tuple(sorted(one.snapshots))) for id_, one in wanted.items()), *kept)
        if self.block is not None:
            for held in book.drives:
                self.block.told(held.id, size=held.size, snapshots=held.snapshots)

    def _plug(self, guest: Guest, book: _Book) -> None:
        wanted = tuple(nic.port_id for nic in guest.nics)
        leaving = tuple(port for port in book.nics if port not in wanted)
        book.leaving = (book.leaving or monotonic()) if leaving else 0.0
        keeps = book.deaf and monotonic() - book.leaving < self._letting_go
        book.nics = wanted + leaving if keeps else wanted
        if book.guest is not None:
            book.guest = msgspec.structs.replace(book.guest, nics=guest.nics, drives=guest.drives)

    def _end(self, guest_id: str, state: State, fault: str | None) -> None:
        book = self._books[guest_id]
        if book.state not in {*_UP, State.ARRIVING}:
            return
        book.state, book.fault = state, fault
        book.by_itself = state is State.CRASHED or not book.asked
        book.started = book.asked = 0.0
        self._save(book)
        with contextlib.suppress(asyncio.QueueFull):
            self.changes.put_nowait(guest_id)

    def _book(self, guest_id: str) -> _Book:
        book = self._books.get(guest_id)
        if book is None:
            uid = self._uid_base + len(self._uids)
            while uid in self._uids:
                uid -= 1
            self._uids.add(uid)
            book = self._books[guest_id] = _Book(id=guest_id, uid=uid)
        return book

    def _save(self, book: _Book) -> None:
        if self._folder is None:
            return
        fresh = self._folder / f"{book.id}.new"
        fresh.write_bytes(msgspec.json.encode(book))
        fresh.replace(self._folder / f"{book.id}.json")

    def _read(self, path: Path) -> None:
        if not is_id(path.stem):
            return
        try:
            book = msgspec.json.decode(path.read_bytes(), type=_Book)
        except msgspec.MsgspecError:
            book = self._book(path.stem)
            book.state, book.fault = State.STOPPED, "The record of this server on its host was damaged."
        self._books[book.id] = book
        self._uids.add(book.uid)

    def _fail(self, verb: str, guest_id: str | None) -> None:
        error = self._failures.pop((verb, guest_id), None) or self._failures.pop((verb, None), None)
        if error is not None:
            raise error


def _seen(book: _Book) -> Seen:
    nics, drives = (book.nics, book.drives) if book.state in _UP else ((), ())
    if book.state is State.ARRIVING and book.guest is not None:
        nics = tuple(nic.port_id for nic in book.guest.nics)
    return Seen(
        id=book.id, state=book.state, boots=book.boots, started=book.started, fault=book.fault, nics=nics, drives=drives,
        captures=dict(book.captures), move=book.move,
    )  # fmt: skip


def _greeting(guest_id: str, what: str) -> bytes:
    """What a line says first; nothing where there is no such line."""
    name = f"guest-{guest_id}".encode()
    if what.startswith("tcp "):
        return b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s" % (len(name), name)
    return {"serial": name + b"\r\n", "vnc": b"RFB 003.008\n"}.get(what, b"")


def _echo(line: socket.socket, greeting: bytes) -> None:
    with line, contextlib.suppress(OSError):
        line.sendall(greeting)
        while data := line.recv(4096):
            line.sendall(data)


def empty_qcow2(size: int) -> bytes:
    """A qcow2 image of a disk of zeroes. Source: docs/interop/qcow2.txt of QEMU."""
    cluster = 1 << 16
    entries = -(-size // (cluster * (cluster // 8)))
    tables = -(-entries * 8 // cluster)
    clusters = 3 + tables
    header = struct.pack(
        ">4sIQIIQIIQQIIQQQQII", b"QFI\xfb", 3, 0, 0, 16, size, 0, entries, 3 * cluster, cluster, 1, 0, 0, 0, 0, 0, 4, 104
    )
    table = struct.pack(">Q", 2 * cluster)
    counts = b"\0\1" * clusters
    return b"".join(part.ljust(cluster, b"\0") for part in (header, table, counts)) + bytes(tables * cluster)
