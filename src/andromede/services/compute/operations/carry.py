"""The volumes of a server that goes to another host while it is off: they go there before it does, with what they hold now."""

from sqlalchemy import Connection

from andromede.core.errors import Unavailable
from andromede.engine.model import Later, Work
from andromede.services.compute import devices
from andromede.services.compute.operations.base import LOOK
from andromede.services.volume import service as volume


def ids(db: Connection, server_id: str) -> list[str]:
    """The volumes of a server."""
    return [one.volume_id for one in devices.of_servers(db, [server_id]).get(server_id, [])]


def carry(work: Work, target: str) -> Later | None:
    """Have a server's volumes on a host, and wait until they are there. Raises CloudError (409) where one does not come."""
    found = work.database.look(lambda db: ids(db, work.resource))
    if not found:
        return None
    if work.memo.get("carried") != target:
        work.memo["carried"] = target

        def begin(db: Connection) -> None:
            volume.carry(db, work.parts, found, target, request_id=work.request_id)

        work.then(begin)
        return Later(0.0)
    return None if work.database.look(lambda db: volume.carried(db, found, target)) else Later(LOOK)


def uncarry(work: Work, source: str) -> None:
    """They come back. Raises Unavailable until they have."""
    if "carried" not in work.memo:
        return
    found = work.database.look(lambda db: ids(db, work.resource))
    if work.database.run(lambda db: volume.carry(db, work.parts, found, source, request_id=work.request_id)):
        raise Unavailable("The volumes of the server are not back on its host yet.")


def arrived(db: Connection, server_id: str, host: str) -> None:
    """The server is where its volumes are."""
    for one in devices.of_servers(db, [server_id]).get(server_id, []):
        volume.attached(db, one.attachment_id, device=one.device_name, host=host)
