"""Volumes that are only books: for tests and demonstrations, on any machine, without root.

It behaves as the contract suite says every driver must; a volume's content is a few bytes at the beginning, zero after them.
`fail_next` makes a verb fail once; `scribble` is what a guest would write.
"""

from pathlib import Path

import msgspec

from andromede.core.errors import DriverError
from andromede.drivers.block import Seen, Source, Volume
from andromede.drivers.block.checks import check, check_id, check_name


class _Book(msgspec.Struct, kw_only=True):
    """All that is kept of one volume. content: its first bytes. stages, exports: by name."""

    id: str
    made: int = 0
    size: int = 0
    format: str = "qcow2"
    content: bytes = b""
    snapshots: dict[str, tuple[int, bytes]] = {}
    exports: dict[str, tuple[int, bytes]] = {}
    stages: dict[str, bytes] = {}


class FakeBlock:
    """The block driver without disks. folder: keeps the books over restarts, one file a volume; None for none."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._books: dict[str, _Book] = {}
        self._failures: dict[str, DriverError] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in folder.glob("*.book"):
                book = msgspec.msgpack.decode(path.read_bytes(), type=_Book)
                self._books[book.id] = book

    def fail_next(self, verb: str, message: str = "The host failed, as it was told to.") -> None:
        """Make the next call of `verb` raise DriverError with `message`."""
        self._failures[verb] = DriverError(message)

    def scribble(self, volume_id: str, data: bytes) -> None:
        """Change the beginning of a volume."""
        book = self._books[volume_id]
        book.content = data + book.content[len(data) :]
        self._save(book)

    def content(self, volume_id: str) -> bytes:
        """The beginning of a volume."""
        return self._books[volume_id].content

    def told(self, volume_id: str, *, size: int, snapshots: tuple[str, ...]) -> None:
        """A hypervisor changed the volume while a guest held it."""
        book = self._books.get(volume_id)
        if book is not None:
            book.size = max(book.size, size)
            self._snapshots(book, snapshots)
            self._save(book)

    async def observe(self) -> list[str]:
        """Every volume in the books."""
        self._fail("observe")
        return sorted(self._books)

    async def look(self, volume_id: str) -> Seen:
        """What the books say."""
        self._fail("look")
        return _seen(self._books.get(check_id(volume_id)) or _Book(id=volume_id))

    async def ensure(self, volume: Volume) -> Seen:
        """Write into the books what is asked for. Raises DriverError when told to, or where the source is not there."""
        check(volume)
        self._fail("ensure")
        book = self._books.setdefault(volume.id, _Book(id=volume.id))
        if volume.make > book.made:
            self._make(book, volume)
        if book.made:
            book.size = max(book.size, volume.size)
            self._snapshots(book, volume.snapshots)
        book.stages = {name: data for name, data in book.stages.items() if name == volume.stage}
        self._save(book)
        return _seen(book)

    async def publish(self, volume: Volume) -> Seen:
        """Copy what is asked for, forget the rest."""
        check(volume)
        self._fail("publish")
        book = self._books.setdefault(volume.id, _Book(id=volume.id))
        wanted = {export.id: export for export in volume.exports}
        book.exports = {id_: kept for id_, kept in book.exports.items() if id_ in wanted}
        for id_ in wanted.keys() - book.exports.keys():
            book.exports[id_] = self._copy(book, wanted[id_].snapshot)
            if wanted[id_].format == "qcow2":
                from andromede.drivers.hypervisor.fake import empty_qcow2

                image = empty_qcow2(book.exports[id_][0])
                book.exports[id_] = (len(image), image)
        self._save(book)
        return _seen(book)

    async def remove(self, volume_id: str) -> None:
        """Strike a volume from the books. Idempotent."""
        check_id(volume_id)
        self._fail("remove")
        self._books.pop(volume_id, None)
        if self._folder is not None:
            (self._folder / f"{volume_id}.book").unlink(missing_ok=True)

    async def read(self, volume_id: str, export: str, offset: int, count: int) -> bytes:
        """Bytes of an export."""
        self._fail("read")
        book = self._books.get(check_id(volume_id))
        if book is None or check_name(export) not in book.exports:
            raise DriverError("The export of the volume is not there.")
        size, content = book.exports[export]
        data = content[offset : offset + count]
        return data.ljust(min(count, size - offset), b"\0") if data.strip(b"\0") else b""

    async def write(self, volume_id: str, stage: str, offset: int, data: bytes) -> None:
        """Write to a stage."""
        self._fail("write")
        book = self._books.get(check_id(volume_id))
        if book is None:
            raise DriverError("The volume is not there.")
        before = book.stages.get(check_name(stage), b"").ljust(offset, b"\0")
        data = data.rstrip(b"\0")
        if data:
            book.stages[stage] = before[:offset] + data + before[offset + len(data) :]
        self._save(book)

    def path(self, volume: Volume) -> str:
        """A name that nothing opens."""
        book = self._books.get(volume.id)
        if book is None or (book.made, book.format) != (volume.make, volume.format):
            raise DriverError("The data of the volume is not there on the host as it should be.")
        return f"/fake/{volume.id}"

    async def close(self) -> None:
        """Nothing to let go of."""

    def _make(self, book: _Book, volume: Volume) -> None:
        source = volume.source
        size, content = volume.size, b""
        if source is not None:
            size, content = self._read_source(book, source)
        if size > volume.size:
            raise DriverError("The volume is smaller than what it is made from.")
        if source is None or not source.keep:
            book.snapshots = {}
        book.made, book.size, book.format, book.content = volume.make, volume.size, volume.format, content

    def _read_source(self, book: _Book, source: Source) -> tuple[int, bytes]:
        if source.stage:
            return 0, book.stages.get(source.stage, b"")
        if source.volume:
            other = book if source.volume == book.id else self._books.get(source.volume)
            if other is None or not other.made:
                raise DriverError("The volume that this one is made from is not there.")
            return self._copy(other, source.snapshot)
        try:
            return 0, Path(source.path).read_bytes()[:4096]
        except OSError as error:
            raise DriverError("The image that the volume is made from cannot be read on the host.") from error

    def _copy(self, book: _Book, snapshot: str) -> tuple[int, bytes]:
        if not snapshot:
            return book.size, book.content
        if snapshot not in book.snapshots:
            raise DriverError("The snapshot is not there.")
        return book.snapshots[snapshot]

    def _snapshots(self, book: _Book, wanted: tuple[str, ...]) -> None:
        kept = {id_: book.snapshots[id_] for id_ in wanted if id_ in book.snapshots}
        book.snapshots = kept | {id_: (book.size, book.content) for id_ in wanted if id_ not in kept}

    def _save(self, book: _Book) -> None:
        if self._folder is not None:
            fresh = self._folder / f"{book.id}.new"
            fresh.write_bytes(msgspec.msgpack.encode(book))
            fresh.replace(self._folder / f"{book.id}.book")

    def _fail(self, verb: str) -> None:
        error = self._failures.pop(verb, None)
        if error is not None:
            raise error


def _seen(book: _Book) -> Seen:
    return Seen(
        id=book.id, made=book.made, size=book.size, used=len(book.content), snapshots=tuple(sorted(book.snapshots)),
        exports={id_: size for id_, (size, _content) in book.exports.items()},
    )  # fmt: skip
