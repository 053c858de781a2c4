"""What looks at everything: each shard's index against its journal, each blob against its checksums, each file against its owner."""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from andromede.core.errors import CloudError, DriverError
from andromede.core.units import MIB, show_bytes
from andromede.drivers.blob import Blob, Entry, Finding, Progress
from andromede.drivers.blob.local import places
from andromede.drivers.blob.local.audit import Audit
from andromede.drivers.blob.local.compact import Move, alone, is_whole, move_lock, snapshot
from andromede.drivers.blob.local.disk import Handle
from andromede.drivers.blob.local.entries import Reading
from andromede.drivers.blob.local.files import Files
from andromede.drivers.blob.local.index import unpack_row
from andromede.drivers.blob.local.seal import chunks_of, is_sound, stored_chunk, stored_size
from andromede.drivers.blob.local.shard import Shard
from andromede.drivers.blob.local.writer import Job
from andromede.drivers.blob.overlay import Overlay


def check(
    shards: list[Shard], files: Files, *, grace: float, repair: bool, deep: bool, give_up: bool
) -> Iterator[Finding | Progress]:
    """As `Store.check`."""
    total = sum(shard.journal.path(number).stat().st_size for shard in shards for number in shard.journal.numbers())
    for storage in files.classes:
        for _, path in files.names(storage):
            with contextlib.suppress(OSError):
                total += path.stat().st_size
    began, done = time.time(), 0
    with contextlib.closing(sqlite3.connect("")) as owned:
        owned.execute("create table ids (id blob primary key) without rowid")
        for shard in shards:
            with alone(shard.folder):
                walk = _Walk(shard, files, owned, repair=repair, deep=deep, give_up=give_up)
                for step in walk.steps():
                    yield Progress(min(total, done + step), total)
                yield from walk.findings
                done += walk.done
        yield from _orphans(files, owned, began - grace, repair=repair)
    yield Progress(total, total)


