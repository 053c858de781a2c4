"""What the drive refuses, by the status that WebDAV has for it."""

from andromede.core.errors import CloudError


class Locked(CloudError):
    """Somebody holds a lock, and its token was not brought (RFC 4918, 11.3)."""

    status, kind = 423, "Locked"


class NoRoom(CloudError):
    """The quota does not allow it (RFC 4918, 11.5)."""

    status, kind = 507, "InsufficientStorage"


class Forbidden(CloudError):
    """A name that may not be, a place where nothing may be put."""

    status, kind = 403, "Forbidden"


class Exists(CloudError):
    """There is something of that name, of another kind or not to be replaced (RFC 4918, 9.3.1 and 9.6)."""

    status, kind = 405, "MethodNotAllowed"


class Kept(CloudError):
    """The destination is there, and may not be overwritten (RFC 4918, 9.8.5)."""

    status, kind = 412, "PreconditionFailed"


class Mismatch(CloudError):
    """Bytes do not have the checksum that came with them."""

    status, kind = 400, "BadRequest"
