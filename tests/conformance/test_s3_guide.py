"""The commands of the page on further clients of S3, run as they stand, each section where its client is there."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from andromede.drivers.blob.local import Local
from tests import s3 as ground
from tests.conformance import clients
from tests.host.test_guide import commands, matches

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "s3-clients.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3")
    store = Local(folder / "objects", b"m" * 32)
    with ground.site(folder, store) as made:
        yield made
    store.close()


def section(title):
    """The commands of a section."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return commands(found[1])


def run(site, folder, steps, path):
    """Run them in a folder; each answers as the page shows."""
    env = {
        "PATH": path, "HOME": str(folder), "AWS_ACCESS_KEY_ID": site.keys[0], "AWS_SECRET_ACCESS_KEY": site.keys[1],
        "AWS_DEFAULT_REGION": "us-east-1", "AWS_ENDPOINT_URL": site.url, "AWS_EC2_METADATA_DISABLED": "true", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    script = "set -eu -o pipefail\n" + "".join(f"printf '@@{number}@@'\n{command}\n" for number, (command, _) in enumerate(steps))
    done = subprocess.run(
        ["timeout", "--kill-after=5", "120", "bash", "-c", script], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    said = dict(re.findall(r"@@(\d+)@@(.*?)(?=@@|\Z)", done.stdout, re.DOTALL))
    assert done.returncode == 0, f"{steps[max(map(int, said))][0]}\n{done.stderr[-2000:]}"
    for number, (command, shown) in enumerate(steps):
        assert matches(shown, said[str(number)]), (command, shown, said[str(number)])


def installed():
    try:
        return str(clients.installed())
    except clients.Absent as why:
        pytest.skip(f"LEFT OUT: {why}")


def test_a_bucket_as_a_folder(site, tmp_path):
    path = f"{installed()}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("fusermount3") is None and (older := shutil.which("fusermount")):
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "fusermount3").symlink_to(older)
        path = f"{tmp_path / 'bin'}{os.pathsep}{path}"
    if shutil.which("fusermount3", path=path) is None or not os.access("/dev/fuse", os.W_OK):
        pytest.skip("LEFT OUT: there is no FUSE here")
    try:
        run(site, tmp_path, section("A bucket as a folder"), path)
    finally:
        subprocess.run(["umount", "-l", tmp_path / "folder"], capture_output=True, check=False)


def test_backups_with_duplicity(site, tmp_path):
    path = f"{installed()}{os.pathsep}{os.environ['PATH']}"
    if shutil.which("duplicity", path=path) is None:
        pytest.skip("LEFT OUT: duplicity is not installed: apt-get install duplicity python3-boto3")
    run(site, tmp_path, section("Backups with duplicity"), path)


