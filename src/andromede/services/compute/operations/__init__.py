"""What takes longer than a request: building a server, changing its power, deleting it, and all the rest of its life.

None of them touches a host: they write what is wished for and look at what is seen; the host loop does the rest.
"""

from andromede.services.compute.operations import rebuild, resize, shelve
from andromede.services.compute.operations.base import fail, finish, write
from andromede.services.compute.operations.build import BUILD
from andromede.services.compute.operations.delete import DELETE
from andromede.services.compute.operations.evacuate import EVACUATE
from andromede.services.compute.operations.live import LIVE
from andromede.services.compute.operations.power import POWER
from andromede.services.compute.operations.rebuild import REBUILD, RESCUE, UNRESCUE
from andromede.services.compute.operations.resize import CONFIRM, RESIZE, REVERT
from andromede.services.compute.operations.shelve import OFFLOAD, SHELVE, UNSHELVE
from andromede.services.compute.operations.snapshot import SNAPSHOT, abandon
from andromede.services.compute.operations.swap import SWAP
from andromede.services.compute.operations.volumes import ATTACH, BRING, DETACH

__all__ = [
    "ATTACH", "BRING", "BUILD", "CONFIRM", "DELETE", "DETACH", "EVACUATE", "KINDS", "LIVE", "OFFLOAD", "POWER", "REBUILD", "RESCUE", "RESIZE",
    "REVERT", "SHELVE", "SNAPSHOT", "SWAP", "UNRESCUE", "UNSHELVE", "abandon", "fail", "finish", "write",
]  # fmt: skip

KINDS = (BUILD, POWER, DELETE, SNAPSHOT, EVACUATE, LIVE, ATTACH, BRING, DETACH, SWAP, *resize.KINDS, *rebuild.KINDS, *shelve.KINDS)
