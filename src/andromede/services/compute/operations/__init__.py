"""What takes longer than a request: building a server, changing its power, deleting it, and all the rest of its life.

None of them touches a host: they write what is wished for and look at what is seen; the host loop does the rest.
"""

from andromede.services.compute.operations.base import fail, finish, write
from andromede.services.compute.operations.build import BUILD
from andromede.services.compute.operations.delete import DELETE
from andromede.services.compute.operations.power import POWER

__all__ = ["BUILD", "DELETE", "KINDS", "POWER", "fail", "finish", "write"]

KINDS = (BUILD, POWER, DELETE)
