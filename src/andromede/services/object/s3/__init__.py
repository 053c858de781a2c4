"""S3 over the object store: a face that is served at the root of a port of its own, and the upkeep that its buckets ask for."""

from andromede.services.object.s3.face import S3
from andromede.services.object.s3.settings import Settings, Webhook
from andromede.services.object.s3.upkeep import Done, run_lifecycle

__all__ = ["S3", "Done", "Settings", "Webhook", "run_lifecycle"]