class _Walk:
    """The look at one shard. findings: what it found. done: how many bytes it read."""

    def __init__(self, shard: Shard, files: Files, owned: sqlite3.Connection, *, repair: bool, deep: bool, give_up: bool) -> None:
        self._shard = shard
        self._files = files
        self._owned = owned
        self._repair = repair
        self._deep = deep
        self._give_up = give_up
        self.findings: list[Finding] = []
        self.done = 0
        self._indexes: list[Finding] = []

    def steps(self) -> Iterator[int]:
        """Look; now and then how far it is."""
        audit = Audit(self._shard, deep=self._deep)
        for self.done in audit.steps():
            yield self.done
        self._indexes = audit.findings
        if audit.findings and self._repair:
            self._indexes = [msgspec.structs.replace(found, mended=True) for found in self._mend(audit)]
        self.findings += self._indexes
        try:
            with snapshot(self._shard) as (reading, _):
                yield from self._entries(reading)
        except (DriverError, sqlite3.Error) as error:
            if not any(found.kind == "index" and not found.mended for found in self.findings):
                self._found("index", b"", f"the index can't be read: {error}")

    def _found(self, kind: str, key: bytes, text: str, *, mended: bool = False) -> None:
        self.findings.append(Finding(kind, self._shard.number, key, text, mended=mended))

    def _entries(self, reading: Reading) -> Iterator[int]:
        """Look at the blobs of every entry."""
        for key, row in reading.index.execute("select key, row from entries order by key"):
            try:
                unpack_row(key, row)
            except DriverError:
                if not self._deep or self._repair:
                    self._found("index", key, "its row in the index fails its checksum")
                continue
            try:
                entry = reading.entry(key, row)
            except FileNotFoundError:
                self._found("lost", key, "the segment of its entry is not there")
                continue
            except DriverError:
                self._found("rot", key, "its entry in the journal fails its checksum")
                continue
            for blob in entry.blobs:
                place = places.payload_of(blob)
                if place is None:
                    self._owned.execute("insert or ignore into ids values (?)", (blob.id,))
                    before = self.done
                    self._file(key, blob)
                    if self.done - before >= MIB:
                        yield self.done
                elif self._deep:
                    self._payload(key, blob, place)

    def _payload(self, key: bytes, blob: Blob, place: tuple[int, int, int]) -> None:
        encrypted = blob.foreign or blob.storage != "plain"
        try:
            stored = self._shard.journal.read(*place)
        except OSError:
            self._found("lost", key, f"{blob.size} bytes are in a segment that can't be read")
            return
        if place[2] != stored_size(blob.size, encrypted=encrypted) or not is_whole(blob.id, stored, encrypted=encrypted, length=place[2]):
            self._found("rot", key, f"{blob.size} bytes fail their checksum")

    def _file(self, key: bytes, blob: Blob) -> None:
        """Look at the files of a blob, and mend one copy from another."""
        paths = self._files.paths(blob.storage, blob.id)
        if not paths:
            self._found("lost", key, f"there is no storage class {blob.storage!r}")
            return
        states = [self._copy(path, blob) for path in paths]
        if "sound" not in states and not self._names(key, blob):
            return
        for path, state in zip(paths, states, strict=True):
            if state == "sound":
                continue
            mended = False
            if self._repair and "sound" in states:
                mended = self._mend_copy(path, paths[states.index("sound")])
            what = "are not there" if state == "lost" else "fail their checksum"
            self._found(state, key, f"{blob.size} bytes {what}, in the file {path.name}", mended=mended)

    def _names(self, key: bytes, blob: Blob) -> bool:
        """Whether an entry still names a blob."""
        try:
            entry = self._shard.get(key)
        except DriverError:
            return True
        return entry is not None and any(one.id == blob.id for one in entry.blobs)

    def _copy(self, path: Path, blob: Blob) -> str:
        encrypted = blob.foreign or blob.storage != "plain"
        try:
            handle = Handle(path)
            size = os.fstat(handle.fd).st_size
            if size != stored_size(blob.size, encrypted=encrypted):
                return "rot"
            chunk, count = stored_chunk(encrypted=encrypted), chunks_of(blob.size)
            for number in range(count if self._deep else 0):
                data = memoryview(self._shard.disk.read(handle.fd, chunk, number * chunk))
                self.done += len(data)
                if not is_sound(blob.id, number, data, last=number == count - 1):
                    return "rot"
        except FileNotFoundError:
            return "lost"
        except OSError:
            return "rot"
        return "sound"

    def _mend_copy(self, path: Path, source: Path) -> bool:
        """Put a copy in the place of a damaged one."""
        disk = self._shard.disk
        try:
            disk.make_folder(path.parent)
            temporary = path.with_name(f".{path.name}.mend")
            temporary.unlink(missing_ok=True)
            target, good = Handle(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL), Handle(source)
            for at in range(0, os.fstat(good.fd).st_size, MIB):
                disk.write(target.fd, disk.read(good.fd, MIB, at), at)
            disk.sync(target.fd)
            temporary.rename(path)
            disk.sync_folder(path.parent)
        except OSError:
            return False
        return True

    def _mend(self, audit: Audit) -> list[Finding]:
        """Make index and journal agree, and bring what is alive out of segments with rot; the findings that are mended by that."""
        shard = self._shard
        try:
            if audit.broken or not audit.rotten:
                with move_lock(shard) as writer:
                    shard.renew()
                    writer.catch_up()
                mended = {"index"}
            else:
                self._keep(audit)
                mended = {"index"}
            if audit.rotten and self._leave(audit.rotten):
                mended.add("rot")
            if any(found.kind == "lost" for found in self.findings):
                self._count_again()
        except (OSError, sqlite3.Error, CloudError) as error:
            self._found("index", b"", f"it could not be mended: {error}")
            mended = set()
        kept = [found for found in audit.findings if found.kind not in mended]
        self.findings += kept
        return [found for found in audit.findings if found.kind in mended]

    def _keep(self, audit: Audit) -> None:
        """Write again what the index knows and the journal can't tell any more; where neither can, give up if asked to."""
        writer = self._shard.writer()
        lost: list[bytes] = []

        def change(view: Overlay) -> None:
            for key in audit.extra:
                if view.get(key) is None:
                    view.after[key] = None
            lost.clear()
            for key in audit.unproven:
                try:
                    entry = view.get(key)
                except DriverError:
                    entry = view.before[key] = self._one_bit(key)
                    if entry is None and self._give_up:
                        view.after[key] = None
                        lost.append(key)
                    elif entry is None:
                        del view.before[key]
                if entry is not None:
                    view.put(key, entry)

        job = Job(change)
        writer.run([job])
        if job.error is not None:
            raise job.error
        for key in lost:
            self._found("lost", key, "its entry can't be read any more, and was given up", mended=True)

    def _one_bit(self, key: bytes) -> Entry | None:
        """The entry of a key, where one bit of it has turned; None where it can't be told any more."""
        index = self._shard.reading().index
        row = index.row(key)
        if row is None:
            return None
        with contextlib.suppress(OSError):
            at = unpack_row(key, row)
            kept = self._shard.journal.mended(at.segment, at.offset, at.length, key)
            return None if kept is None else places.give(kept, self._shard.number, key)
        return None

    def _count_again(self) -> None:
        """Build the index anew: what was given up had a group and a weight that nobody knows."""
        with move_lock(self._shard) as writer:
            self._shard.renew()
            writer.catch_up()

    def _leave(self, segments: set[int]) -> bool:
        """Move what is alive out of segments; whether all of them could be removed."""
        with move_lock(self._shard) as writer:
            if max(segments) == self._shard.journal.numbers()[-1]:
                writer.seal()
        move = Move(self._shard, segments)
        for number in sorted(segments):
            for _ in move.away(number, move.sound_deletes(number)):
                pass
        return not segments & set(self._shard.journal.numbers())


def _orphans(files: Files, owned: sqlite3.Connection, oldest: float, *, repair: bool) -> Iterator[Finding]:
    """Files that nothing owns, and that nobody is about to own."""
    for storage in files.classes:
        for blob_id, path in files.names(storage):
            if blob_id is not None and owned.execute("select 1 from ids where id = ?", (blob_id,)).fetchone() is not None:
                continue
            try:
                state = path.stat()
                if state.st_ctime > oldest:
                    continue
                if repair:
                    path.unlink()
            except OSError:
                continue
            yield Finding("orphan", -1, b"", f"{show_bytes(state.st_size)} in the file {path.name} belong to no entry", mended=repair)
