"""Backups: a volume's bytes into the object store, and back into a volume. A step works for a while and lets others go on."""

import hashlib
import zlib
from typing import Any

import msgspec
from sqlalchemy import Connection, delete, select, update

from andromede.core.clock import monotonic, now
from andromede.core.errors import CloudError
from andromede.drivers import block
from andromede.engine.model import Kind, Later, Step, Work
from andromede.services.volume import attachments, messages, waiting
from andromede.services.volume.operations import create, reading
from andromede.services.volume.tables import FOREIGN, backup, volume
from andromede.services.volume.vault import CHUNK, GROUP, Line, Vault


def _row(work: Work) -> Any:
    with work.database.read() as db:
        row = db.execute(select(backup).where(backup.c.id == work.memo["backup"])).first()
    if row is None:
        raise CloudError("The backup is gone.", status=409)
    return row


def _write(db: Connection, backup_id: str, **values: Any) -> None:
    db.execute(update(backup).where(backup.c.id == backup_id).values(updated=now(), **values))


def _vault(work: Work, row: Any) -> Vault:
    """Where its objects are: in its project's container, or, of a record that was imported, in that of the project it was made in."""
    return Vault(work.parts.objects, (row.of_volume or {}).get("account") or row.project_id, row.container)


# making one


def _copy(work: Work) -> Later | None:
    """Chunks, a group at a time; what did not change since the parent is only named."""
    row, one = waiting.read(work), _row(work)
    vault, size = _vault(work, one), row.seen_exports[work.id]
    group, end = work.memo.get("group", 0), reading.until()
    parent = _parent(work, one)
    total = -(-size // CHUNK)
    while group * GROUP < total:
        before = vault.lines(parent, group) if parent else []
        lines = [
            _chunk(work, row, vault, one.prefix, number, size, before[place] if place < len(before) else None)
            for place, number in enumerate(range(group * GROUP, min((group + 1) * GROUP, total)))
        ]
        vault.keep_lines(one.prefix, group, lines)
        work.memo["objects"] = work.memo.get("objects", 0) + 1 + sum(line.name.startswith(one.prefix) for line in lines)
        group += 1
        work.memo["group"] = group
        if monotonic() > end and group * GROUP < total:
            return Later(0.0)
    return None


def _parent(work: Work, one: Any) -> str:
    if one.parent_id is None:
        return ""
    with work.database.read() as db:
        found = db.execute(select(backup.c.prefix).where(backup.c.id == one.parent_id)).first()
    if found is None:
        raise CloudError("The backup that this one adds to is gone.", status=409)
    return str(found.prefix)


def _chunk(work: Work, row: Any, vault: Vault, prefix: str, number: int, size: int, before: Line | None) -> Line:
    length = min(CHUNK, size - number * CHUNK)
    data = reading.read(work, row, number * CHUNK, length)
    if not data:
        return Line(length, "", "")
    digest = hashlib.sha256(data).hexdigest()
    if before is not None and before.digest == digest and before.name:
        return before
    name = f"{prefix}{number:08}"
    vault.keep(name, zlib.compress(data, 1))
    return Line(length, digest, name)


def _uncopy(work: Work) -> None:
    one = _row(work)
    _vault(work, one).remove(one.prefix)


def _finish(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        _write(db, work.memo["backup"], status="available", objects=work.memo.get("objects", 0), fail_reason=None)
        waiting.back(db, work.resource, "backing-up")

    reading.unexport(work)
    waiting.thaw(work)
    work.then(commit)
    return None


def _failed(db: Connection, work: Work, fault: str) -> None:
    waiting.back(db, work.resource, "backing-up")
    _write(db, work.memo["backup"], status="error", fail_reason=fault)
    messages.tell(db, work, "VOLUME_BACKUP", work.project_id or "", work.memo["backup"], messages.BACKUP, fault)


BACKUP = Kind(
    name="backup.create",
    steps=(
        Step("freeze", reading.freeze, waiting.thaw),
        Step("export", reading.export, reading.unexport),
        Step("copy", _copy, _uncopy),
        Step("finish", _finish),
    ),
    deadline=12 * 3600,
    failed=_failed,
)


# restoring one


def _schedule(work: Work) -> Later | None:
    return create.schedule(work)


def _open(work: Work) -> Later | None:
    """Have the host take what is written to a stage of the volume."""
    row = waiting.read(work)
    if row.stage != work.id:
        waiting.change(work, contents=FOREIGN, stage=work.id, placed=True, make=work.memo["make"] - 1)
        return Later(0.0)
    return waiting.reached(work, row, lambda _seen: True)


def _fill(work: Work) -> Later | None:
    row, one = waiting.read(work), _row(work)
    vault, end = _vault(work, one), reading.until()
    group, offset = work.memo.get("group", 0), work.memo.get("offset", 0)
    while lines := vault.lines(one.prefix, group):
        for line in lines:
            if line.name:
                work.parts.hosts.write_volume(row.host, row.id, work.id, offset, vault.chunk(line))
            offset += line.length
        group += 1
        work.memo |= {"group": group, "offset": offset}
        if monotonic() > end:
            return Later(0.0)
    return None


def _make(work: Work) -> Later | None:
    row, one = waiting.read(work), _row(work)
    if row.source is None:
        source = block.Source(stage=work.id, secret=one.sealed or b"")
        waiting.change(work, source=msgspec.to_builtins(source), make=work.memo["make"])
        return Later(0.0)
    return waiting.reached(work, row, lambda seen: seen.seen_made >= seen.make)


def _restored(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        waiting.write(db, work.resource, status="available", previous=None, source=None, stage="", launched=now())
        waiting.push(work, db, work.resource)
        attachments.settle(db, work.resource)
        _write(db, work.memo["backup"], status="available")

    work.then(commit)
    return None


def _unrestored(db: Connection, work: Work, fault: str) -> None:
    row = db.execute(select(volume).where(volume.c.id == work.resource)).first()
    if row is not None:
        waiting.write(db, row.id, status="error_restoring", source=None, stage="")
        waiting.push(work, db, row.id)
    _write(db, work.memo["backup"], status="available")
    messages.tell(db, work, "VOLUME_BACKUP", work.project_id or "", work.memo["backup"], messages.RESTORE, fault)


RESTORE = Kind(
    name="backup.restore",
    steps=(Step("schedule", _schedule), Step("open", _open), Step("fill", _fill), Step("make", _make), Step("finish", _restored)),
    deadline=12 * 3600,
    failed=_unrestored,
)


# deleting one


def _remove(work: Work) -> Later | None:
    one = _row(work)
    with work.database.read() as db:
        shared = db.execute(select(backup.c.id).where(backup.c.prefix == one.prefix, backup.c.id != one.id)).first()
    if shared is None:  # a record that was imported beside the first may still need the objects
        _vault(work, one).remove(one.prefix)
    return None


def _erase(work: Work) -> Later | None:
    def commit(db: Connection) -> None:
        db.execute(delete(backup).where(backup.c.id == work.memo["backup"]))

    work.then(commit)
    return None


def _kept(db: Connection, work: Work, fault: str) -> None:
    _write(db, work.memo["backup"], status="error", fail_reason=fault)
    messages.tell(db, work, "VOLUME_BACKUP", work.project_id or "", work.memo["backup"], messages.DELETE_BACKUP, fault)


UNBACKUP = Kind(name="backup.delete", steps=(Step("remove", _remove), Step("erase", _erase)), deadline=3600, failed=_kept, commit="remove")
KINDS = (BACKUP, RESTORE, UNBACKUP)
