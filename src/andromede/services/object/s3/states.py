"""What has become of an object's copies, as S3's header says it."""

from andromede.services.object.model import Object
from andromede.services.object.watching import COMPLETED, FAILED, PENDING


def status(thing: Object) -> str:
    """What has become of an object's copies, "" where there are none; REPLICA: it is one."""
    if "replica" in thing.s3:
        return "REPLICA"
    states = set(thing.s3.get("replication", {}).values())
    return next((each for each in (FAILED, PENDING, COMPLETED) if each in states), "")
