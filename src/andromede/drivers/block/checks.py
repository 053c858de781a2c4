"""What every block driver refuses: names from outside become file names and arguments."""

import re
from functools import partial

from andromede.core.errors import DriverError
from andromede.core.ids import is_id
from andromede.drivers import faults
from andromede.drivers.block import EXPORTS, FORMATS, Volume

public = partial(faults.public, "volume")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def check_id(volume_id: str) -> str:
    """`volume_id` itself. Raises DriverError where it is not an id."""
    if not is_id(volume_id):
        raise DriverError("The id of the volume is not a UUID.")
    return volume_id


def check_name(name: str) -> str:
    """The name of an export, a stage or a snapshot, itself. Raises DriverError."""
    if not _NAME.fullmatch(name):
        raise DriverError("The name of a part of the volume holds characters that are not allowed.")
    return name


def check(volume: Volume) -> None:
    """Raise DriverError with a public sentence for a description that no driver can bring about."""
    check_id(volume.id)
    if volume.format not in FORMATS:
        raise DriverError(f"This host knows no volume format of that name; it knows {', '.join(FORMATS)}.")
    if volume.size < 512 or volume.size % 512:
        raise DriverError("The size of a volume is a multiple of 512 bytes.")
    for name in (*volume.snapshots, *(export.id for export in volume.exports), *filter(None, [volume.stage])):
        check_name(name)
    for export in volume.exports:
        if export.format not in EXPORTS:
            raise DriverError(f"A volume can be exported as {', '.join(EXPORTS)}.")
    source = volume.source
    if source is not None:
        for id_ in filter(None, (source.image, source.volume)):
            check_id(id_)
        for name in filter(None, (source.stage, source.snapshot)):
            check_name(name)
        if source.format not in FORMATS:
            raise DriverError(f"A volume is made from {' or '.join(FORMATS)}.")
