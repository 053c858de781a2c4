"""How every driver of a host tells the public of what the host's system says."""

import contextlib
import errno
from collections.abc import Iterator

from andromede.core.errors import DriverError


@contextlib.contextmanager
def public(thing: str) -> Iterator[None]:
    """Turn what the host's system says into a sentence for the public. thing: what it is about, `server` or `volume`."""
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DriverError(f"The host has no disk space left for the {thing}.") from error
        raise DriverError(f"The host could not do what the {thing} needs of its system.") from error
