"""Running a program with a limit on its time; failure is a DriverError whose public text names no path."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from andromede.core.errors import DriverError


def run(argv: Sequence[str], *, timeout: float = 15, stdin: str | None = None) -> str:
    """The standard output of a program that must succeed. Raises DriverError, with its last words as the cause."""
    try:
        done = subprocess.run(list(argv), input=stdin, capture_output=True, text=True, timeout=timeout, check=True)
    except subprocess.CalledProcessError as failed:
        cause = RuntimeError(f"{' '.join(argv)[:200]}: {failed.stderr.strip()[-400:]}")
        raise DriverError(f"{Path(argv[0]).name} failed") from cause
    except (OSError, subprocess.TimeoutExpired) as failed:
        raise DriverError(f"{Path(argv[0]).name} could not be run") from failed
    return done.stdout
