"""Swift v1 over the object store: `/v1/AUTH_<project>[/container[/object]]`, `/info` and `/healthcheck`."""

from andromede.services.object.swift.expiry import expired
from andromede.services.object.swift.face import Swift
from andromede.services.object.swift.settings import Settings

__all__ = ["Settings", "Swift", "expired"]
