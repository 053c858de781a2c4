"""WebDAV (RFC 4918, classes 1, 2 and 3) with what Nextcloud's clients add to it."""

from andromede.services.drive.dav.face import Dav

__all__ = ["Dav"]
