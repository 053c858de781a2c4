"""What a disk image truly is, found out before any program opens it.

A disk image is hostile input: a header may point to another file of the host, or promise more than a disk can hold. The
format a caller declares is the one the bytes must have. Only afterwards does `qemu-img` read it (`qemu.py`).
"""

import io
import struct
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, cast

from andromede.core.errors import BadRequest
from andromede.core.units import KIB, MIB

if TYPE_CHECKING:
    from oslo_utils.imageutils import format_inspector

RAW, PLAIN = "raw", ("raw", "ami", "aki", "ari")
CONVERTED = {"vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""disk_format to QEMU's name, of the formats that an import turns into qcow2."""
FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso")
_HEAD, _TAIL = 4096, 512
# A header that leads to another within one chunk is lost on the inspectors, so they get the beginning in small pieces.
_SLICE, _CAREFUL = 64 * KIB, 16 * MIB
_MAGICS = {
    0: (
        b"QFI\xfb", b"QED\0", b"KDMV", b"COWD", b"vhdxfile", b"conectix", b"LUKS\xba\xbe", b"# Disk DescriptorFile",
        b"WithoutFreeSpace", b"WithouFreSpacExt", b"Bochs Virtual HD Image",
    ),
    64: (b"\x7f\x10\xda\xbe",),
}  # fmt: skip


class _Pushed(io.RawIOBase):
    """A source for the inspectors that holds one chunk at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.chunk = b""

    def read(self, _size: int = -1, /) -> bytes:
        return self.chunk


class Inspection:
    """Looks at an image while it streams by.

    disk_format: what the caller says it is. opaque: the container is an archive that nothing here opens.
    limit: the largest virtual size, in bytes.
    """

    def __init__(self, disk_format: str, *, limit: int, opaque: bool = False) -> None:
        from oslo_utils.imageutils import format_inspector  # 10 MiB, only of a process that takes images

        self._library = format_inspector
        self._declared, self._limit, self._opaque = disk_format, limit, opaque
        self._source = _Pushed()
        self._wrapper = format_inspector.InspectWrapper(cast("IO[bytes]", self._source))
        self._head, self._tail = b"", b""
        self._judged, self._seen = False, 0

    def add(self, data: bytes) -> None:
        """The next bytes. Raises BadRequest as soon as the beginning shows another format than was declared."""
        if self._opaque:
            return
        step = _SLICE if self._seen < _CAREFUL else len(data) or 1
        for start in range(0, len(data), step):
            self._source.chunk = data[start : start + step]
            self._wrapper.read(step)
        self._seen += len(data)
        if len(self._head) < _HEAD:
            self._head += data[: _HEAD - len(self._head)]
        self._tail = (self._tail + data[-_TAIL:])[-_TAIL:]
        if not self._judged and len(self._head) == _HEAD:
            self._judged = True
            self._judge_head()

    def finish(self) -> int | None:
        """The size of the disk inside, where the format tells one. Raises BadRequest for whatever is unsafe or not as declared."""
        if self._opaque:
            return None
        self._wrapper.close()
        self._judge_head()
        found = self._found()
        if self._declared in PLAIN:
            return None
        if self._declared == "iso":
            self._safe(found["iso"])
            return None
        if self._declared == "vhd":
            return self._checked(_vhd(self._head, self._tail))
        inspector = found[self._declared]
        self._safe(inspector)
        if self._declared == "qcow2":
            _qcow2(self._head)
        if self._declared == "vdi" and struct.unpack_from("<I", self._head, 76)[0] not in (1, 2):
            raise BadRequest("The image was refused: it is a differencing VDI, which needs another file.")
        return self._checked(int(inspector.virtual_size))

    def _judge_head(self) -> None:
        """Refuse a known header where none was declared, even one that is cut short."""
        if self._declared in PLAIN or self._declared == "iso":
            for place, magics in _MAGICS.items():
                if self._head[place:].startswith(magics):
                    raise BadRequest(
                        f"Image content does not match the disk_format '{self._declared}': it begins with the header of another format."
                    )

    def _found(self) -> "dict[str, format_inspector.FileInspector]":
        try:
            found = {str(one): one for one in self._wrapper.formats or []}
        except self._library.ImageFormatError as error:
            raise BadRequest("The image's format could not be determined.") from error
        if not set(found) <= _expected(self._declared) or not _named(self._declared, found, self._tail):
            names = ", ".join(sorted(found)) or "none that is known"
            raise BadRequest(f"Image content does not match the disk_format '{self._declared}': detected {names}.")
        return found

    def _safe(self, inspector: "format_inspector.FileInspector") -> None:
        try:
            inspector.safety_check()
        except self._library.SafetyCheckFailed as error:
            reasons = "; ".join(str(failure) for failure in error.failures.values())
            raise BadRequest(f"The image was refused as unsafe: {reasons}.") from error
        except Exception as error:
            raise BadRequest(f"The image could not be checked: it is not a whole {self._declared} image.") from error

    def _checked(self, size: int) -> int:
        if size <= 0:
            raise BadRequest(f"The image was refused: it is not a whole {self._declared} image, its disk has no size.")
        if size > self._limit:
            raise BadRequest(f"The image was refused: its virtual size of {size} bytes is more than the {self._limit} allowed.")
        return size


def _expected(declared: str) -> set[str]:
    """The formats that content may have besides each other: a hybrid ISO holds a partition table, too; a kernel looks like one."""
    if declared in PLAIN:
        return {"raw", "gpt"}
    if declared == "iso":
        return {"iso", "gpt"}
    return {"vhd", "raw", "gpt"} if declared == "vhd" else {declared}


def _named(declared: str, found: Iterable[str], tail: bytes) -> bool:
    if declared in PLAIN:
        return True
    if declared == "vhd":
        return "vhd" in found or tail.startswith(b"conectix")
    return declared in found


def _vhd(head: bytes, tail: bytes) -> int:
    """The size of a VHD's disk, from the footer at its end. Source: Virtual Hard Disk Image Format Specification."""
    if len(tail) < _TAIL or not tail.startswith(b"conectix"):
        raise BadRequest("The image was refused: it is not a whole vhd image, its footer is missing.")
    size, kind = struct.unpack_from(">Q", tail, 48)[0], struct.unpack_from(">I", tail, 60)[0]
    if kind not in (2, 3):
        raise BadRequest("The image was refused: it is a differencing VHD, which needs another file.")
    if kind == 3 and not head.startswith(b"conectix"):
        raise BadRequest("The image was refused: it is not a whole vhd image, its header is missing.")
    return int(size)


def _qcow2(head: bytes) -> None:
    """What the format inspector leaves unseen. Source: docs/interop/qcow2.txt of QEMU."""
    version, cluster_bits, crypt = (struct.unpack_from(">I", head, place)[0] for place in (4, 20, 32))
    if version not in (2, 3):
        raise BadRequest("The image was refused: this version of qcow2 is not supported.")
    if not 9 <= cluster_bits <= 21:
        raise BadRequest("The image was refused: it is not a whole qcow2 image, its cluster size is impossible.")
    if crypt:
        raise BadRequest("The image was refused: it is encrypted.")
