"""What takes longer than a request. None of it touches a host: operations write what is wished for and look at what is seen."""

from andromede.services.volume.operations.backups import BACKUP, RESTORE, UNBACKUP
from andromede.services.volume.operations.change import EXTEND, REIMAGE, RETYPE, REVERT
from andromede.services.volume.operations.create import CREATE
from andromede.services.volume.operations.delete import DELETE
from andromede.services.volume.operations.images import UPLOAD
from andromede.services.volume.operations.move import MOVE
from andromede.services.volume.operations.snapshots import SNAPSHOT, UNSNAPSHOT

KINDS = (CREATE, DELETE, EXTEND, REIMAGE, RETYPE, REVERT, MOVE, UPLOAD, SNAPSHOT, UNSNAPSHOT, BACKUP, RESTORE, UNBACKUP)

__all__ = [
    "BACKUP", "CREATE", "DELETE", "EXTEND", "KINDS", "MOVE", "REIMAGE", "RESTORE", "RETYPE", "REVERT", "SNAPSHOT", "UNBACKUP", "UNSNAPSHOT",
    "UPLOAD",
]  # fmt: skip
