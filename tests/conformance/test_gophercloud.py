"""gophercloud, the Go library of OpenTofu's provider, against the real cloud."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "gophercloud"


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The program, compiled. Its modules come from Go's module cache or proxy, which tests inside a namespace cannot reach."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go is not installed")
    target = tmp_path_factory.mktemp("gophercloud") / "program"
    done = subprocess.run([go, "build", "-o", str(target), "."], cwd=PROGRAM, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode and ("dial tcp" in done.stderr or "requires go >=" in done.stderr):
        pytest.skip(f"gophercloud cannot be had: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return target


def test_gophercloud_makes_and_deletes_everything(real, program, tmp_path):
    key = real.person / ".ssh" / f"{real.name}.pub"
    env = {**os.environ, "OS_CLIENT_CONFIG_FILE": str(real.clouds), "OS_CLOUD": real.name}
    done = subprocess.run([str(program), str(key)], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("made ")
    assert done.stdout.endswith("deleted\n")
    assert [one["name"] for one in real.user.get("/network/v2.0/networks?name=gopher")["networks"]] == []
