"""Volumes as files of one host: qcow2 with its snapshots inside, or raw; both encrypted by QEMU's LUKS where asked.

Each volume has a folder of its own: `disk-<count>`, `record` (which of them it is, and what it was made as), and the exports, the
stage and the snapshots of a raw disk beside them. Replacing the record is what replaces a disk.
"""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.core.ids import is_id
from andromede.drivers.block import EXPORTS, Export, Seen, Source, Volume
from andromede.drivers.block.checks import check, check_id, check_name, public
from andromede.drivers.block.local.tool import Image, Tool

_COPY = ("cp", "--sparse=always", "--reflink=auto", "--")


class Record(msgspec.Struct, kw_only=True):
    """What a volume's data is, without which it cannot be read."""

    made: int = 0
    format: str = "qcow2"
    secret: bytes = b""
    file: str = ""


class Local:
    """The volumes below `folder`. unseal: opens a sealed passphrase. uid: whom qemu-img runs as, where we are root."""

    def __init__(self, folder: Path, *, unseal: Callable[[bytes], bytes], uid: int = 0) -> None:
        self._folder, self._unseal, self._tool = folder, unseal, Tool(uid)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o711)

    async def observe(self) -> list[str]:
        """Every folder that is a volume's."""
        with public(), os.scandir(self._folder) as entries:
            return sorted(entry.name for entry in entries if is_id(entry.name))

    async def look(self, volume_id: str) -> Seen:
        """What a volume is now."""
        folder = self._at(volume_id)
        with public():
            record = await asyncio.to_thread(_read_record, folder)
            return await self._seen(volume_id, folder, record)

    async def ensure(self, volume: Volume) -> Seen:
        """Make, enlarge, snapshot: until the data is as described."""
        check(volume)
        folder = self._at(volume.id)
        with public():
            folder.mkdir(exist_ok=True, mode=0o700)
            record = await asyncio.to_thread(_read_record, folder)
            if volume.make > record.made:
                await self._make(folder, record, volume)
                record = _read_record(folder)
            if record.made:
                await self._converge(folder, record, volume)
            for path in (*folder.glob("stage-*"), *folder.glob("*.new")):
                if path.name != f"stage-{volume.stage}":
                    path.unlink(missing_ok=True)
            return await self._seen(volume.id, folder, record)

    async def publish(self, volume: Volume) -> Seen:
        """Copy what is to be exported; delete what is no longer."""
        check(volume)
        folder = self._at(volume.id)
        with public():
            folder.mkdir(exist_ok=True, mode=0o700)
            record = await asyncio.to_thread(_read_record, folder)
            wanted = {f"export-{export.id}": export for export in volume.exports}
            for path in folder.glob("export-*"):
                if path.name not in wanted and path.name.removesuffix(".new") not in wanted:
                    path.unlink(missing_ok=True)
            for name, export in wanted.items():
                if not (folder / name).exists():
                    await self._export(folder, record, name, export)
            return await self._seen(volume.id, folder, record)

    async def remove(self, volume_id: str) -> None:
        """Delete the folder."""
        folder = self._at(volume_id)
        with public(), contextlib.suppress(FileNotFoundError):
            await asyncio.to_thread(shutil.rmtree, folder)

    async def read(self, volume_id: str, export: str, offset: int, count: int) -> bytes:
        """Bytes of an export; nothing where a hole is."""
        path = self._at(volume_id) / f"export-{check_name(export)}"
        with public():
            return await asyncio.to_thread(_read, path, offset, count)

    async def write(self, volume_id: str, stage: str, offset: int, data: bytes) -> None:
        """Write to a stage; on the disk when this returns."""
        path = self._at(volume_id) / f"stage-{check_name(stage)}"
        with public():
            await asyncio.to_thread(_write, path, offset, data)

    def path(self, volume: Volume) -> str:
        """The file that a guest's QEMU gets."""
        folder = self._at(volume.id)
        record = _read_record(folder)
        if (record.made, record.format, bool(record.secret)) != (volume.make, volume.format, bool(volume.secret)):
            raise DriverError("The data of the volume is not there on the host as it should be.")
        return str(folder / record.file)

    async def close(self) -> None:
        """Nothing to let go of: what is under way ends with its caller."""

    def _at(self, volume_id: str) -> Path:
        return self._folder / check_id(volume_id)

    def _image(self, path: Path, kind: str, secret: bytes) -> Image:
        return Image(path, kind, self._unseal(secret) if secret else b"")

    def _disk(self, folder: Path, record: Record) -> Image:
        return self._image(folder / record.file, record.format, record.secret)

    async def _make(self, folder: Path, record: Record, volume: Volume) -> None:
        source = volume.source
        if source is not None and source.keep:
            await self._go_back(folder, record, source.snapshot)
            _write_record(folder / "record", msgspec.structs.replace(record, made=volume.make))
            return
        made = Record(made=volume.make, format=volume.format, secret=volume.secret)
        path = _data(folder, made)
        path.unlink(missing_ok=True)
        target = self._image(path, volume.format, volume.secret)
        with _nothing_half_made(path):
            await self._tool.create(target, volume.size)
            if source is not None:
                await self._fill(folder, record, source, target, volume.size)
            await asyncio.to_thread(_sync, path)
        made.file = path.name
        _write_record(folder / "record", made)
        for old in (*folder.glob("disk-*"), *folder.glob("snap-*")):
            if old != path:
                old.unlink()

    async def _fill(self, folder: Path, record: Record, source: Source, target: Image, size: int) -> None:
        if source.stage:
            path = folder / f"stage-{source.stage}"
            if path.exists() and path.stat().st_size:
                await self._tool.copy(self._image(path, "raw", source.secret), target)
            return
        if source.volume:
            other, theirs = (folder, record) if source.volume == folder.name else self._other(source)
            image = self._disk(other, theirs)
            if source.snapshot and theirs.format == "raw":
                image = self._image(other / f"snap-{source.snapshot}", "raw", theirs.secret)
                await self._tool.copy(image, target)
                return
            await self._tool.copy(image, target, snapshot=source.snapshot, shared=bool(source.snapshot))
            return
        image = self._image(Path(source.path), source.format, source.secret)
        info = await self._tool.run(folder, ["info", "--output=json", image.name("from")], {"from": image.passphrase})
        if msgspec.json.decode(info)["virtual-size"] > size:
            raise DriverError("The volume is smaller than the image that it is made from.")
        await self._tool.copy(image, target)

    def _other(self, source: Source) -> tuple[Path, Record]:
        other = self._at(source.volume)
        record = _read_record(other)
        if not record.made:
            raise DriverError("The volume that this one is made from is not there.")
        return other, record

    async def _go_back(self, folder: Path, record: Record, snapshot: str) -> None:
        if record.format == "raw":
            fresh = folder / "disk.new"
            await self._tool_copy(folder / f"snap-{snapshot}", fresh)
            fresh.replace(folder / record.file)
            return
        await self._tool.snapshot(self._disk(folder, record), "-a", snapshot)

    async def _converge(self, folder: Path, record: Record, volume: Volume) -> None:
        disk = self._disk(folder, record)
        info = await self._tool.info(disk)
        if info["virtual-size"] < volume.size:
            await self._tool.resize(disk, volume.size)
        have, wanted = set(_snapshots(folder, info)), set(volume.snapshots)
        for name in sorted(have - wanted):
            if record.format == "raw":
                (folder / f"snap-{name}").unlink()
            else:
                await self._tool.snapshot(disk, "-d", name)
        for name in sorted(wanted - have):
            if record.format == "raw":
                fresh = folder / f"snap-{name}.new"
                await self._tool_copy(folder / record.file, fresh)
                fresh.replace(folder / f"snap-{name}")
            else:
                await self._tool.snapshot(disk, "-c", name)

    async def _tool_copy(self, source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(*_COPY, str(source), str(target), stderr=asyncio.subprocess.PIPE)
        with _nothing_half_made(target):
            try:
                _, errors = await process.communicate()
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            if process.returncode:
                room = b"No space left" in errors
                raise DriverError("The host has no disk space left for the volume." if room else "The snapshot of the volume could not be made.")

    async def _export(self, folder: Path, record: Record, name: str, export: Export) -> None:
        if not record.made:
            raise DriverError("The volume has no data yet.")
        fresh = folder / f"{name}.new"
        fresh.unlink(missing_ok=True)
        image, snapshot = self._disk(folder, record), export.snapshot
        if snapshot and record.format == "raw":
            image, snapshot = self._image(folder / f"snap-{snapshot}", "raw", record.secret), ""
        with _nothing_half_made(fresh):
            if image.passphrase:  # what is encrypted leaves its disk encrypted, with the same passphrase
                if export.format != "raw":
                    raise DriverError("An encrypted volume can only be exported as raw.")
                size = (await self._tool.info(self._disk(folder, record)))["virtual-size"]
                sealed = Image(fresh, "raw", image.passphrase)
                await self._tool.create(sealed, size)
                await self._tool.copy(image, sealed, snapshot=snapshot, shared=bool(snapshot))
            else:
                await self._tool.export(image, fresh, EXPORTS[export.format], snapshot=snapshot, shared=bool(snapshot))
            await asyncio.to_thread(_sync, fresh)
            fresh.replace(folder / name)

    async def _seen(self, volume_id: str, folder: Path, record: Record) -> Seen:
        if not record.made:
            return Seen(id=volume_id)
        info = await self._tool.info(Image(folder / record.file, record.format, b"x" if record.secret else b""))
        exports = {path.name.removeprefix("export-"): path.stat().st_size for path in folder.glob("export-*") if path.suffix != ".new"}
        used = sum(path.stat().st_blocks for path in folder.iterdir()) * 512
        snapshots = tuple(sorted(_snapshots(folder, info)))
        return Seen(id=volume_id, made=record.made, size=info["virtual-size"], used=used, snapshots=snapshots, exports=exports)


@contextlib.contextmanager
def _nothing_half_made(path: Path) -> Iterator[None]:
    """Whatever ends the making of a file early leaves no part of it: it would keep room from what is to be made next."""
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _snapshots(folder: Path, info: dict[str, list[dict[str, str]]]) -> list[str]:
    """The snapshots inside the image, and those beside a raw one."""
    beside = [path.name.removeprefix("snap-") for path in folder.glob("snap-*") if path.suffix != ".new"]
    return [one["name"] for one in info.get("snapshots", [])] + beside


def _data(folder: Path, record: Record) -> Path:
    return folder / f"disk-{record.made}"


def _read_record(folder: Path) -> Record:
    try:
        return msgspec.json.decode((folder / "record").read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except msgspec.MsgspecError as error:
        raise DriverError("The record of this volume on its host is damaged.") from error


def _write_record(path: Path, record: Record) -> None:
    temporary = path.with_name(path.name + ".tmp")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(msgspec.json.encode(record))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path, offset: int, count: int) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise DriverError("The export of the volume is not there.") from error
    try:
        try:
            if os.lseek(fd, offset, os.SEEK_DATA) >= offset + count:
                return b""
        except OSError:
            return b""  # no data from here on
        data = os.pread(fd, count, offset)
        return data if data.count(0) < len(data) else b""
    finally:
        os.close(fd)


def _write(path: Path, offset: int, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            done = os.pwrite(fd, view, offset)
            view, offset = view[done:], offset + done
        os.fsync(fd)
    finally:
        os.close(fd)
